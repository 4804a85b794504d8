//! Binary cross-entropy with soft targets, computed from logits.
//!
//! With z the logit, t the target in [0, 1] and s = σ(z) = 1/(1 + e^−z):
//!
//! | quantity | formula | computed as |
//! |---|---|---|
//! | loss | −t·ln s − (1 − t)·ln(1 − s) | max(z, 0) − t·z + log1p(e^−\|z\|) |
//! | gradient by z | s − t | ±((z < 0 ? t : 1 − t) − e/(1 + e)), e = e^−\|z\| |
//! | Hessian by z | s·(1 − s) | q − q², q = e/(1 + e) |
//!
//! The loss is convex in z, least where σ(z) = t, and worth there the entropy of
//! t, not 0 ([`Bce::excess`] is the loss above that). The gradient is the plain difference s − t.
//!
//! ```
//! use soft_bce::Bce;
//!
//! let (logits, targets) = ([2.0_f32, -1.0, 0.0], [0.9_f32, 0.25, 0.5]);
//! let mut gradient = [0.0; 3];
//! let loss = Bce::new().sum_gradient(&logits, &targets, &mut gradient)?;
//!
//! assert!((loss - 1.583_337).abs() < 1e-6);
//! assert_eq!(gradient[2], 0.0); // sigmoid(0) is the target
//! # Ok::<(), soft_bce::Error>(())
//! ```
//!
//! # What it needs, and what it costs
//!
//! Rust 1.89; no `std`, no allocation. Feature `linear` adds the module of that name, feature `rayon` (which needs `std`) the
//! `par_*` methods; neither is a default. Runs on x86-64 (AVX2 and AVX-512 are detected), AArch64, wasm32, RISC-V and Cortex-M; what was run where is in `docs/platforms.md`. Every call
//! runs within 256 KiB of stack in an unoptimised build, 16 KiB in an optimised one (`linear` 20). Unoptimised it is some 300
//! times slower: `[profile.dev.package.soft-bce] opt-level = 2` in the workspace that builds it mends that.
//!
//! # Accuracy
//!
#![doc = include_str!("accuracy.md")]
#![no_std]
#![deny(unsafe_code)]
#![deny(missing_docs)]

mod bce;
mod coeffs;
mod dispatch;
mod entry;
mod error;
pub mod exact;
mod kernel;
mod lane;
#[cfg(feature = "linear")]
pub mod linear;
mod losses;
#[cfg(feature = "rayon")]
mod par;
pub mod probability;
pub mod scalar;
mod shape;
mod slices;
mod span_sum;
mod sum;
mod walk;

pub use bce::Bce;
pub use dispatch::Backend;
pub use entry::Real;
pub use error::Error;
pub use losses::{Focal, SquaredError};
pub use slices::{log_sigmoid, logit, sigmoid, softplus};
pub use sum::LossSum;
