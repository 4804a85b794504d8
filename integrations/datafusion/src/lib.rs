//! [`soft_bce`] in [DataFusion](https://docs.rs/datafusion): binary cross-entropy with soft targets
//! from logits, and exact sums, as functions of SQL.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> datafusion::error::Result<()> {
//! use datafusion::prelude::SessionContext;
//!
//! let mut context = SessionContext::new();
//! soft_bce_datafusion::register(&mut context)?;
//! let batches = context
//!     .sql("SELECT bce_mean(z, t), exact_sum(z) FROM (VALUES (0.0, 0.5), (2.0, 1.0)) AS v(z, t)")
//!     .await?
//!     .collect()
//!     .await?;
//! # assert_eq!(batches[0].num_rows(), 1);
//! # Ok(())
//! # }
//! ```
//!
//! # Functions
//!
//! | function | value |
//! |---|---|
//! | `bce_loss(logit, target [, weight])` | −t ln σ(z) − (1 − t) ln(1 − σ(z)), times the weight |
//! | `bce_sum(logit, target [, weight])` | aggregate: the sum of these losses, correctly rounded |
//! | `bce_mean(logit, target [, weight])` | aggregate: that sum over the number of rows, or over the total weight |
//! | `exact_sum(x)` | aggregate: the sum, correctly rounded |
//! | `fractional_logit_state(task, target, weight, x1, …, xk)` | aggregate: the state of a pass of a fit, see [`fractional_logit_state`] |
//! | `sigmoid(z)`, `log_sigmoid(z)`, `logit(p)` | σ(z), ln σ(z), ln(p / (1 − p)) |
//!
//! * **Bits**: an aggregate's state is a [`LossSum`](soft_bce::LossSum), or two: exact, so that no number
//!   of partitions, no order of rows and no way in which states are merged changes a bit. DataFusion's own
//!   `SUM` and `AVG` of floating-point numbers change with each of them.
//! * **Types**: `REAL` (`f32`) where all arguments (but the task) are; the numeric types are converted to `DOUBLE`
//!   otherwise. `exact_sum` refuses the types that have values which that would round. Aggregates are
//!   `DOUBLE`.
//! * **NULL**: a row with a NULL argument is NULL to `bce_loss` and the other functions of rows, and none
//!   to aggregates. The aggregate of no row is NULL, and so is `bce_mean` where the total weight is 0. A
//!   weight that is the word `NULL`, not a column, means no weights to `fractional_logit_state`.
//! * **Windows**: frames that start at the partition's first row. DataFusion refuses others, since no row
//!   can be taken back.
//! * **DISTINCT**: refused, but where DataFusion rewrites it as a GROUP BY.
//! * **Accuracy, limits at infinities and NaN**: those of [`soft_bce::Bce`]. A weighted loss beyond the
//!   range of its type is infinite, and so is the mean; a total that is, is not.
//!
//! # Errors
//!
//! Other numbers or types of arguments, when the query is planned. A target that is NaN or outside [0, 1],
//! a weight that is NaN, infinite or negative, a probability outside [0, 1]: the query fails with a
//! [`soft_bce::Error`] that names the row in its batch and the value. So it does with a
//! [`fractional_logit::Error`] for those and for features of a fit, for bytes that are no task, and for a
//! task of another number of features; different tasks in one group are an execution error.

#![deny(unsafe_code)]
#![deny(missing_docs)]

mod aggregate;
mod fit;
mod rows;
mod scalar;

use std::sync::Arc;

use datafusion_common::Result;
use datafusion_expr::registry::FunctionRegistry;
use datafusion_expr::{AggregateUDF, ScalarUDF};

pub use aggregate::Aggregate;
pub use fit::{call_of, fractional_logit_state};
pub use scalar::Scalar;
pub use {fractional_logit, soft_bce};

/// Registers all functions: with a `SessionContext`, with a `SessionState`, or on each scheduler and
/// executor of a cluster. They have no parameters and travel by name.
///
/// # Errors
/// Where the registry takes none.
pub fn register(registry: &mut dyn FunctionRegistry) -> Result<()> {
    for function in Scalar::ALL {
        registry.register_udf(Arc::new(ScalarUDF::from(function.into_udf())))?;
    }
    for function in Aggregate::ALL {
        registry.register_udaf(Arc::new(AggregateUDF::from(function.into_udf())))?;
    }
    registry.register_udaf(Arc::new(fractional_logit_state()))?;
    Ok(())
}
