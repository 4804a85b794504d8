//! `soft_bce.probability`: cross-entropy of probabilities themselves.

use pyo3::prelude::*;
use soft_bce::{Error, probability};

use crate::arrays::{Input, Narrowed, Output, Real, Typed, check_shape};
use crate::error::value_error;
use crate::operations::target;
use crate::options;

#[derive(Clone, Copy)]
enum Operation {
    Loss,
    Sum,
    Mean,
    Gradient,
}
use Operation::*;

fn call<'py>(
    operation: Operation,
    y: &Bound<'py, PyAny>,
    p: &Bound<'py, PyAny>,
    out: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    match Typed::new("p", p)? {
        Typed::F32(array) => typed(operation, [y, p], array, out),
        Typed::F64(array) => typed(operation, [y, p], array, out),
    }
}

fn typed<'py, T: Real>(
    operation: Operation,
    given: [&Bound<'py, PyAny>; 2],
    p: Input<'py, T>,
    out: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let (py, p) = (given[1].py(), p.locked("p")?);
    let shape = p.shape();
    let mut y = Narrowed::new("y", given[0], |y| target(y, 0.0))?;
    y.input.lock("y")?;
    check_shape("y", y.shape(), shape, "probabilities")?;
    let inputs = [
        given[0],
        given[1],
        y.input.array().as_any(),
        p.array().as_any(),
    ]
    .map(Some);
    let mut output = match operation {
        Sum | Mean => None,
        Loss | Gradient => Some(Output::new("out", out, shape, &inputs, py)?),
    };
    if let Some(output) = &mut output {
        output.lock("out")?;
    }
    let to = output.as_mut().map(Output::as_slice).transpose()?;
    let (targets, p, to) = (y.input.as_slice()?, p.as_slice()?, to.unwrap_or_default());
    let result = options::run(py, targets.len(), 1, || match operation {
        Sum => probability::sum(targets, p),
        Mean => probability::mean(targets, p),
        Loss => probability::loss(targets, p, to).map(|()| 0.0),
        Gradient => probability::gradient(targets, p, to).map(|()| 0.0),
    })?;
    let failed = result.is_err();
    let array = output.map(|output| output.finish(failed)).transpose()?;
    let value = result.map_err(|error| match error {
        Error::TargetOutOfRange { index, value } => {
            let value = y.given(index, value);
            value_error(py, Error::TargetOutOfRange { index, value }, shape, "y")
        }
        error => value_error(py, error, shape, "y"),
    })?;
    match array {
        None => Ok(value.into_pyobject(py)?.into_any()),
        // As NumPy's own functions: a scalar for a scalar.
        Some(array) if shape.is_empty() && out.is_none() => array.get_item(()),
        Some(array) => Ok(array),
    }
}

/// The loss of every element: -y ln p - (1 - y) ln(1 - p), with 0 ln 0 = 0.
///
/// inf where p is 0 and y is not, and where p is 1 and y is not.
///
/// >>> from soft_bce import probability
/// >>> probability.loss([1.0, 0.0, 0.5, 1.0], [1.0, 0.5, 0.5, 0.0])
/// array([0.        , 0.69314718, 0.69314718,        inf])
#[pyfunction]
#[pyo3(signature = (y, p, *, out=None))]
pub fn probability_loss<'py>(
    y: &Bound<'py, PyAny>,
    p: &Bound<'py, PyAny>,
    out: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    call(Loss, y, p, out)
}

/// The sum of the losses: the true sum of what `loss` gives, rounded once, in any order, on any machine.
///
/// >>> from soft_bce import probability
/// >>> probability.sum([0.0, 1.0], [0.5, 0.5])
/// 1.3862943611198906
#[pyfunction]
pub fn probability_sum<'py>(
    y: &Bound<'py, PyAny>,
    p: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    call(Sum, y, p, None)
}

/// The mean loss: the exact sum over the number of elements.
///
/// >>> from soft_bce import probability
/// >>> probability.mean([1.0, 0.0], [0.5, 0.5])
/// 0.6931471805599453
#[pyfunction]
pub fn probability_mean<'py>(
    y: &Bound<'py, PyAny>,
    p: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    call(Mean, y, p, None)
}

/// The derivative by p of every element's loss: (p - y)/(p (1 - p)).
///
/// 1/(1 - p) for y = 0 and -1/p for y = 1, at p = 0 and p = 1 too.
///
/// >>> from soft_bce import probability
/// >>> probability.gradient([1.0, 0.0, 0.5], [0.5, 0.0, 0.5])
/// array([-2.,  1.,  0.])
#[pyfunction]
#[pyo3(signature = (y, p, *, out=None))]
pub fn probability_gradient<'py>(
    y: &Bound<'py, PyAny>,
    p: &Bound<'py, PyAny>,
    out: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    call(Gradient, y, p, out)
}
