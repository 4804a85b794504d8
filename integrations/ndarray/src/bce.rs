//! [`Bce`]: the options, and the entry points over arrays.

use std::slice;

use ndarray::{ArrayRef, ArrayView1, ArrayViewD, Axis, Dimension};
use soft_bce::LossSum;

use crate::walk::{Arrays, Job};
use crate::{Error, Real};

/// Places in [`Arrays`]: logits, targets, weights among the inputs; loss, gradient, Hessian among
/// the outputs.
const LOGITS: usize = 0;
const WEIGHTS: usize = 2;
const GRADIENT: usize = 1;
const HESSIAN: usize = 2;

/// Below this many elements a thread costs more than it brings.
#[cfg(feature = "rayon")]
const LEAST: usize = 1 << 14;

/// What happens to a class, or to everything.
type ClassJob<'j, T> =
    dyn FnMut(&soft_bce::Bce<'_, T>, Arrays<'_, T>) -> Result<(), soft_bce::Error> + 'j;

/// What becomes of the losses.
enum Reduction<'s> {
    None,
    Sum,
    Mean,
    Into(&'s mut LossSum),
}

#[derive(Clone, Debug)]
enum Weights<'a, T> {
    None,
    Array(ArrayViewD<'a, T>),
    Axis(Axis, &'a [T]),
}

/// [`soft_bce::Bce`] over arrays: the same options, the same methods.
///
/// See [what every method does](crate#what-every-method-does).
#[derive(Clone, Debug)]
pub struct Bce<'a, T: Real> {
    /// Without weights.
    kernel: soft_bce::Bce<'static, T>,
    weights: Weights<'a, T>,
    pos_weights: Option<(Axis, &'a [T])>,
    parallel: bool,
}

impl<T: Real> Default for Bce<'_, T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<'a, T: Real> Bce<'a, T> {
    /// The plain loss, on the fastest backend.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            kernel: soft_bce::Bce::new(),
            weights: Weights::None,
            pos_weights: None,
            parallel: false,
        }
    }

    /// [`soft_bce::SquaredError`] in place of cross-entropy: the same methods, and the options it goes with.
    ///
    /// ```
    /// use ndarray::array;
    /// use soft_bce_ndarray::Bce;
    /// let brier = Bce::squared_error().mean(&array![[0.0, 200.0]], &array![[1.0, 1.0]])?;
    /// assert_eq!(brier, 0.125);
    /// # Ok::<(), soft_bce_ndarray::Error>(())
    /// ```
    #[must_use]
    pub fn squared_error() -> Self {
        Self {
            kernel: *soft_bce::SquaredError::new(),
            ..Self::new()
        }
    }

    /// [`soft_bce::Focal`] in place of cross-entropy: the same methods but for the Hessian, and the options
    /// it goes with.
    #[must_use]
    pub fn focal(beta: T) -> Self {
        Self {
            kernel: *soft_bce::Focal::new(beta),
            ..Self::new()
        }
    }

    /// Multiplies each element by its weight, as [`soft_bce::Bce::weights`] does. The weights'
    /// shape is the logits', or one that broadcasts to it. Excludes [`weights_along`](Self::weights_along).
    ///
    /// ```
    /// use ndarray::array;
    /// use soft_bce_ndarray::Bce;
    /// let (z, t) = (array![[0.0, 1.0], [2.0, 3.0]], array![[0.5, 0.5], [0.5, 0.5]]);
    /// let row_weights = array![[1.0], [0.0]]; // 2 x 1: a weight for each row
    /// let mean = Bce::new().weights(&row_weights).mean(&z, &t)?;
    /// assert_eq!(mean, Bce::new().mean(&z.row(0), &t.row(0))?);
    /// # Ok::<(), soft_bce_ndarray::Error>(())
    /// ```
    #[must_use]
    pub fn weights<D: Dimension>(mut self, weights: &'a ArrayRef<T, D>) -> Self {
        self.weights = Weights::Array(weights.view().into_dyn());
        self
    }

    /// Multiplies each element by the weight of its index along an axis: with logits of rows by
    /// classes, weights along axis 0 are those of rows, along axis 1 those of classes.
    /// Excludes [`weights`](Self::weights).
    #[must_use]
    pub fn weights_along(mut self, axis: Axis, weights: &'a [T]) -> Self {
        self.weights = Weights::Axis(axis, weights);
        self
    }

    /// See [`soft_bce::Bce::pos_weight`].
    #[must_use]
    pub const fn pos_weight(mut self, pos_weight: T) -> Self {
        self.kernel = self.kernel.pos_weight(pos_weight);
        self
    }

    /// A [`pos_weight`](Self::pos_weight) for each class; the axis is that of the classes.
    /// Excludes the one for all.
    ///
    /// ```
    /// use ndarray::{Array2, Axis, array};
    /// use soft_bce_ndarray::Bce;
    /// let mut gradient = Array2::zeros((1, 2));
    /// let bce = Bce::new().pos_weights(Axis(1), &[1.0, 3.0]);
    /// bce.gradient(&array![[0.0_f32, 0.0]], &array![[1.0, 1.0]], &mut gradient)?;
    /// assert_eq!(gradient, array![[-0.5, -1.5]]);
    /// # Ok::<(), soft_bce_ndarray::Error>(())
    /// ```
    #[must_use]
    pub fn pos_weights(mut self, axis: Axis, pos_weights: &'a [T]) -> Self {
        self.pos_weights = Some((axis, pos_weights));
        self
    }

    /// See [`soft_bce::Bce::label_smoothing`].
    #[must_use]
    pub const fn label_smoothing(mut self, alpha: T) -> Self {
        self.kernel = self.kernel.label_smoothing(alpha);
        self
    }

    /// See [`soft_bce::Bce::temperature`].
    #[must_use]
    pub const fn temperature(mut self, temperature: T) -> Self {
        self.kernel = self.kernel.temperature(temperature);
        self
    }

    /// See [`soft_bce::Bce::logit_targets`].
    #[must_use]
    pub const fn logit_targets(mut self) -> Self {
        self.kernel = self.kernel.logit_targets();
        self
    }

    /// See [`soft_bce::Bce::target_tolerance`].
    #[must_use]
    pub const fn target_tolerance(mut self, tolerance: T) -> Self {
        self.kernel = self.kernel.target_tolerance(tolerance);
        self
    }

    /// See [`soft_bce::Bce::excess`].
    #[must_use]
    pub const fn excess(mut self) -> Self {
        self.kernel = self.kernel.excess();
        self
    }

    /// See [`soft_bce::Bce::backend`].
    ///
    /// # Errors
    /// [`Error::Kernel`] where the machine lacks it.
    pub fn backend(mut self, backend: soft_bce::Backend) -> Result<Self, Error> {
        self.kernel = self.kernel.backend(backend).map_err(Error::Kernel)?;
        Ok(self)
    }

    /// Runs on all threads of the current `rayon` pool, if there are elements enough: the same bits.
    #[cfg(feature = "rayon")]
    #[must_use]
    pub const fn parallel(mut self) -> Self {
        self.parallel = true;
        self
    }

    /// See [`soft_bce::Bce::loss`].
    ///
    /// # Errors
    /// As [for every method](crate#what-every-method-does).
    pub fn loss<D: Dimension>(
        &self,
        z: &ArrayRef<T, D>,
        t: &ArrayRef<T, D>,
        out: &mut ArrayRef<T, D>,
    ) -> Result<(), Error> {
        self.run(z, t, [Some(out), None, None], Reduction::None)
            .map(drop)
    }

    /// See [`soft_bce::Bce::sum`].
    ///
    /// # Errors
    /// As [for every method](crate#what-every-method-does).
    pub fn sum<D: Dimension>(&self, z: &ArrayRef<T, D>, t: &ArrayRef<T, D>) -> Result<f64, Error> {
        self.run(z, t, [None, None, None], Reduction::Sum)
    }

    /// See [`soft_bce::Bce::mean`].
    ///
    /// # Errors
    /// As [for every method](crate#what-every-method-does), and [`Error::Kernel`] where there are
    /// no elements or the total weight is 0.
    pub fn mean<D: Dimension>(&self, z: &ArrayRef<T, D>, t: &ArrayRef<T, D>) -> Result<f64, Error> {
        self.run(z, t, [None, None, None], Reduction::Mean)
    }

    /// See [`soft_bce::Bce::gradient`].
    ///
    /// # Errors
    /// As [for every method](crate#what-every-method-does).
    pub fn gradient<D: Dimension>(
        &self,
        z: &ArrayRef<T, D>,
        t: &ArrayRef<T, D>,
        out: &mut ArrayRef<T, D>,
    ) -> Result<(), Error> {
        self.run(z, t, [None, Some(out), None], Reduction::None)
            .map(drop)
    }

    /// Replaces every logit by the gradient there; see [`soft_bce::Bce::gradient_in_place`].
    ///
    /// # Errors
    /// As [for every method](crate#what-every-method-does); `z` is then as it was.
    ///
    /// ```
    /// use ndarray::{array, s};
    /// use soft_bce_ndarray::Bce;
    /// let mut z = array![[0.0_f32, 7.0, 0.0], [0.0, 7.0, 0.0]];
    /// let t = array![[0.25, 1.0], [0.5, 0.0]];
    /// Bce::new().gradient_in_place(&mut z.slice_mut(s![.., ..;2]), &t)?;
    /// assert_eq!(z, array![[0.25, 7.0, -0.5], [0.0, 7.0, 0.5]]);
    /// # Ok::<(), soft_bce_ndarray::Error>(())
    /// ```
    pub fn gradient_in_place<D: Dimension>(
        &self,
        z: &mut ArrayRef<T, D>,
        t: &ArrayRef<T, D>,
    ) -> Result<(), Error> {
        // Checks everything before anything is written.
        self.run(z, t, [None, None, None], Reduction::Sum)?;
        let weights = self.weights_for(z.shape())?;
        let arrays = Arrays {
            inputs: [
                None,
                Some(t.view().into_dyn()),
                broadcast(weights.as_ref(), z.shape())?,
            ],
            outputs: [None, Some(z.view_mut().into_dyn()), None],
        };
        let weighted = weights.is_some();
        self.each_class(&mut arrays.normalised(), &mut |kernel, mut arrays| {
            arrays.straighten();
            if let Some(([_, t, w], [_, gradient, _])) = arrays.as_slices() {
                return with(kernel, weighted, w).gradient_in_place(gradient, t);
            }
            arrays.each_block_in_place(&mut |[z, t, w], [_, gradient, _]| {
                with(kernel, weighted, w).gradient(z, t, gradient)
            })
        })
        .map_err(Error::Kernel)
    }

    /// See [`soft_bce::Bce::sum_gradient`].
    ///
    /// # Errors
    /// As [for every method](crate#what-every-method-does).
    pub fn sum_gradient<D: Dimension>(
        &self,
        z: &ArrayRef<T, D>,
        t: &ArrayRef<T, D>,
        gradient: &mut ArrayRef<T, D>,
    ) -> Result<f64, Error> {
        self.run(z, t, [None, Some(gradient), None], Reduction::Sum)
    }

    /// See [`soft_bce::Bce::mean_gradient`].
    ///
    /// # Errors
    /// As [for every method](crate#what-every-method-does), and [`Error::Kernel`] where there are
    /// no elements or the total weight is 0.
    pub fn mean_gradient<D: Dimension>(
        &self,
        z: &ArrayRef<T, D>,
        t: &ArrayRef<T, D>,
        gradient: &mut ArrayRef<T, D>,
    ) -> Result<f64, Error> {
        self.run(z, t, [None, Some(gradient), None], Reduction::Mean)
    }

    /// See [`soft_bce::Bce::gradient_hessian`].
    ///
    /// # Errors
    /// As [for every method](crate#what-every-method-does).
    pub fn gradient_hessian<D: Dimension>(
        &self,
        z: &ArrayRef<T, D>,
        t: &ArrayRef<T, D>,
        gradient: &mut ArrayRef<T, D>,
        hessian: &mut ArrayRef<T, D>,
    ) -> Result<(), Error> {
        self.run(z, t, [None, Some(gradient), Some(hessian)], Reduction::None)
            .map(drop)
    }

    /// See [`soft_bce::Bce::loss_gradient`].
    ///
    /// # Errors
    /// As [for every method](crate#what-every-method-does).
    pub fn loss_gradient<D: Dimension>(
        &self,
        z: &ArrayRef<T, D>,
        t: &ArrayRef<T, D>,
        loss: &mut ArrayRef<T, D>,
        gradient: &mut ArrayRef<T, D>,
    ) -> Result<(), Error> {
        self.run(z, t, [Some(loss), Some(gradient), None], Reduction::None)
            .map(drop)
    }

    /// See [`soft_bce::Bce::loss_gradient_hessian`].
    ///
    /// # Errors
    /// As [for every method](crate#what-every-method-does).
    pub fn loss_gradient_hessian<D: Dimension>(
        &self,
        z: &ArrayRef<T, D>,
        t: &ArrayRef<T, D>,
        loss: &mut ArrayRef<T, D>,
        gradient: &mut ArrayRef<T, D>,
        hessian: &mut ArrayRef<T, D>,
    ) -> Result<(), Error> {
        let outputs = [Some(loss), Some(gradient), Some(hessian)];
        self.run(z, t, outputs, Reduction::None).map(drop)
    }

    /// See [`soft_bce::Bce::sum_gradient_hessian`].
    ///
    /// # Errors
    /// As [for every method](crate#what-every-method-does).
    pub fn sum_gradient_hessian<D: Dimension>(
        &self,
        z: &ArrayRef<T, D>,
        t: &ArrayRef<T, D>,
        gradient: &mut ArrayRef<T, D>,
        hessian: &mut ArrayRef<T, D>,
    ) -> Result<f64, Error> {
        self.run(z, t, [None, Some(gradient), Some(hessian)], Reduction::Sum)
    }

    /// See [`soft_bce::Bce::accumulate`].
    ///
    /// # Errors
    /// As [for every method](crate#what-every-method-does).
    pub fn accumulate<D: Dimension>(
        &self,
        z: &ArrayRef<T, D>,
        t: &ArrayRef<T, D>,
        sum: &mut LossSum,
    ) -> Result<(), Error> {
        self.run(z, t, [None, None, None], Reduction::Into(sum))
            .map(drop)
    }

    /// See [`soft_bce::Bce::accumulate_gradient`].
    ///
    /// # Errors
    /// As [for every method](crate#what-every-method-does).
    pub fn accumulate_gradient<D: Dimension>(
        &self,
        z: &ArrayRef<T, D>,
        t: &ArrayRef<T, D>,
        sum: &mut LossSum,
        gradient: &mut ArrayRef<T, D>,
    ) -> Result<(), Error> {
        self.run(z, t, [None, Some(gradient), None], Reduction::Into(sum))
            .map(drop)
    }

    /// See [`soft_bce::Bce::accumulate_gradient_hessian`].
    ///
    /// # Errors
    /// As [for every method](crate#what-every-method-does).
    pub fn accumulate_gradient_hessian<D: Dimension>(
        &self,
        z: &ArrayRef<T, D>,
        t: &ArrayRef<T, D>,
        sum: &mut LossSum,
        gradient: &mut ArrayRef<T, D>,
        hessian: &mut ArrayRef<T, D>,
    ) -> Result<(), Error> {
        let outputs = [None, Some(gradient), Some(hessian)];
        self.run(z, t, outputs, Reduction::Into(sum)).map(drop)
    }

    fn run<D: Dimension>(
        &self,
        z: &ArrayRef<T, D>,
        t: &ArrayRef<T, D>,
        outputs: [Option<&mut ArrayRef<T, D>>; 3],
        reduction: Reduction<'_>,
    ) -> Result<f64, Error> {
        let inputs = [Some(z.view().into_dyn()), Some(t.view().into_dyn()), None];
        let outputs = outputs.map(|array| array.map(|array| array.view_mut().into_dyn()));
        let mut arrays = Arrays { inputs, outputs };
        let result = self.reduce(&mut arrays, z.shape(), reduction);
        if result.is_err() {
            arrays.fill_outputs(T::nan());
        }
        result
    }

    /// What all entry points come to; returns the sum or the mean where that is wanted.
    fn reduce(
        &self,
        arrays: &mut Arrays<'_, T>,
        shape: &[usize],
        reduction: Reduction<'_>,
    ) -> Result<f64, Error> {
        arrays.check_shapes()?;
        let weights = self.weights_for(shape)?;
        let mut arrays = arrays.reborrow();
        arrays.inputs[WEIGHTS] = broadcast(weights.as_ref(), shape)?;
        self.check_pos_weights(shape)?;
        // Finds options out of range, which come before elements.
        let one_class = [T::one()];
        let options = match self.pos_weights {
            Some(_) => self.kernel.pos_weights(&one_class),
            None => self.kernel,
        };
        options.sum(&[], &[]).map_err(Error::Kernel)?;
        let mut arrays = arrays.normalised();
        let weighted = weights.is_some();
        let locate = |arrays: Arrays<'_, T>, error| {
            locate(arrays, shape, error, &mut |[z, t, w], _| {
                with(&self.kernel, weighted, w).accumulate(z, t, &mut LossSum::new())
            })
        };

        let result = match self.reduce_slices(arrays.reborrow(), &reduction) {
            Some(result) => result,
            None => self.reduce_blocks(arrays.reborrow(), weights.as_ref(), reduction),
        };
        result.map_err(|error| locate(arrays, error))
    }

    fn reduce_blocks(
        &self,
        mut arrays: Arrays<'_, T>,
        weights: Option<&ArrayViewD<'_, T>>,
        reduction: Reduction<'_>,
    ) -> Result<f64, soft_bce::Error> {
        let mut sum = LossSum::new();
        match reduction {
            Reduction::None => self.add_up(&mut arrays, None)?,
            Reduction::Mean => return self.mean_blocks(arrays, weights),
            Reduction::Sum | Reduction::Into(_) => self.add_up(&mut arrays, Some(&mut sum))?,
        }
        if let Reduction::Into(total) = reduction {
            total.merge(&sum);
        }
        Ok(sum.to_f64())
    }

    fn mean_blocks(
        &self,
        mut arrays: Arrays<'_, T>,
        weights: Option<&ArrayViewD<'_, T>>,
    ) -> Result<f64, soft_bce::Error> {
        let elements = arrays.len();
        let empty = |weights: &ArrayViewD<'_, T>| weights.iter().all(|&weight| weight == T::zero());
        if elements == 0 || weights.is_some_and(empty) {
            return Err(soft_bce::Error::Empty);
        }
        let Some(weights) = weights else {
            let mut total = LossSum::new();
            total.add(elements as f64);
            return self.divide(&mut arrays, &total);
        };
        let total = total_weight(weights, elements);
        // Where the total is below 1 or huge, or the losses overflow, weights are scaled by a power
        // of two, as in the kernel: that changes no bit where nothing overflows or underflows.
        let log2 = total.to_f64().log2().floor();
        let most = double(T::max_value()).log2() / 2.0;
        if !(log2 < 0.0 || log2 >= most) {
            let mean = self.divide(&mut arrays, &total)?;
            if mean != f64::INFINITY {
                return Ok(mean);
            }
        }
        let half = (-log2.clamp(-1074.0, 1024.0) / 2.0).floor();
        let factor = T::from(half.exp2()).unwrap_or_else(T::nan);
        let scaled = weights.mapv(|weight| weight * factor * factor);
        let scaled_weights = scaled.broadcast(arrays.shape());
        let mut arrays = arrays.reborrow();
        arrays.inputs[WEIGHTS] = scaled_weights;
        self.divide(&mut arrays, &total_weight(&scaled.view(), elements))
    }

    /// The mean, and its gradient where that is wanted.
    fn divide(&self, arrays: &mut Arrays<'_, T>, total: &LossSum) -> Result<f64, soft_bce::Error> {
        let mut sum = LossSum::new();
        self.add_up(arrays, Some(&mut sum))?;
        if let Some(gradient) = &mut arrays.outputs[GRADIENT] {
            let total = T::from(total.to_f64()).unwrap_or_else(T::nan);
            gradient.mapv_inplace(|value| value / total);
        }
        Ok(sum.divided_by(total))
    }

    fn add_up(
        &self,
        arrays: &mut Arrays<'_, T>,
        mut sum: Option<&mut LossSum>,
    ) -> Result<(), soft_bce::Error> {
        self.each_class(arrays, &mut |kernel, arrays| {
            self.walk(kernel, arrays, sum.as_deref_mut())
        })
    }

    /// Sums and means of arrays that are contiguous alike, in the kernel's one pass.
    fn reduce_slices(
        &self,
        mut arrays: Arrays<'_, T>,
        reduction: &Reduction<'_>,
    ) -> Option<Result<f64, soft_bce::Error>> {
        if self.parallel || self.pos_weights.is_some() {
            return None;
        }
        let gradient = arrays.outputs[GRADIENT].is_some();
        let hessian = arrays.outputs[HESSIAN].is_some();
        let weighted = arrays.inputs[WEIGHTS].is_some();
        arrays.straighten();
        let ([z, t, w], [_, g, h]) = arrays.as_slices()?;
        let bce = with(&self.kernel, weighted, w);
        Some(match (reduction, gradient, hessian) {
            (Reduction::Sum, false, false) => bce.sum(z, t),
            (Reduction::Sum, true, false) => bce.sum_gradient(z, t, g),
            (Reduction::Sum, true, true) => bce.sum_gradient_hessian(z, t, g, h),
            (Reduction::Mean, false, false) => bce.mean(z, t),
            (Reduction::Mean, true, false) => bce.mean_gradient(z, t, g),
            _ => return None,
        })
    }

    /// Runs the job on everything or, with a `pos_weight` for each class, on class after class unless
    /// the classes of each row lie side by side.
    fn each_class(
        &self,
        arrays: &mut Arrays<'_, T>,
        job: &mut ClassJob<'_, T>,
    ) -> Result<(), soft_bce::Error> {
        let Some((axis, pos_weights)) = self.pos_weights else {
            return job(&self.kernel, arrays.reborrow());
        };
        if !self.parallel && arrays.are_rows(axis) {
            return job(&self.kernel.pos_weights(pos_weights), arrays.reborrow());
        }
        // Of one class, which has the same bits.
        for (class, pos_weight) in pos_weights.iter().enumerate() {
            job(
                &self.kernel.pos_weights(slice::from_ref(pos_weight)),
                arrays.at(axis, class).normalised(),
            )?;
        }
        Ok(())
    }

    fn walk(
        &self,
        kernel: &soft_bce::Bce<'_, T>,
        mut arrays: Arrays<'_, T>,
        mut sum: Option<&mut LossSum>,
    ) -> Result<(), soft_bce::Error> {
        #[cfg(feature = "rayon")]
        if self.parallel
            && arrays.len() > LEAST
            && let Some((left, right)) = arrays.halves()
        {
            let half = |arrays| {
                let mut sum = sum.is_some().then(LossSum::new);
                self.walk(kernel, arrays, sum.as_mut()).map(|()| sum)
            };
            let (left, right) = rayon::join(|| half(left), || half(right));
            for part in [left?, right?].iter().flatten() {
                if let Some(sum) = &mut sum {
                    sum.merge(part);
                }
            }
            return Ok(());
        }
        let [loss, gradient, hessian] = arrays.outputs.each_ref().map(Option::is_some);
        let weighted = arrays.inputs[WEIGHTS].is_some();
        arrays.straighten();
        arrays.each_block(&mut |[z, t, w], [l, g, h]| {
            let bce = with(kernel, weighted, w);
            match (&mut sum, loss, gradient, hessian) {
                (None, true, false, _) => bce.loss(z, t, l),
                (None, true, true, false) => bce.loss_gradient(z, t, l, g),
                (None, true, ..) => bce.loss_gradient_hessian(z, t, l, g, h),
                (None, _, _, false) => bce.gradient(z, t, g),
                (None, ..) => bce.gradient_hessian(z, t, g, h),
                (Some(sum), _, false, _) => bce.accumulate(z, t, sum),
                (Some(sum), _, _, false) => bce.accumulate_gradient(z, t, sum, g),
                (Some(sum), ..) => bce.accumulate_gradient_hessian(z, t, sum, g, h),
            }
        })
    }

    /// The weights with as many axes as the logits, or what broadcasts to them.
    fn weights_for(&self, shape: &[usize]) -> Result<Option<ArrayViewD<'_, T>>, Error> {
        match &self.weights {
            Weights::None => Ok(None),
            Weights::Array(weights) => Ok(Some(weights.view())),
            Weights::Axis(axis, weights) => {
                check_axis("weights", *axis, weights, shape)?;
                let mut view = ArrayView1::from(*weights).into_dyn();
                (0..axis.index()).for_each(|_| view.insert_axis_inplace(Axis(0)));
                (axis.index() + 1..shape.len())
                    .for_each(|after| view.insert_axis_inplace(Axis(after)));
                Ok(Some(view))
            }
        }
    }

    fn check_pos_weights(&self, shape: &[usize]) -> Result<(), Error> {
        let Some((axis, pos_weights)) = self.pos_weights else {
            return Ok(());
        };
        check_axis("pos_weights", axis, pos_weights, shape)?;
        let valid = |&p: &T| p > T::zero() && p < T::infinity();
        match pos_weights.iter().position(|p| !valid(p)) {
            Some(class) => Err(Error::PosWeight {
                class,
                value: double(pos_weights[class]),
            }),
            None => Ok(()),
        }
    }
}

/// The exact sum of the weights, each of which stands for equally many of the elements.
fn total_weight<T: Real>(weights: &ArrayViewD<'_, T>, elements: usize) -> LossSum {
    let mut total = LossSum::new();
    match weights.as_slice_memory_order() {
        Some(slice) => total.add_slice(slice),
        None => weights.iter().for_each(|&weight| total.add(double(weight))),
    }
    times(&total, elements / weights.len().max(1))
}

/// The sum of `count` such sums, exactly.
fn times(sum: &LossSum, mut count: usize) -> LossSum {
    let (mut power, mut product) = (sum.clone(), LossSum::new());
    while count > 0 {
        if count % 2 == 1 {
            product.merge(&power);
        }
        power.merge(&power.clone());
        count /= 2;
    }
    product
}

fn double<T: Real>(value: T) -> f64 {
    value.to_f64().unwrap_or(f64::NAN)
}

fn with<'w, T: Real>(
    kernel: &soft_bce::Bce<'w, T>,
    weighted: bool,
    weights: &'w [T],
) -> soft_bce::Bce<'w, T> {
    if weighted {
        kernel.weights(weights)
    } else {
        *kernel
    }
}

fn check_axis<T>(
    option: &'static str,
    axis: Axis,
    values: &[T],
    shape: &[usize],
) -> Result<(), Error> {
    match shape.get(axis.index()) {
        Some(&length) if length == values.len() => Ok(()),
        Some(&length) => Err(Error::Shape {
            argument: option,
            expected: vec![length],
            found: vec![values.len()],
        }),
        None => Err(Error::Axis {
            option,
            axis: axis.index(),
            axes: shape.len(),
        }),
    }
}

fn broadcast<'b, T>(
    weights: Option<&'b ArrayViewD<'_, T>>,
    shape: &[usize],
) -> Result<Option<ArrayViewD<'b, T>>, Error> {
    let Some(weights) = weights else {
        return Ok(None);
    };
    let mismatch = || Error::Shape {
        argument: "weights",
        expected: shape.to_vec(),
        found: weights.shape().to_vec(),
    };
    weights.broadcast(shape).map(Some).ok_or_else(mismatch)
}

/// Names the first element at fault in row-major order, by running the job in that order.
fn locate<T: Real>(
    mut arrays: Arrays<'_, T>,
    shape: &[usize],
    error: soft_bce::Error,
    job: &mut Job<'_, T>,
) -> Error {
    use soft_bce::Error::{InvalidWeight, TargetOutOfRange};
    let mut before = 0;
    let first = arrays.each_block(&mut |inputs, outputs| {
        let count = inputs[LOGITS].len();
        job(inputs, outputs)?;
        before += count;
        Ok(())
    });
    let (index, error) = match first.err().unwrap_or(error) {
        TargetOutOfRange { index, value } => (
            index,
            TargetOutOfRange {
                index: before + index,
                value,
            },
        ),
        InvalidWeight { index, value } => (
            index,
            InvalidWeight {
                index: before + index,
                value,
            },
        ),
        other => return Error::Kernel(other),
    };
    let mut rest = before + index;
    let mut index = shape.to_vec();
    for length in index.iter_mut().rev() {
        (rest, *length) = (rest / *length, rest % *length);
    }
    Error::Element { index, error }
}

/// Applies a function of one argument, such as [`soft_bce::sigmoid`], [`soft_bce::softplus`],
/// [`soft_bce::logit()`] or [`soft_bce::exact::sigmoid`].
///
/// # Errors
/// [`Error::Shape`], and [`Error::Element`] with the first element that the function refuses.
///
/// ```
/// use ndarray::{Array2, array};
/// let mut p = Array2::zeros((3, 1));
/// soft_bce_ndarray::map(soft_bce::sigmoid, &array![[0.0_f32, -104.0, f32::INFINITY]].t(), &mut p)?;
/// assert_eq!(p, array![[0.5], [0.0], [1.0]]);
/// # Ok::<(), soft_bce_ndarray::Error>(())
/// ```
pub fn map<T: Real, D: Dimension>(
    function: fn(&[T], &mut [T]) -> Result<(), soft_bce::Error>,
    from: &ArrayRef<T, D>,
    out: &mut ArrayRef<T, D>,
) -> Result<(), Error> {
    let shape = from.shape();
    let arrays = Arrays {
        inputs: [Some(from.view().into_dyn()), None, None],
        outputs: [Some(out.view_mut().into_dyn()), None, None],
    };
    arrays.check_shapes()?;
    let mut arrays = arrays.normalised();
    let job: &mut Job<'_, T> = &mut |[from, _, _], [to, _, _]| function(from, to);
    let mut ordered = arrays.reborrow();
    ordered.straighten();
    let result = ordered
        .each_block(job)
        .map_err(|error| locate(arrays.reborrow(), shape, error, job));
    if result.is_err() {
        arrays.fill_outputs(T::nan());
    }
    result
}

impl Bce<'_, f32> {
    /// See [`soft_bce::Bce::exact`].
    #[must_use]
    pub const fn exact(mut self) -> Self {
        self.kernel = self.kernel.exact();
        self
    }
}
