//! The oracle of soft-bce: every function and mode against MPFR, within `src/accuracy.md`.
//!
//! [`mpfr`] evaluates the formulas at a precision that is raised until the answer is certain,
//! [`losses`] has those of the other losses, [`ulp`] measures, [`fast`] is a quicker reference for what is far from its budget, [`check`] puts
//! them together, [`corpus`] has the inputs, [`cases`] batches of them, [`search`] looks for those with large errors, and [`fault`] spoils results to show that checks turn red.

#![deny(missing_docs, unsafe_code)]

pub mod budget;
pub mod cases;
pub mod check;
#[path = "../../tests/corpus/mod.rs"]
pub mod corpus;
pub mod fast;
pub mod fault;
pub mod format;
pub mod losses;
pub mod mpfr;
pub mod search;
pub mod subject;
pub mod ulp;
