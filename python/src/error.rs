//! The kernel's errors as `ValueError`s, in the terms of NumPy.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use soft_bce::Error;

use crate::arrays::Shape;

/// The error as `ValueError`, with the attributes `argument`, `index` and `value` where it is that of
/// an element.
pub fn value_error(py: Python<'_>, error: Error, shape: &[usize], targets: &str) -> PyErr {
    let (argument, index, value, must) = match error {
        Error::TargetOutOfRange { index, value } => (targets, index, value, "in [0, 1]"),
        Error::InvalidWeight { index, value } => ("weights", index, value, "finite and >= 0"),
        other => return PyValueError::new_err(other.to_string()),
    };
    element_error(py, (argument, index, value), shape, must)
}

/// Of the element at this index, in C order, of an argument of this shape.
pub fn element_error(
    py: Python<'_>,
    (argument, index, value): (&str, usize, f64),
    shape: &[usize],
    must: &str,
) -> PyErr {
    let index = unravelled(index, shape);
    let printed = match &index[..] {
        [] => String::new(),
        index => Shape(index)
            .to_string()
            .replace(['(', ')'], "")
            .trim_end_matches(',')
            .to_owned(),
    };
    let printed = if printed.is_empty() {
        printed
    } else {
        format!("[{printed}]")
    };
    // As Python prints it.
    let shown = if value.is_nan() {
        "nan".to_owned()
    } else {
        format!("{value:?}")
    };
    let error = PyValueError::new_err(format!("{argument}{printed} is {shown} and must be {must}"));
    let attributes = || {
        let error = error.value(py);
        error.setattr("argument", argument)?;
        match index[..] {
            [index] => error.setattr("index", index)?,
            _ => error.setattr("index", pyo3::types::PyTuple::new(py, &index)?)?,
        }
        error.setattr("value", value)
    };
    match attributes() {
        Ok(()) => error,
        Err(other) => other,
    }
}

/// The index of an element in C order as one an axis.
fn unravelled(mut index: usize, shape: &[usize]) -> Vec<usize> {
    let mut indices = vec![0; shape.len()];
    for (to, &length) in indices.iter_mut().zip(shape).rev() {
        *to = index % length.max(1);
        index /= length.max(1);
    }
    indices
}
