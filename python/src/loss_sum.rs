//! `LossSum`.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyType};
use soft_bce::LossSum;

use crate::arrays::{Input, Real, Typed};
use crate::options;

/// An exact sum: of losses, or of any floats.
///
/// No addition rounds, so the state depends on the values alone: every order, partition, number of
/// threads and merge tree gives the same state, the same bytes and the same float, which is the true
/// sum rounded once. That makes a sum over threads, processes and machines reproducible bit for bit.
///
/// >>> from soft_bce import LossSum
/// >>> total = LossSum([1e30, 1.0, -1e30])     # 1e30 + 1.0 - 1e30 is 0.0
/// >>> float(total), total.count
/// (1.0, 3)
/// >>> total += LossSum([0.1] * 10)            # another worker's
/// >>> float(total)
/// 2.0
///
/// NaN, or infinities of both signs, make it NaN for good; infinities of one sign that infinity.
/// It pickles (about 330 bytes), compares and copies; `to_bytes` gives the same 288 bytes on every machine.
#[pyclass(name = "LossSum", module = "soft_bce", eq)]
#[derive(Clone, PartialEq)]
pub struct PyLossSum(pub LossSum);

fn add_array<T: Real>(py: Python<'_>, sum: &mut LossSum, values: Input<'_, T>) -> PyResult<()> {
    let values = values.locked("values")?;
    let values = values.as_slice()?;
    let mut part = LossSum::new();
    options::run(py, values.len(), 1, || part.add_slice(values))?;
    sum.merge(&part);
    Ok(())
}

#[pymethods]
impl PyLossSum {
    #[new]
    #[pyo3(signature = (values=None))]
    fn new(py: Python<'_>, values: Option<&Bound<'_, PyAny>>) -> PyResult<Self> {
        let mut sum = Self(LossSum::new());
        if let Some(values) = values {
            sum.add_array(py, values)?;
        }
        Ok(sum)
    }

    /// Adds a float, exactly.
    fn add(&mut self, value: f64) {
        self.0.add(value);
    }

    /// Adds every element of an array, exactly. Integers beyond 2**53 are rounded to float64 first.
    ///
    /// >>> import numpy as np
    /// >>> from soft_bce import LossSum
    /// >>> s = LossSum()
    /// >>> s.add_array(np.array([1e30, 1.0, -1e30], np.float32))
    /// >>> float(s)
    /// 1.0
    fn add_array(&mut self, py: Python<'_>, values: &Bound<'_, PyAny>) -> PyResult<()> {
        match Typed::new("values", values)? {
            Typed::F32(values) => add_array(py, &mut self.0, values),
            Typed::F64(values) => add_array(py, &mut self.0, values),
        }
    }

    /// Adds all that another sum has summed; `+=` does the same.
    fn merge(slf: &Bound<'_, Self>, other: &Bound<'_, Self>) {
        // They may be the same.
        let other = other.borrow().0.clone();
        slf.borrow_mut().0.merge(&other);
    }

    fn __iadd__(slf: &Bound<'_, Self>, other: &Bound<'_, Self>) {
        Self::merge(slf, other);
    }

    fn __add__(&self, other: &Bound<'_, Self>) -> Self {
        let mut sum = self.clone();
        sum.0.merge(&other.borrow().0);
        sum
    }

    /// So that the builtin `sum()` works, which starts at 0.
    fn __radd__(&self, other: u8) -> PyResult<Self> {
        if other != 0 {
            return Err(PyValueError::new_err(
                "use add() to add a number to a LossSum",
            ));
        }
        Ok(self.clone())
    }

    /// The sum, correctly rounded; `float()` gives the same.
    #[getter]
    fn value(&self) -> f64 {
        self.0.to_f64()
    }

    /// How many values have been added.
    #[getter]
    fn count(&self) -> u64 {
        self.0.count()
    }

    fn __float__(&self) -> f64 {
        self.0.to_f64()
    }

    /// This sum over that one, even where either is beyond the range of a float: the mean of losses
    /// that were added in parts, over the sum of their weights.
    ///
    /// >>> from soft_bce import LossSum
    /// >>> LossSum([1e308, 1.5e308]).divided_by(LossSum([2.0]))
    /// 1.25e+308
    fn divided_by(&self, divisor: &Bound<'_, Self>) -> f64 {
        self.0.divided_by(&divisor.borrow().0)
    }

    /// The state as 288 bytes, the same on every machine.
    fn to_bytes<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0.to_bytes())
    }

    /// The sum that `to_bytes` has written; ValueError for anything else.
    #[classmethod]
    fn from_bytes(_: &Bound<'_, PyType>, state: &[u8]) -> PyResult<Self> {
        match LossSum::from_bytes(state) {
            Ok(sum) => Ok(Self(sum)),
            Err(error) => Err(PyValueError::new_err(error.to_string())),
        }
    }

    fn __reduce__<'py>(
        slf: &Bound<'py, Self>,
    ) -> PyResult<(Bound<'py, PyAny>, (Bound<'py, PyBytes>,))> {
        let from_bytes = slf.get_type().getattr("from_bytes")?;
        Ok((from_bytes, (slf.borrow().to_bytes(slf.py()),)))
    }

    fn __repr__(&self) -> String {
        let value = self.0.to_f64();
        let value = if value.is_nan() {
            "nan".into()
        } else {
            format!("{value:?}")
        };
        format!("LossSum(value={value}, count={})", self.0.count())
    }
}
