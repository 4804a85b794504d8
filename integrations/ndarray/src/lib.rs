//! [`soft_bce`] over [`ndarray`] arrays: binary cross-entropy with soft targets from logits.
//!
//! [`Bce`] has the options and methods of [`soft_bce::Bce`], and takes arrays of any dimension,
//! layout and stride where that takes slices:
//!
//! ```
//! use ndarray::{Axis, array};
//! use soft_bce_ndarray::Bce;
//!
//! let logits = array![[2.0_f32, -1.0, 0.5], [0.0, 3.0, -2.0]]; // 2 rows, 3 classes
//! let targets = array![[0.9, 0.25, 0.5], [0.5, 1.0, 0.1]];
//! let mut gradient = ndarray::Array2::zeros(logits.raw_dim());
//!
//! let bce = Bce::new().weights_along(Axis(0), &[1.0, 0.5]).pos_weights(Axis(1), &[1.0, 2.0, 4.0]);
//! let mean = bce.mean_gradient(&logits, &targets, &mut gradient)?;
//! assert!((mean - 0.8).abs() < 0.1);
//!
//! // The same values in another layout: the same bits.
//! let columns = logits.t().as_standard_layout().into_owned();
//! let again = bce.mean(&columns.t(), &targets)?;
//! assert_eq!(again, mean);
//! # Ok::<(), soft_bce_ndarray::Error>(())
//! ```
//!
//! # What every method does
//!
//! * **Shapes**: all arrays of a call have the shape of the logits, else [`Error::Shape`]. There is
//!   no broadcasting but of weights; [`ndarray::ArrayRef::broadcast`] makes a view that can be passed.
//! * **Bits**: those of [`soft_bce`] on the elements in any order. Elements do not depend on each
//!   other and sums are exact, so that the layout has no influence.
//! * **Memory**: nothing is allocated on the heap up to four dimensions. Arrays that are contiguous
//!   in one order, whichever, go to the kernel as they are, and so do long contiguous rows; all else
//!   passes through the stack, 512 elements at a time.
//! * **Errors**: [`Error`] names the first element refused, in row-major order. Then every element
//!   of every output is NaN; the array of [`Bce::gradient_in_place`] and a [`LossSum`] are as they were.
//! * **Limits, accuracy**: those of [`soft_bce::Bce`].

#![deny(unsafe_code)]
#![deny(missing_docs)]

mod bce;
mod error;
mod walk;

use ndarray::NdFloat;

pub use bce::{Bce, map};
pub use error::Error;
pub use soft_bce;
pub use soft_bce::{Backend, LossSum};

/// An element type: `f32` or `f64`.
pub trait Real: soft_bce::Real + NdFloat {}
impl Real for f32 {}
impl Real for f64 {}
