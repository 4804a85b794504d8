//! The functions of one argument, correctly rounded in `f32`.
//!
//! Every result is the true value of the formula, rounded once, to nearest even:
//! at most half a unit in the last place off, and the same bits as from any other
//! correct implementation on any machine. Limits, NaN and errors are those of
//! [`sigmoid`](crate::sigmoid()), [`log_sigmoid`](crate::log_sigmoid()) and
//! [`softplus`](crate::softplus()). For loss, gradient and Hessian see
//! [`Bce::exact`](crate::Bce::exact).

use crate::entry;
use crate::error::Error;
use crate::slices::{Curve, of_logit};

/// sigma(z) = 1/(1 + e^-z), correctly rounded.
///
/// # Errors
/// [`Error::LengthMismatch`], before anything is written.
///
/// ```
/// let mut p = [0.0; 3];
/// soft_bce::exact::sigmoid(&[0.0, 1.0, f32::INFINITY], &mut p)?;
/// assert_eq!(p, [0.5, 0.731_058_6, 1.0]);
/// # Ok::<(), soft_bce::Error>(())
/// ```
pub fn sigmoid(z: &[f32], out: &mut [f32]) -> Result<(), Error> {
    of_logit(Curve::Sigmoid, entry::exact, z, out)
}

/// ln sigma(z) = -softplus(-z), correctly rounded.
///
/// # Errors
/// [`Error::LengthMismatch`], before anything is written.
///
/// ```
/// let mut y = [0.0; 2];
/// soft_bce::exact::log_sigmoid(&[0.0, -1000.0], &mut y)?;
/// assert_eq!(y, [-std::f32::consts::LN_2, -1000.0]);
/// # Ok::<(), soft_bce::Error>(())
/// ```
pub fn log_sigmoid(z: &[f32], out: &mut [f32]) -> Result<(), Error> {
    of_logit(Curve::LogSigmoid, entry::exact, z, out)
}

/// softplus(z) = ln(1 + e^z), correctly rounded.
///
/// # Errors
/// [`Error::LengthMismatch`], before anything is written.
///
/// ```
/// let mut y = [0.0; 2];
/// soft_bce::exact::softplus(&[0.0, -200.0], &mut y)?;
/// assert_eq!(y, [std::f32::consts::LN_2, 0.0]);
/// # Ok::<(), soft_bce::Error>(())
/// ```
pub fn softplus(z: &[f32], out: &mut [f32]) -> Result<(), Error> {
    of_logit(Curve::Softplus, entry::exact, z, out)
}
