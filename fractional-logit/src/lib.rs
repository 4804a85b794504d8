//! Fractional logit regression (Papke and Wooldridge 1996): a logistic model of targets that are
//! fractions, by quasi-likelihood. Each Newton step takes the sum of the cross-entropy, its gradient
//! and its Hessian from one pass of [soft-bce](soft_bce).
//!
//! ```
//! use fractional_logit::{Table, fit};
//! use std::path::Path;
//!
//! let data = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/data/401k.csv"));
//! let features = ["mrate", "ln(totemp)"].map(str::to_owned);
//! let table = Table::read(data, "prate", &features, None)?;
//! let fit = fit(&table)?;
//! assert_eq!(table.names, ["const", "mrate", "ln(totemp)"]);
//! assert!(fit.coefficients[1] > 3.0 * fit.robust_errors[1]);
//! # Ok::<(), fractional_logit::Problem>(())
//! ```

#![deny(missing_docs)]

mod fit;
mod table;

pub use fit::{Fit, fit};
pub use table::{Problem, Table};
