//! The operations of `Bce`, and the functions of one argument.

use numpy::{PyArrayDyn, PyArrayMethods, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use rayon::prelude::*;
use soft_bce::{Bce, Error, LossSum};

use crate::arrays::{
    Input, Narrowed, Output, Real, Typed, check_apart, check_shape, extent, in_order, kept,
    overlap, writeable, wrong_shape,
};
use crate::error::{element_error, must_be, rounded_to, value_error};
use crate::loss_sum::PyLossSum;
use crate::options::{self, Options};

#[derive(Clone, Copy, PartialEq)]
enum Operation {
    Loss,
    Sum,
    Mean,
    Gradient,
    SumGradient,
    MeanGradient,
    LossGradient,
    GradientHessian,
    SumGradientHessian,
    LossGradientHessian,
    Accumulate,
    AccumulateGradient,
    AccumulateGradientHessian,
}
use Operation::*;

impl Operation {
    /// Whether it returns a number.
    fn reduces(self) -> bool {
        matches!(
            self,
            Sum | Mean | SumGradient | MeanGradient | SumGradientHessian
        )
    }

    /// The names of the arrays that it writes, in errors.
    fn outputs(self) -> &'static [&'static str] {
        match self {
            Sum | Mean | Accumulate => &[],
            Loss | Gradient | SumGradient | MeanGradient | AccumulateGradient => &["out"],
            LossGradient | GradientHessian | SumGradientHessian | AccumulateGradientHessian => {
                &["out[0]", "out[1]"]
            }
            LossGradientHessian => &["out[0]", "out[1]", "out[2]"],
        }
    }
}

struct Call<'c, 'py> {
    z: &'c Bound<'py, PyAny>,
    t: &'c Bound<'py, PyAny>,
    weights: Option<&'c Bound<'py, PyAny>>,
    row_weights: Option<&'c Bound<'py, PyAny>>,
    pos_weights: Option<&'c Bound<'py, PyAny>>,
    options: Options,
    threads: usize,
    sum: Option<&'c Bound<'py, PyLossSum>>,
    out: Option<&'c Bound<'py, PyAny>>,
    /// `out` is the logits.
    in_place: bool,
}

impl<'py> Call<'_, 'py> {
    fn run<T: Real>(
        &self,
        mut z: Input<'py, T>,
        operation: Operation,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = self.z.py();
        let mut inputs = Inputs::new(self, z.shape(), &|_| false)?;
        let mut outputs = self.outputs(z.array(), &inputs, operation)?;
        if options::alone(z.array().len()) {
            // SAFETY: no code of Python runs until the kernel is done, and the lock is kept.
            unsafe {
                z.keep();
                inputs.each().for_each(|(_, input)| input.keep());
                outputs
                    .iter_mut()
                    .flatten()
                    .for_each(|output| output.keep());
            }
        } else {
            z.lock("z")?;
            inputs.lock()?;
            for (output, name) in outputs.iter_mut().flatten().zip(operation.outputs()) {
                output.lock(name)?;
            }
        }
        let shape = z.shape();

        let (z, t) = (z.as_slice()?, inputs.t.input.as_slice()?);
        let mut slices = outputs.iter_mut().flatten().map(Output::as_slice);
        let mut next = || slices.next().transpose().map(Option::unwrap_or_default);
        let arrays = [next()?, next()?, next()?];
        let bce = match inputs.bce(py, &self.options) {
            Ok(bce) => bce,
            Err(error) => {
                // As after the kernel's own errors.
                fill_with_nan(arrays);
                for output in outputs.into_iter().flatten() {
                    output.finish(true)?;
                }
                return Err(error);
            }
        };
        let mut added = LossSum::new();
        let threads = self.threads;
        let work = || match threads {
            1 => one_thread(operation, &bce, z, t, arrays, &mut added),
            _ => many_threads(operation, &bce, z, t, arrays, &mut added),
        };
        let result = options::run(py, z.len(), threads, work)?;

        let failed = result.is_err();
        let mut arrays = [None, None, None];
        for (to, output) in arrays.iter_mut().zip(outputs.into_iter().flatten()) {
            let array = output.finish(failed)?;
            *to = Some(if self.out.is_none() && shape.is_empty() {
                // As NumPy's own functions: a scalar for a scalar.
                array.get_item(())?
            } else {
                array
            });
        }
        let value = result.map_err(|error| inputs.value_error(py, error, shape))?;
        if let Some(sum) = self.sum {
            sum.borrow_mut().0.merge(&added);
        }
        let value = operation.reduces().then_some(value);
        Ok(match (value, arrays) {
            (None, [None, ..]) => py.None().into_bound(py),
            (None, [Some(a), None, _]) => a,
            (None, [Some(a), Some(b), None]) => (a, b).into_pyobject(py)?.into_any(),
            (None, [Some(a), Some(b), Some(c)]) => (a, b, c).into_pyobject(py)?.into_any(),
            (Some(value), [None, ..]) => value.into_pyobject(py)?.into_any(),
            (Some(value), [Some(a), None, _]) => (value, a).into_pyobject(py)?.into_any(),
            (Some(value), [Some(a), Some(b), _]) => (value, a, b).into_pyobject(py)?.into_any(),
        })
    }

    fn outputs<T: Real>(
        &self,
        z: &Bound<'py, PyArrayDyn<T>>,
        inputs: &Inputs<'py, T>,
        operation: Operation,
    ) -> PyResult<[Option<Output<'py, T>>; 3]> {
        let mut outputs = [None, None, None];
        let names = if self.in_place {
            &["z"]
        } else {
            operation.outputs()
        };
        let Some(out) = self.out else {
            for (to, name) in outputs.iter_mut().zip(names) {
                *to = Some(Output::new(name, None, z.shape(), &[], z.py())?);
            }
            return Ok(outputs);
        };
        // What the caller passed, and the copies of it.
        let passed = [
            Some(self.z),
            Some(self.t),
            self.weights,
            self.row_weights,
            self.pos_weights,
        ];
        let copies = [Some(z.as_any())].into_iter().chain(inputs.arrays());
        let copies = copies
            .zip(passed)
            .map(|(copy, passed)| copy.filter(|copy| passed.is_none_or(|passed| !passed.is(copy))));
        let inputs: Vec<_> = passed.into_iter().chain(copies).collect();
        let output = |name: &str, out| Output::new(name, out, z.shape(), &inputs, z.py());
        let out = if names.len() == 1 {
            vec![Some(out.clone())]
        } else {
            match out.cast::<PyTuple>() {
                Ok(out) if out.len() == names.len() => {
                    let given = |out: Bound<'py, PyAny>| (!out.is_none()).then_some(out);
                    out.iter().map(given).collect()
                }
                _ => {
                    let count = names.len();
                    let said = format!("out must be a tuple of {count} arrays or None");
                    return Err(PyTypeError::new_err(said));
                }
            }
        };
        for (i, (name, later)) in names.iter().zip(&out).enumerate() {
            for (other, earlier) in names.iter().zip(&out).take(i) {
                if let (Some(earlier), Some(later)) = (earlier, later) {
                    check_apart([other, name], earlier, later)?;
                }
            }
        }
        for (to, (name, out)) in outputs.iter_mut().zip(names.iter().zip(&out)) {
            *to = Some(output(name, out.as_ref())?);
        }
        Ok(outputs)
    }

    /// Where z lies in C order: without a copy of it.
    fn in_place<T: Real>(&self, array: &Bound<'py, PyArrayDyn<T>>) -> PyResult<()> {
        let (py, shape) = (array.py(), array.shape());
        let own = extent(array.as_untyped());
        let mut inputs = Inputs::new(self, shape, &|input| overlap(&extent(input), &own))?;
        inputs.lock()?;
        let mut z = writeable("z", array)?;
        let (z, t) = (z.as_slice_mut()?, inputs.t.input.as_slice()?);
        let bce = inputs.bce(py, &self.options)?;
        options::run(py, z.len(), 1, || bce.gradient_in_place(z, t))?
            .map_err(|error| inputs.value_error(py, error, shape))
    }
}

/// All arrays of a call but the logits, as elements of their type in C order.
struct Inputs<'py, T: Real> {
    t: Narrowed<'py, T>,
    weights: Option<Narrowed<'py, T>>,
    row_weights: Option<Narrowed<'py, T>>,
    pos_weights: Option<Narrowed<'py, T>>,
    logit_targets: bool,
}

impl<'py, T: Real> Inputs<'py, T> {
    /// For logits of this shape; those that are `written` are copied.
    fn new(
        call: &Call<'_, 'py>,
        shape: &[usize],
        written: &dyn Fn(&Bound<'py, PyUntypedArray>) -> bool,
    ) -> PyResult<Self> {
        let apart = |mut input: Narrowed<'py, T>| {
            if written(input.input.array().as_untyped()) {
                input.copy();
            }
            Ok::<_, PyErr>(input)
        };
        // A positive number stays one, and what is negative is not rounded to -0.
        let weight = |w: f64| kept(if w < 0.0 { f64::NAN } else { w });
        let given = |name, value: Option<&Bound<'py, PyAny>>| {
            value
                .map(|value| Narrowed::new(name, value, weight).and_then(apart))
                .transpose()
        };
        let tolerance = call.options.target_tolerance;
        let t = if call.options.logit_targets {
            Narrowed::new("t", call.t, logit_target)
        } else {
            Narrowed::new("t", call.t, |t| target(t, tolerance))
        };
        let inputs = Self {
            t: apart(t?)?,
            weights: given("weights", call.weights)?,
            row_weights: given("row_weights", call.row_weights)?,
            pos_weights: given("pos_weights", call.pos_weights)?,
            logit_targets: call.options.logit_targets,
        };
        check_shape("t", inputs.t.shape(), shape, "logits")?;
        if let Some(weights) = &inputs.weights {
            check_shape("weights", weights.shape(), shape, "logits")?;
        }
        if let Some(weights) = &inputs.row_weights
            && !shape.starts_with(weights.shape())
        {
            return Err(wrong_shape(
                "row_weights",
                weights.shape(),
                "the first",
                shape,
            ));
        }
        if let Some(weights) = &inputs.pos_weights
            && !shape.ends_with(weights.shape())
        {
            return Err(wrong_shape(
                "pos_weights",
                weights.shape(),
                "the last",
                shape,
            ));
        }
        Ok(inputs)
    }

    fn each(&mut self) -> impl Iterator<Item = (&'static str, &mut Input<'py, T>)> {
        let others = [
            ("weights", &mut self.weights),
            ("row_weights", &mut self.row_weights),
            ("pos_weights", &mut self.pos_weights),
        ];
        let others = others
            .into_iter()
            .filter_map(|(name, input)| Some((name, &mut input.as_mut()?.input)));
        [("t", &mut self.t.input)].into_iter().chain(others)
    }

    fn lock(&mut self) -> PyResult<()> {
        self.each().try_for_each(|(name, input)| input.lock(name))
    }

    fn arrays(&self) -> impl Iterator<Item = Option<&Bound<'py, PyAny>>> {
        let weights = [&self.weights, &self.row_weights, &self.pos_weights];
        let weights = weights
            .into_iter()
            .map(|input| input.as_ref().map(|input| input.input.array().as_any()));
        [Some(self.t.input.array().as_any())]
            .into_iter()
            .chain(weights)
    }

    fn bce(&self, py: Python<'py>, options: &Options) -> PyResult<Bce<'_, T>> {
        let mut bce = options.bce(py)?;
        if let Some(weights) = &self.weights {
            bce = bce.weights(weights.input.as_slice()?);
        }
        if let Some(weights) = &self.row_weights {
            bce = bce.row_weights(weights.input.as_slice()?);
        }
        if let Some(weights) = &self.pos_weights {
            bce = bce.pos_weights(weights.input.as_slice()?);
        }
        Ok(bce)
    }

    /// The kernel's error, of the value as it was given.
    fn value_error(&self, py: Python<'_>, error: Error, shape: &[usize]) -> PyErr {
        let t = Some(&self.t);
        let (name, of, index, value, range) = match error {
            Error::TargetOutOfRange { index, value } if self.logit_targets => {
                ("t", t, index, value, "a number")
            }
            Error::TargetOutOfRange { index, value } => ("t", t, index, value, "in [0, 1]"),
            Error::InvalidWeight { index, value } => {
                let of = self.weights.as_ref();
                ("weights", of, index, value, "finite and >= 0")
            }
            Error::InvalidRowWeight { row, value } => {
                let of = self.row_weights.as_ref();
                ("row_weights", of, row, value, "finite and >= 0")
            }
            Error::InvalidPosWeight { class, value } => {
                let of = self.pos_weights.as_ref();
                ("pos_weights", of, class, value, "finite and > 0")
            }
            error => return value_error(py, error, shape, "t"),
        };
        let value = of.map_or(value, |of| of.given(index, value));
        let in_range = match name {
            "t" => self.logit_targets,
            _ => value > 0.0,
        };
        let lost = rounded_to::<T>(value).filter(|_| in_range);
        let said = lost.unwrap_or_else(|| must_be(range));
        let shape = of.map_or(shape, Narrowed::shape);
        element_error(py, (name, index, value), shape, &said)
    }
}

/// A target, rounded where it is one.
pub fn target<T: Real>(t: f64, tolerance: f64) -> T {
    T::rounded(if -tolerance <= t && t <= 1.0 + tolerance {
        t.clamp(0.0, 1.0)
    } else {
        f64::NAN
    })
}

/// sigmoid(u) is as good as 1/2 for a u that becomes 0.
fn logit_target<T: Real>(u: f64) -> T {
    let to = T::rounded(u);
    if to.into() == 0.0 { to } else { kept(u) }
}

/// The number that the operation returns, or 0.
fn one_thread<T: Real>(
    operation: Operation,
    bce: &Bce<'_, T>,
    z: &[T],
    t: &[T],
    [a, b, c]: [&mut [T]; 3],
    sum: &mut LossSum,
) -> Result<f64, Error> {
    match operation {
        Sum => return bce.sum(z, t),
        Mean => return bce.mean(z, t),
        SumGradient => return bce.sum_gradient(z, t, a),
        MeanGradient => return bce.mean_gradient(z, t, a),
        SumGradientHessian => return bce.sum_gradient_hessian(z, t, a, b),
        Loss => bce.loss(z, t, a)?,
        Gradient => bce.gradient(z, t, a)?,
        LossGradient => bce.loss_gradient(z, t, a, b)?,
        GradientHessian => bce.gradient_hessian(z, t, a, b)?,
        LossGradientHessian => bce.loss_gradient_hessian(z, t, a, b, c)?,
        Accumulate => bce.accumulate(z, t, sum)?,
        AccumulateGradient => bce.accumulate_gradient(z, t, sum, a)?,
        AccumulateGradientHessian => bce.accumulate_gradient_hessian(z, t, sum, a, b)?,
    }
    Ok(0.0)
}

/// The same, with the same bits; in two passes where the crate has none for it.
fn many_threads<T: Real>(
    operation: Operation,
    bce: &Bce<'_, T>,
    z: &[T],
    t: &[T],
    [a, b, c]: [&mut [T]; 3],
    sum: &mut LossSum,
) -> Result<f64, Error> {
    match operation {
        Sum => return bce.par_sum(z, t),
        Mean => return bce.par_mean(z, t),
        SumGradient => return bce.par_sum_gradient(z, t, a),
        MeanGradient => return bce.par_mean_gradient(z, t, a),
        SumGradientHessian => return bce.par_sum_gradient_hessian(z, t, a, b),
        Loss => bce.par_loss(z, t, a)?,
        Gradient => bce.par_gradient(z, t, a)?,
        LossGradient => poisoned(
            bce.par_loss(z, t, a)
                .and_then(|()| bce.par_gradient(z, t, b)),
            [a, b, c],
        )?,
        GradientHessian => bce.par_gradient_hessian(z, t, a, b)?,
        LossGradientHessian => {
            let result = bce
                .par_loss(z, t, a)
                .and_then(|()| bce.par_gradient_hessian(z, t, b, c));
            poisoned(result, [a, b, c])?;
        }
        Accumulate => bce.par_accumulate(z, t, sum)?,
        AccumulateGradient => {
            bce.par_gradient(z, t, a)?;
            bce.par_accumulate(z, t, sum)?;
        }
        AccumulateGradientHessian => {
            bce.par_gradient_hessian(z, t, a, b)?;
            bce.par_accumulate(z, t, sum)?;
        }
    }
    Ok(0.0)
}

/// Makes NaN of all arrays after an error of the first of two passes.
fn poisoned<T: Real>(result: Result<(), Error>, arrays: [&mut [T]; 3]) -> Result<(), Error> {
    if result.is_err() {
        fill_with_nan(arrays);
    }
    result
}

fn fill_with_nan<T: Real>(arrays: [&mut [T]; 3]) {
    for array in arrays {
        array.fill(T::rounded(f64::NAN));
    }
}

/// Makes the Python function of an operation: of a `LossSum` too if it adds to one, with `out` if it
/// writes.
macro_rules! operation {
    ($(#[$doc:meta])* $name:ident($($sum:ident)? $(; $out:ident)?) = $operation:expr) => {
        $(#[$doc])*
        #[pyfunction]
        #[pyo3(signature = (
            z, t, $($sum,)? *, weights=None, row_weights=None, pos_weight=1.0, pos_weights=None, label_smoothing=0.0, target_tolerance=0.0,
            temperature=1.0, logit_targets=false, squared_error=false, focal=None, exact=false, excess=false, backend=None, threads=1 $(, $out=None)?
        ))]
        #[allow(clippy::too_many_arguments)]
        pub fn $name<'py>(
            z: &Bound<'py, PyAny>,
            t: &Bound<'py, PyAny>,
            $($sum: &Bound<'py, PyLossSum>,)?
            weights: Option<&Bound<'py, PyAny>>,
            row_weights: Option<&Bound<'py, PyAny>>,
            pos_weight: f64,
            pos_weights: Option<&Bound<'py, PyAny>>,
            label_smoothing: f64,
            target_tolerance: f64,
            temperature: f64,
            logit_targets: bool,
            squared_error: bool,
            focal: Option<f64>,
            exact: bool,
            excess: bool,
            backend: Option<&str>,
            threads: i64,
            $($out: Option<&Bound<'py, PyAny>>,)?
        ) -> PyResult<Bound<'py, PyAny>> {
            let backend = options::backend(backend)?;
            let threads = options::threads(threads)?;
            #[allow(unused_mut)]
            let mut call = Call {
                z,
                t,
                weights,
                row_weights,
                pos_weights,
                options: Options {
                    pos_weight, label_smoothing, target_tolerance, temperature, logit_targets, squared_error,
                    focal, exact, excess, backend,
                },
                threads,
                sum: None,
                out: None,
                in_place: false,
            };
            $(call.sum = Some($sum);)?
            $(call.out = $out;)?
            match Typed::new("z", z)? {
                Typed::F32(z) => call.run(z, $operation),
                Typed::F64(z) => call.run(z, $operation),
            }
        }
    };
}

operation! {
    /// The loss of every element: -t ln s - (1 - t) ln(1 - s), with s = sigmoid(z).
    ///
    /// z: logits, an array of any shape. t: targets in [0, 1], of the same shape. The options are those of
    /// every operation: see help(soft_bce).
    ///
    /// >>> import numpy as np, soft_bce
    /// >>> soft_bce.loss(np.array([0.0, 1e4]), np.array([0.5, 1.0]))
    /// array([0.69314718, 0.        ])
    loss(; out) = Loss
}

operation! {
    /// The sum of the losses: the true sum of what `loss` gives, rounded once, in any order, on any machine.
    ///
    /// >>> import soft_bce
    /// >>> soft_bce.sum([0.0, 0.0], [0.5, 1.0])
    /// 1.3862943611198906
    /// >>> soft_bce.sum([], [])
    /// 0.0
    sum() = Sum
}

operation! {
    /// The mean loss: the exact sum over the number of elements or, with weights, over the total weight.
    ///
    /// PyTorch divides by the number of elements even with weights; so does `soft_bce.torch`.
    ///
    /// >>> import soft_bce
    /// >>> soft_bce.mean([0.0, 9.0], [0.5, 0.5], weights=[2.0, 0.0])
    /// 0.6931471805599453
    mean() = Mean
}

operation! {
    /// The gradient of every element's loss by its logit: s - t, with s = sigmoid(z).
    ///
    /// >>> import numpy as np, soft_bce
    /// >>> soft_bce.gradient(np.array([0.0, 20.0], np.float32), [0.25, 1.0])
    /// array([ 2.5000000e-01, -2.0611537e-09], dtype=float32)
    gradient(; out) = Gradient
}

operation! {
    /// (sum, gradient) in one pass.
    ///
    /// >>> import soft_bce
    /// >>> soft_bce.sum_gradient([0.0, 0.0], [0.5, 1.0])
    /// (1.3862943611198906, array([ 0. , -0.5]))
    sum_gradient(; out) = SumGradient
}

operation! {
    /// (mean, gradient of the mean): each element's gradient divided by what the mean is divided by.
    ///
    /// >>> import soft_bce
    /// >>> soft_bce.mean_gradient([0.0, 0.0], [0.5, 1.0])
    /// (0.6931471805599453, array([ 0.  , -0.25]))
    mean_gradient(; out) = MeanGradient
}

operation! {
    /// (loss, gradient) of every element in one pass. `out` is a pair.
    ///
    /// >>> import soft_bce
    /// >>> soft_bce.loss_gradient([0.0, 1e4], [0.5, 1.0])
    /// (array([0.69314718, 0.        ]), array([0., 0.]))
    loss_gradient(; out) = LossGradient
}

operation! {
    /// (loss, gradient, Hessian) of every element in one pass. `out` is a tuple of three.
    ///
    /// >>> import soft_bce
    /// >>> soft_bce.loss_gradient_hessian([0.0], [1.0])
    /// (array([0.69314718]), array([-0.5]), array([0.25]))
    loss_gradient_hessian(; out) = LossGradientHessian
}

operation! {
    /// (gradient, Hessian): the Hessian is diagonal, s (1 - s) for every element. `out` is a pair.
    ///
    /// >>> import soft_bce
    /// >>> soft_bce.gradient_hessian([0.0], [1.0])
    /// (array([-0.5]), array([0.25]))
    gradient_hessian(; out) = GradientHessian
}

operation! {
    /// (sum, gradient, Hessian) in one pass: what a Newton step needs. `out` is a pair.
    ///
    /// >>> import soft_bce
    /// >>> soft_bce.sum_gradient_hessian([0.0], [0.5])
    /// (0.6931471805599453, array([0.]), array([0.25]))
    sum_gradient_hessian(; out) = SumGradientHessian
}

operation! {
    /// Adds the losses to a LossSum, exactly: the way to a sum over parts whose bits depend on no partition.
    ///
    /// >>> import soft_bce
    /// >>> z, t, total = [3.0, -1.0, 0.1], [1.0, 0.3, 0.7], soft_bce.LossSum()
    /// >>> soft_bce.accumulate(z[1:], t[1:], total)
    /// >>> soft_bce.accumulate(z[:1], t[:1], total)
    /// >>> total.value == soft_bce.sum(z, t)
    /// True
    accumulate(total) = Accumulate
}

operation! {
    /// Adds the losses to a LossSum; returns the gradient.
    ///
    /// >>> import soft_bce
    /// >>> total = soft_bce.LossSum()
    /// >>> soft_bce.accumulate_gradient([0.0, 0.0], [0.5, 1.0], total), total.value
    /// (array([ 0. , -0.5]), 1.3862943611198906)
    accumulate_gradient(total; out) = AccumulateGradient
}

operation! {
    /// Adds the losses to a LossSum; returns (gradient, Hessian). `out` is a pair.
    ///
    /// >>> import soft_bce
    /// >>> total = soft_bce.LossSum()
    /// >>> soft_bce.accumulate_gradient_hessian([0.0], [1.0], total), total.value
    /// ((array([-0.5]), array([0.25])), 0.6931471805599453)
    accumulate_gradient_hessian(total; out) = AccumulateGradientHessian
}

/// Replaces every logit by the gradient there. After an error z is as it was.
///
/// z: a writeable array of float32 or float64, of any layout.
///
/// >>> import numpy as np, soft_bce
/// >>> z = np.zeros(2)
/// >>> soft_bce.gradient_in_place(z, [0.25, 1.0])
/// >>> z
/// array([ 0.25, -0.5 ])
#[pyfunction]
#[pyo3(signature = (
    z, t, *, weights=None, row_weights=None, pos_weight=1.0, pos_weights=None, label_smoothing=0.0, target_tolerance=0.0,
    temperature=1.0, logit_targets=false, squared_error=false, focal=None, exact=false, excess=false, backend=None, threads=1
))]
#[allow(clippy::too_many_arguments)]
pub fn gradient_in_place(
    z: &Bound<'_, PyAny>,
    t: &Bound<'_, PyAny>,
    weights: Option<&Bound<'_, PyAny>>,
    row_weights: Option<&Bound<'_, PyAny>>,
    pos_weight: f64,
    pos_weights: Option<&Bound<'_, PyAny>>,
    label_smoothing: f64,
    target_tolerance: f64,
    temperature: f64,
    logit_targets: bool,
    squared_error: bool,
    focal: Option<f64>,
    exact: bool,
    excess: bool,
    backend: Option<&str>,
    threads: i64,
) -> PyResult<()> {
    let backend = options::backend(backend)?;
    let threads = options::threads(threads)?;
    let options = Options {
        pos_weight,
        label_smoothing,
        target_tolerance,
        exact,
        excess,
        temperature,
        logit_targets,
        squared_error,
        focal,
        backend,
    };
    let call = Call {
        z,
        t,
        weights,
        row_weights,
        pos_weights,
        options,
        threads,
        sum: None,
        out: Some(z),
        in_place: true,
    };
    if threads == 1 {
        match z.cast_exact::<PyArrayDyn<f32>>() {
            Ok(z) if in_order(z) => return call.in_place(z),
            _ => {}
        }
        match z.cast_exact::<PyArrayDyn<f64>>() {
            Ok(z) if in_order(z) => return call.in_place(z),
            _ => {}
        }
    }
    match Typed::new("z", z)? {
        Typed::F32(z) => call.run(z, Gradient).map(drop),
        Typed::F64(z) => call.run(z, Gradient).map(drop),
    }
}

/// A function of one argument, in one thread.
type Function<T> = fn(&[T], &mut [T]) -> Result<(), Error>;

fn map<'py, T: Real>(
    name: &str,
    original: &Bound<'py, PyAny>,
    z: Input<'py, T>,
    function: Function<T>,
    threads: usize,
    out: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    /// Elements that a thread takes at a time.
    const CHUNK: usize = 1 << 14;
    let (py, mut z) = (original.py(), z);
    let inputs = [Some(original), Some(z.array().as_any())];
    let mut output = Output::new("out", out, z.shape(), &inputs, py)?;
    if options::alone(z.array().len()) {
        // SAFETY: no code of Python runs until the kernel is done, and the lock is kept.
        unsafe {
            z.keep();
            output.keep();
        }
    } else {
        z.lock(name)?;
        output.lock("out")?;
    }
    let shape = z.shape();
    let (from, to) = (z.as_slice()?, output.as_slice()?);
    let result = options::run(py, from.len(), threads, || {
        if threads > 1 {
            let chunks = from.par_chunks(CHUNK).zip(to.par_chunks_mut(CHUNK));
            if chunks
                .map(|(from, to)| function(from, to))
                .all(|result| result.is_ok())
            {
                return Ok(());
            }
        }
        // Names the first error, with its index in the whole.
        function(from, to)
    })?;
    let failed = result.is_err();
    let array = output.finish(failed)?;
    result.map_err(|error| value_error(py, error, shape, name))?;
    if out.is_none() && shape.is_empty() {
        return array.get_item(());
    }
    Ok(array)
}

macro_rules! function {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[pyfunction]
        #[pyo3(signature = (z, *, exact=false, threads=1, out=None))]
        pub fn $name<'py>(
            z: &Bound<'py, PyAny>,
            exact: bool,
            threads: i64,
            out: Option<&Bound<'py, PyAny>>,
        ) -> PyResult<Bound<'py, PyAny>> {
            let threads = options::threads(threads)?;
            match Typed::new("z", z)? {
                Typed::F32(array) if exact => map("z", z, array, soft_bce::exact::$name, threads, out),
                Typed::F32(array) => map("z", z, array, soft_bce::$name, threads, out),
                Typed::F64(_) if exact => Err(options::no_exact_f64()),
                Typed::F64(array) => map("z", z, array, soft_bce::$name, threads, out),
            }
        }
    };
}

function! {
    /// 1/(1 + e^-z), with full relative precision where it is small.
    ///
    /// `exact`: correctly rounded; float32 alone.
    ///
    /// >>> import numpy as np, soft_bce
    /// >>> soft_bce.sigmoid([0.0, -104.0, np.inf])
    /// array([5.00000000e-01, 6.81355682e-46, 1.00000000e+00])
    sigmoid
}

function! {
    /// ln sigmoid(z) = -softplus(-z).
    ///
    /// `exact`: correctly rounded; float32 alone.
    ///
    /// >>> import soft_bce
    /// >>> soft_bce.log_sigmoid([0.0, -1000.0])
    /// array([-6.93147181e-01, -1.00000000e+03])
    log_sigmoid
}

function! {
    /// ln(1 + e^z), with full relative precision where it is small.
    ///
    /// `exact`: correctly rounded; float32 alone.
    ///
    /// >>> import soft_bce
    /// >>> soft_bce.softplus([0.0, 1000.0])
    /// array([6.93147181e-01, 1.00000000e+03])
    softplus
}

/// ln(p/(1 - p)), the inverse of the sigmoid: the logit at which the loss for the target p is least.
///
/// -inf at 0, inf at 1; ValueError for NaN and outside [0, 1].
///
/// >>> import soft_bce
/// >>> soft_bce.logit([0.0, 0.5, 1.0])
/// array([-inf,   0.,  inf])
#[pyfunction]
#[pyo3(signature = (p, *, threads=1, out=None))]
pub fn logit<'py>(
    p: &Bound<'py, PyAny>,
    threads: i64,
    out: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let threads = options::threads(threads)?;
    match Typed::new("p", p)? {
        Typed::F32(array) => map("p", p, array, soft_bce::logit, threads, out),
        Typed::F64(array) => map("p", p, array, soft_bce::logit, threads, out),
    }
}
