//! The corpus: the types, operations, modes, numbers and generators with which everything here
//! tries the crate. Tests, benchmarks, fuzz targets, the firmware and the oracle include this one
//! module; nothing of it is listed a second time.
//!
//! It needs neither std nor an allocator, and makes its numbers by operations that are exact or
//! correctly rounded, so that any machine has the same.
#![allow(dead_code, unused_imports, reason = "each user takes a part")]

pub mod call;
pub mod format;
pub mod hashes;
pub mod known;
pub mod numbers;

pub use call::{Element, Function, Mode, Operation};
pub use format::Format;
pub use hashes::hash_all;
pub use numbers::Random;
