//! The Python module `soft_bce._core`: `soft_bce` over NumPy arrays.

mod arrays;
mod error;
mod fractional;
mod loss_sum;
mod operations;
mod options;
mod probability;

use pyo3::prelude::*;

#[pymodule(gil_used = false)]
mod _core {
    #[pymodule_export]
    use super::fractional::{PyFit, PyModel, PySolver, PyState, PyTask, linear_logits};
    #[pymodule_export]
    use super::loss_sum::PyLossSum;
    #[pymodule_export]
    use super::operations::{
        accumulate, accumulate_gradient, accumulate_gradient_hessian, gradient, gradient_hessian,
        gradient_in_place, log_sigmoid, logit, loss, loss_gradient, loss_gradient_hessian, mean,
        mean_gradient, sigmoid, softplus, sum, sum_gradient, sum_gradient_hessian,
    };
    #[pymodule_export]
    use super::probability::{
        probability_gradient, probability_loss, probability_mean, probability_sum,
    };
    use super::*;

    #[pymodule_export]
    #[allow(non_upper_case_globals)]
    const __version__: &str = env!("CARGO_PKG_VERSION");

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("COVARIANCES", super::fractional::COVARIANCES.map(|of| of.0))
    }

    /// The names of the backends of this machine, the fastest first.
    ///
    /// >>> import soft_bce
    /// >>> "scalar" in soft_bce.backends()
    /// True
    #[pyfunction]
    fn backends() -> Vec<&'static str> {
        let mut names: Vec<_> = soft_bce::Backend::available()
            .map(|backend| backend.name())
            .collect();
        let fastest = soft_bce::Backend::detect().name();
        names.sort_by_key(|&name| name != fastest);
        names
    }
}
