//! Fractional logit regression (Papke and Wooldridge 1996): a logistic model of targets that are
//! fractions, by quasi-likelihood.
//!
//! ```
//! use fractional_logit::{Covariance, Data, Features, Model};
//!
//! let match_rate: &[f64] = &[0.2, 0.5, 0.3, 1.0, 0.8, 0.1];
//! let participation = [0.7, 0.8, 0.6, 1.0, 0.95, 0.75];
//! let features = Features::rows(match_rate, 6, 1)?;
//! let fit = Model::new().fit(&Data::new(features, &participation))?;
//! let errors = fit.standard_errors(Covariance::Hc0).expect("clusters are not needed");
//! assert!(fit.coefficients()[1] > errors[1]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The same bits
//!
//! Every sum over rows is exact, so that coefficients and errors depend on no order of the rows, no partition, no
//! layout, no thread, no CPU. [`Solver`] is the fit as passes over rows that may lie anywhere: [`Solver::task`] says
//! what to do with them, [`Task::evaluate`] does it for a part, [`State::merge`] joins parts, and [`Solver::step`] takes
//! the whole.
//!
//! # Precision
//!
//! Columns are centered where their mean is large, and scaled by powers of two; sums and the small system have 106
//! bits. What is left is the rounding of each row's own residual: nothing that weights, scales or the
//! parametrisation could enlarge.

#![deny(missing_docs)]

mod data;
mod error;
mod grid;
mod model;
mod pass;
mod path;
mod penalty;
mod solve;
mod solver;

pub use data::{Data, Value, WeightKind};
pub use error::{Error, Place};
pub use model::{Covariance, Effect, Fit, Model, Prediction};
pub use pass::{State, Task};
pub use path::{Path, PathPoint, cross_validate};
pub use soft_bce::Backend;
pub use soft_bce::linear::Features;
pub use solver::{Solver, Step};
