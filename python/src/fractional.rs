//! The fractional logit model: fits in one piece, or as passes over rows that may lie anywhere.

use fractional_logit::{
    Covariance, Data, Error, Fit, Model, Place, Solver, State, Step, Task, Value, WeightKind,
};
use numpy::{IntoPyArray, PyArray1, PyArray2, PyArrayDyn, PyArrayMethods, PyUntypedArrayMethods};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyType};
use soft_bce::linear::{Features, Head};

use crate::arrays::{Input, Output, Real, Typed, input};
use crate::options;

/// The names of the covariances.
pub const COVARIANCES: [(&str, Covariance); 6] = [
    ("nonrobust", Covariance::Nonrobust),
    ("quasi", Covariance::Quasi),
    ("hc0", Covariance::Hc0),
    ("hc1", Covariance::Hc1),
    ("clustered", Covariance::Clustered),
    ("clustered_small_sample", Covariance::ClusteredSmallSample),
];

/// The error as `ValueError`; attributes `argument`, `row`, `column`, `value` or `columns` where it has them.
fn fit_error(py: Python<'_>, error: Error) -> PyErr {
    let exception = PyValueError::new_err(error.to_string());
    let attributes = || {
        let exception = exception.value(py);
        match &error {
            Error::Value { of, row, value, .. } => {
                let (argument, columns) = match of {
                    Place::Feature(column) => ("features", vec![*column]),
                    Place::Target => ("targets", vec![]),
                    Place::Trials => ("trials", vec![]),
                    Place::Weight => ("weights", vec![]),
                    _ => ("offset", vec![]),
                };
                exception.setattr("argument", argument)?;
                exception.setattr("row", *row)?;
                exception.setattr("value", *value)?;
                exception.setattr("columns", columns)
            }
            Error::Collinear {
                column,
                combination,
                ..
            } => {
                let others = combination.iter().map(|(column, _)| *column);
                let columns: Vec<_> = [*column].into_iter().chain(others).collect();
                exception.setattr("columns", columns)
            }
            Error::Separation { columns, .. } => exception.setattr("columns", columns),
            Error::NoConvergence {
                column: Some(column),
                ..
            } => exception.setattr("columns", [*column]),
            _ => Ok(()),
        }
    };
    match attributes() {
        Ok(()) => exception,
        Err(other) => other,
    }
}

/// The features as Python holds them: rows in C order, or a list of columns.
enum Matrix<'py, T: Real> {
    Rows(Input<'py, T>),
    Columns(Vec<Input<'py, T>>),
}

enum TypedMatrix<'py> {
    F32(Matrix<'py, f32>),
    F64(Matrix<'py, f64>),
}

impl<'py> TypedMatrix<'py> {
    /// In `float32` where all is that: nothing is rounded, and what is widened gives the same bits.
    fn new(features: &Bound<'py, PyAny>, rows: &RowValues<'_, 'py>) -> PyResult<Self> {
        let single = |values: &Bound<'py, PyAny>| values.cast_exact::<PyArrayDyn<f32>>().is_ok();
        let others = [rows.weights, rows.offset, rows.trials];
        let rows_single = single(rows.targets) && others.into_iter().flatten().all(single);
        let columns = features.cast::<PyList>();
        Ok(match columns {
            Ok(columns) => {
                let columns_single = columns.iter().all(|column| single(&column));
                if rows_single && columns_single && !columns.is_empty() {
                    Self::F32(Matrix::columns(columns)?)
                } else {
                    Self::F64(Matrix::columns(columns)?)
                }
            }
            Err(_) if rows_single => match Typed::new("features", features)? {
                Typed::F32(rows) => Self::F32(Matrix::Rows(rows.locked("features")?)),
                Typed::F64(rows) => Self::F64(Matrix::Rows(rows.locked("features")?)),
            },
            Err(_) => Self::F64(Matrix::rows(features)?),
        })
    }
}

impl<'py, T: Real> Matrix<'py, T> {
    fn rows(rows: &Bound<'py, PyAny>) -> PyResult<Self> {
        Ok(Self::Rows(input("features", rows)?.locked("features")?))
    }

    fn columns(columns: &Bound<'py, PyList>) -> PyResult<Self> {
        let columns = columns.iter().enumerate().map(|(index, column)| {
            let name = format!("features[{index}]");
            let column = input::<T>(&name, &column)?.locked(&name)?;
            match column.shape().len() {
                1 => Ok(column),
                ndim => Err(PyValueError::new_err(format!(
                    "{name} has {ndim} dimensions, not 1"
                ))),
            }
        });
        Ok(Self::Columns(columns.collect::<PyResult<_>>()?))
    }

    /// Calls `work` with the features of so many rows, which matter if there are no columns.
    fn with<R>(&self, rows: usize, work: impl FnOnce(Features<'_, T>) -> R) -> PyResult<R> {
        let wrong = |error: soft_bce::Error| PyValueError::new_err(error.to_string());
        match self {
            Self::Rows(matrix) => {
                let &[rows, columns] = matrix.shape() else {
                    let ndim = matrix.shape().len();
                    return Err(PyValueError::new_err(format!(
                        "features has {ndim} dimensions, not 2"
                    )));
                };
                let features = Features::rows(matrix.as_slice()?, rows, columns);
                Ok(work(features.map_err(wrong)?))
            }
            Self::Columns(columns) => {
                let slices = columns.iter().map(|column| column.as_slice());
                let slices = slices.collect::<Result<Vec<_>, _>>()?;
                let features = Features::columns(&slices, rows);
                Ok(work(features.map_err(wrong)?))
            }
        }
    }
}

/// What belongs to a row, besides features.
struct RowValues<'a, 'py> {
    targets: &'a Bound<'py, PyAny>,
    weights: Option<&'a Bound<'py, PyAny>>,
    offset: Option<&'a Bound<'py, PyAny>>,
    trials: Option<&'a Bound<'py, PyAny>>,
    clusters: Option<&'a Bound<'py, PyAny>>,
    first_row: u64,
}

impl RowValues<'_, '_> {
    fn with<T: Real + Value, R: Send>(
        &self,
        features: &Matrix<'_, T>,
        work: impl FnOnce(&Data<'_, T>) -> Result<R, Error> + Send,
    ) -> PyResult<R> {
        let py = self.targets.py();
        let given =
            |name, values: Option<_>| values.map(|values| column::<T>(name, values)).transpose();
        let targets = column::<T>("targets", self.targets)?;
        let weights = given("weights", self.weights)?;
        let offset = given("offset", self.offset)?;
        let trials = given("trials", self.trials)?;
        let clusters = self
            .clusters
            .map(|clusters| clusters.cast::<PyArray1<u64>>());
        let clusters = clusters.transpose().map_err(|_| {
            PyTypeError::new_err("clusters must be an array of dtype uint64, one number a row")
        })?;
        let clusters = clusters
            .map(|clusters| clusters.try_readonly())
            .transpose()?;
        let targets = targets.as_slice()?;
        let outcome = features.with(targets.len(), |features| {
            let mut data = Data::new(features, targets).first_row(self.first_row);
            if let Some(weights) = &weights {
                data = data.weights(weights.as_slice()?);
            }
            if let Some(offset) = &offset {
                data = data.offset(offset.as_slice()?);
            }
            if let Some(trials) = &trials {
                data = data.trials(trials.as_slice()?);
            }
            if let Some(clusters) = &clusters {
                data = data.clusters(clusters.as_slice()?);
            }
            Ok::<_, PyErr>(options::detach(py, || work(&data)))
        })??;
        outcome.map_err(|error| fit_error(py, error))
    }
}

fn column<'py, T: Real>(name: &str, values: &Bound<'py, PyAny>) -> PyResult<Input<'py, T>> {
    let values = input::<T>(name, values)?.locked(name)?;
    match values.shape().len() {
        1 => Ok(values),
        ndim => Err(PyValueError::new_err(format!(
            "{name} has {ndim} dimensions, not 1"
        ))),
    }
}

/// What to fit: see soft_bce.sklearn.FractionalLogit.
#[pyclass(name = "Model", module = "soft_bce._core", frozen)]
pub struct PyModel(Model);

#[pymethods]
impl PyModel {
    #[new]
    #[pyo3(signature = (*, intercept=true, weight_kind="sampling", penalty=None, alpha=0.0, l1_ratio=0.0, threads=1))]
    fn new(
        intercept: bool,
        weight_kind: &str,
        penalty: Option<&str>,
        alpha: f64,
        l1_ratio: f64,
        threads: i64,
    ) -> PyResult<Self> {
        let kind = match weight_kind {
            "sampling" => WeightKind::Sampling,
            "frequency" => WeightKind::Frequency,
            "analytic" => WeightKind::Analytic,
            _ => {
                return Err(PyValueError::new_err(
                    "weight_kind must be sampling, frequency or analytic",
                ));
            }
        };
        let model = Model::new()
            .intercept(intercept)
            .weight_kind(kind)
            .threads(options::threads(threads)?);
        Ok(Self(match penalty {
            None => model,
            Some("ridge") => model.ridge(alpha),
            Some("elastic_net") => model.elastic_net(alpha, l1_ratio),
            Some("firth") => model.firth(),
            Some(_) => {
                return Err(PyValueError::new_err(
                    "penalty must be ridge, elastic_net, firth or None",
                ));
            }
        }))
    }

    /// Fits the rows: features, a 2-d array or a list of columns, and targets.
    #[pyo3(signature = (features, targets, *, weights=None, offset=None, trials=None, clusters=None))]
    fn fit(
        &self,
        features: &Bound<'_, PyAny>,
        targets: &Bound<'_, PyAny>,
        weights: Option<&Bound<'_, PyAny>>,
        offset: Option<&Bound<'_, PyAny>>,
        trials: Option<&Bound<'_, PyAny>>,
        clusters: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<PyFit> {
        let rows = RowValues {
            targets,
            weights,
            offset,
            trials,
            clusters,
            first_row: 0,
        };
        let fit = match TypedMatrix::new(features, &rows)? {
            TypedMatrix::F32(features) => rows.with(&features, |data| self.0.fit(data)),
            TypedMatrix::F64(features) => rows.with(&features, |data| self.0.fit(data)),
        };
        Ok(PyFit(fit?))
    }

    /// The fit as passes over parts of the rows, for features of so many columns.
    fn solver(&self, py: Python<'_>, columns: usize) -> PyResult<PySolver> {
        self.0
            .solver(columns)
            .map(PySolver)
            .map_err(|error| fit_error(py, error))
    }
}

/// Fits a model in passes over rows that may lie anywhere.
///
/// >>> import numpy as np
/// >>> from soft_bce._core import Model
/// >>> x, t = np.array([[1.0], [2.0], [3.0], [4.0]]), np.array([0.2, 0.4, 0.3, 0.6])
/// >>> solver, fit = Model().solver(1), None
/// >>> while fit is None:
/// ...     task = solver.task()                                   # pickles: send it to the rows
/// ...     states = [task.evaluate(x[rows], t[rows]) for rows in (slice(2), slice(2, 4))]
/// ...     fit = solver.step(states[0].merge(states[1]))
/// >>> (fit.coefficients == Model().fit(x, t).coefficients).all()
/// np.True_
#[pyclass(name = "Solver", module = "soft_bce._core")]
pub struct PySolver(Solver);

#[pymethods]
impl PySolver {
    /// The pass that is to be made over all rows.
    fn task(&self) -> PyTask {
        PyTask(self.0.task().clone())
    }

    /// Takes the merged states of all rows; the Fit, or None if another pass is needed.
    fn step(&mut self, py: Python<'_>, state: &Bound<'_, PyState>) -> PyResult<Option<PyFit>> {
        let state = state.borrow();
        match self.0.step(&state.0) {
            Ok(Step::Continue) => Ok(None),
            Ok(Step::Done(fit)) => Ok(Some(PyFit(*fit))),
            Err(error) => Err(fit_error(py, error)),
        }
    }

    /// Newton steps taken.
    #[getter]
    fn steps(&self) -> usize {
        self.0.steps()
    }
}

/// What to make of the rows: the same for every part of them. Pickles.
#[pyclass(name = "Task", module = "soft_bce._core", frozen)]
pub struct PyTask(Task);

#[pymethods]
impl PyTask {
    /// What these rows contribute: a State. first_row is their number in the data set, for errors.
    #[pyo3(signature = (features, targets, *, weights=None, offset=None, trials=None, clusters=None, first_row=0))]
    #[allow(clippy::too_many_arguments)]
    fn evaluate(
        &self,
        features: &Bound<'_, PyAny>,
        targets: &Bound<'_, PyAny>,
        weights: Option<&Bound<'_, PyAny>>,
        offset: Option<&Bound<'_, PyAny>>,
        trials: Option<&Bound<'_, PyAny>>,
        clusters: Option<&Bound<'_, PyAny>>,
        first_row: u64,
    ) -> PyResult<PyState> {
        let rows = RowValues {
            targets,
            weights,
            offset,
            trials,
            clusters,
            first_row,
        };
        let state = match TypedMatrix::new(features, &rows)? {
            TypedMatrix::F32(features) => rows.with(&features, |data| self.0.evaluate(data)),
            TypedMatrix::F64(features) => rows.with(&features, |data| self.0.evaluate(data)),
        };
        Ok(PyState(state?))
    }

    /// The same task by this one of backends(): the same bits. It is not pickled.
    fn on(&self, backend: &str) -> PyResult<Self> {
        let backend = options::backend(Some(backend))?;
        let task = self.0.clone();
        Ok(Self(match backend {
            Some(backend) => task.backend(backend),
            None => task,
        }))
    }

    /// The State of no rows.
    fn start(&self) -> PyState {
        PyState(self.0.start())
    }

    /// The same bytes on every machine.
    fn to_bytes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let bytes = self.0.to_bytes().map_err(|error| fit_error(py, error))?;
        Ok(PyBytes::new(py, &bytes))
    }

    /// What to_bytes has written; ValueError for anything else.
    #[classmethod]
    fn from_bytes(class: &Bound<'_, PyType>, state: &[u8]) -> PyResult<Self> {
        Task::from_bytes(state)
            .map(Self)
            .map_err(|error| fit_error(class.py(), error))
    }

    fn __reduce__<'py>(
        slf: &Bound<'py, Self>,
    ) -> PyResult<(Bound<'py, PyAny>, (Bound<'py, PyBytes>,))> {
        Ok((
            slf.get_type().getattr("from_bytes")?,
            (slf.get().to_bytes(slf.py())?,),
        ))
    }
}

/// What a part of the rows, or several, contribute: a function of the set of rows. Pickles.
#[pyclass(name = "State", module = "soft_bce._core", eq)]
#[derive(PartialEq)]
pub struct PyState(State);

#[pymethods]
impl PyState {
    /// Adds what other rows contribute; returns this State.
    fn merge<'py>(slf: Bound<'py, Self>, other: &Bound<'py, Self>) -> PyResult<Bound<'py, Self>> {
        let other = State::clone(&other.borrow().0);
        let merged = slf.borrow_mut().0.merge(&other);
        merged.map_err(|error| fit_error(slf.py(), error))?;
        Ok(slf)
    }

    /// The same bytes on every machine.
    fn to_bytes<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0.to_bytes())
    }

    /// What to_bytes has written; ValueError for anything else.
    #[classmethod]
    fn from_bytes(class: &Bound<'_, PyType>, state: &[u8]) -> PyResult<Self> {
        State::from_bytes(state)
            .map(Self)
            .map_err(|error| fit_error(class.py(), error))
    }

    fn __reduce__<'py>(
        slf: &Bound<'py, Self>,
    ) -> PyResult<(Bound<'py, PyAny>, (Bound<'py, PyBytes>,))> {
        Ok((
            slf.get_type().getattr("from_bytes")?,
            (slf.borrow().to_bytes(slf.py()),),
        ))
    }
}

/// A fitted model. The constant, if there is one, comes first among the coefficients.
#[pyclass(name = "Fit", module = "soft_bce._core", frozen)]
pub struct PyFit(Fit);

fn covariance(name: &str) -> PyResult<Covariance> {
    match COVARIANCES.iter().find(|known| known.0 == name) {
        Some((_, covariance)) => Ok(*covariance),
        None => {
            let names = COVARIANCES.map(|known| known.0).join(", ");
            Err(PyValueError::new_err(format!(
                "covariance is {name:?} and must be one of {names}"
            )))
        }
    }
}

#[pymethods]
impl PyFit {
    /// The constant's first, if there is one, then one a column.
    #[getter]
    fn coefficients<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<f64>> {
        PyArray1::from_slice(py, self.0.coefficients())
    }

    /// The covariance of the coefficients; None where it needs clusters, or more rows.
    fn covariance<'py>(
        &self,
        py: Python<'py>,
        name: &str,
    ) -> PyResult<Option<Bound<'py, PyArray2<f64>>>> {
        let width = self.0.coefficients().len();
        let matrix = self.0.covariance(covariance(name)?);
        matrix
            .map(|matrix| matrix.into_pyarray(py).reshape([width, width]))
            .transpose()
    }

    /// (effects, standard errors), one a column; None where covariance() is None.
    #[allow(clippy::type_complexity)]
    fn marginal_effects<'py>(
        &self,
        py: Python<'py>,
        name: &str,
    ) -> PyResult<Option<(Bound<'py, PyArray1<f64>>, Bound<'py, PyArray1<f64>>)>> {
        let effects = self.0.marginal_effects(covariance(name)?);
        Ok(effects.map(|effects| {
            let (effects, errors): (Vec<_>, Vec<_>) = effects
                .iter()
                .map(|of| (of.effect, of.standard_error))
                .unzip();
            (effects.into_pyarray(py), errors.into_pyarray(py))
        }))
    }

    /// All rows.
    #[getter]
    fn rows(&self) -> u64 {
        self.0.rows()
    }

    /// Rows of positive weight, or their total weight if it counts rows.
    #[getter]
    fn observations(&self) -> f64 {
        self.0.observations()
    }

    /// Clusters, if there are any.
    #[getter]
    fn clusters(&self) -> Option<u64> {
        self.0.clusters()
    }

    /// The sum of the weights, times trials.
    #[getter]
    fn total_weight(&self) -> f64 {
        self.0.total_weight()
    }

    /// The weighted mean of the targets.
    #[getter]
    fn mean_target(&self) -> f64 {
        self.0.mean_target()
    }

    /// The weighted mean of the predictions.
    #[getter]
    fn mean_prediction(&self) -> f64 {
        self.0.mean_prediction()
    }

    /// Newton steps taken.
    #[getter]
    fn steps(&self) -> usize {
        self.0.steps()
    }

    /// The weighted mean of the cross-entropy.
    #[getter]
    fn mean_loss(&self) -> f64 {
        self.0.mean_loss()
    }

    /// The mean loss beyond its minimum: half the mean deviance.
    #[getter]
    fn mean_excess(&self) -> f64 {
        self.0.mean_excess()
    }

    /// 1 - excess/(excess of the mean target); None with an offset, or if all targets are equal.
    #[getter]
    fn deviance_explained(&self) -> Option<f64> {
        self.0.deviance_explained()
    }

    /// Pearson's sum over n - p; None unless n > p.
    #[getter]
    fn dispersion(&self) -> Option<f64> {
        self.0.dispersion()
    }

    /// The weighted mean of (s - t)^2.
    #[getter]
    fn brier_score(&self) -> f64 {
        self.0.brier_score()
    }
}

/// x'b + intercept + offset of every row: sums in a fixed order, the same bits for any layout and partition.
///
/// features: a 2-d array, or a list of columns, of float64.
///
/// >>> import numpy as np
/// >>> from soft_bce._core import linear_logits
/// >>> linear_logits(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([0.5, -1.0]), 0.25)
/// array([-1.25, -2.25])
#[pyfunction]
#[pyo3(signature = (features, coefficients, intercept=0.0, *, offset=None))]
pub fn linear_logits<'py>(
    features: &Bound<'py, PyAny>,
    coefficients: &Bound<'py, PyAny>,
    intercept: f64,
    offset: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = features.py();
    let coefficients = column::<f64>("coefficients", coefficients)?;
    let offset = offset
        .map(|offset| column::<f64>("offset", offset))
        .transpose()?;
    let mut head = Head::new(coefficients.as_slice()?).intercept(intercept);
    if let Some(offset) = &offset {
        head = head.offset(offset.as_slice()?);
    }
    let features = match features.cast::<PyList>() {
        Ok(columns) => Matrix::<f64>::columns(columns)?,
        Err(_) => Matrix::rows(features)?,
    };
    let rows = match &features {
        Matrix::Rows(rows) => rows.shape().first().copied().unwrap_or(0),
        Matrix::Columns(columns) => match (columns.first(), &offset) {
            (Some(column), _) => column.array().len(),
            (None, offset) => offset.as_ref().map_or(0, |offset| offset.array().len()),
        },
    };
    let mut output = Output::<f64>::new("out", None, &[rows], &[], py)?;
    let z = output.as_slice()?;
    let result = features.with(rows, |features| {
        options::detach(py, || head.logits(&features, z))
    })?;
    result.map_err(|error| PyValueError::new_err(error.to_string()))?;
    output.finish(false)
}
