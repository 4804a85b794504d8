//! The kernel's errors as `ValueError`s, in the terms of NumPy.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use soft_bce::Error;

use crate::arrays::{Real, Shape, lost};

/// The error as `ValueError`, with the attributes `argument`, `index` and `value` where it is that of
/// an element or an option.
pub fn value_error(py: Python<'_>, error: Error, shape: &[usize], targets: &str) -> PyErr {
    let (argument, index, value, range) = match error {
        Error::TargetOutOfRange { index, value } => (targets, index, value, "in [0, 1]"),
        Error::ProbabilityOutOfRange { index, value } => ("p", index, value, "in [0, 1]"),
        Error::InvalidWeight { index, value } => ("weights", index, value, "finite and >= 0"),
        Error::InvalidOption {
            option,
            value,
            range,
        } => {
            let option = if option == "beta" { "focal" } else { option };
            return option_error(py, option, value, &must_be(range));
        }
        other => return PyValueError::new_err(other.to_string()),
    };
    element_error(py, (argument, index, value), shape, &must_be(range))
}

pub fn must_be(range: &str) -> String {
    format!(" and must be {range}")
}

/// What is said of a number that its type lost.
pub fn rounded_to<T: Real>(value: f64) -> Option<String> {
    let to = lost::<T>(value)?;
    let name = T::NAME;
    Some(format!(
        ", which {name} rounds to {to:?}: logits of float64 keep it"
    ))
}

/// Of the element at this index, in C order, of an argument of this shape.
pub fn element_error(
    py: Python<'_>,
    (argument, index, value): (&str, usize, f64),
    shape: &[usize],
    said: &str,
) -> PyErr {
    let index = unravelled(index, shape);
    let printed = match &index[..] {
        [] => String::new(),
        index => {
            let index = Shape(index).to_string().replace(['(', ')'], "");
            format!("[{}]", index.trim_end_matches(','))
        }
    };
    let error = PyValueError::new_err(format!("{argument}{printed} is {}{said}", shown(value)));
    let index = match index[..] {
        [index] => error.value(py).setattr("index", index),
        _ => PyTuple::new(py, &index).and_then(|index| error.value(py).setattr("index", index)),
    };
    match index {
        Ok(()) => with_attributes(py, error, argument, value),
        Err(other) => other,
    }
}

pub fn option_error(py: Python<'_>, option: &str, value: f64, said: &str) -> PyErr {
    let error = PyValueError::new_err(format!("{option} is {}{said}", shown(value)));
    with_attributes(py, error, option, value)
}

fn with_attributes(py: Python<'_>, error: PyErr, argument: &str, value: f64) -> PyErr {
    let of = error.value(py);
    let set = of.setattr("argument", argument);
    match set.and_then(|()| of.setattr("value", value)) {
        Ok(()) => error,
        Err(other) => other,
    }
}

/// As Python prints it.
fn shown(value: f64) -> String {
    if value.is_nan() {
        "nan".to_owned()
    } else {
        format!("{value:?}")
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
