//! The functions of one argument over slices.

use crate::blocks::{Inputs, Outputs};
use crate::dispatch::Backend;
use crate::entry::Call;
use crate::error::Error;
use crate::lane::Real;
use crate::total::Total;

/// p = σ(z) = 1/(1 + e^−z), with full relative precision where p is small.
///
/// σ(+∞) = 1, σ(−∞) = 0, σ(NaN) = NaN.
///
/// # Errors
/// [`Error::LengthMismatch`], before anything is written.
///
/// ```
/// let mut p = [0.0; 3];
/// soft_bce::sigmoid(&[0.0, -104.0, f32::INFINITY], &mut p)?;
/// assert_eq!(p, [0.5, 0.0, 1.0]);
/// # Ok::<(), soft_bce::Error>(())
/// ```
pub fn sigmoid<T: Real>(z: &[T], out: &mut [T]) -> Result<(), Error> {
    map(T::sigmoid, z, out)
}

/// ln σ(z) = −softplus(−z).
///
/// −0 at +∞, −∞ at −∞, NaN at NaN.
///
/// # Errors
/// [`Error::LengthMismatch`], before anything is written.
///
/// ```
/// let mut y = [0.0; 2];
/// soft_bce::log_sigmoid(&[0.0, -1000.0], &mut y)?;
/// assert_eq!(y, [-std::f64::consts::LN_2, -1000.0]);
/// # Ok::<(), soft_bce::Error>(())
/// ```
pub fn log_sigmoid<T: Real>(z: &[T], out: &mut [T]) -> Result<(), Error> {
    map(T::log_sigmoid, z, out)
}

/// softplus(z) = ln(1 + e^z), with full relative precision where it is small.
///
/// +∞ at +∞, 0 at −∞, NaN at NaN.
///
/// # Errors
/// [`Error::LengthMismatch`], before anything is written.
///
/// ```
/// let mut y = [0.0; 2];
/// soft_bce::softplus(&[0.0, 1000.0], &mut y)?;
/// assert_eq!(y, [std::f64::consts::LN_2, 1000.0]);
/// # Ok::<(), soft_bce::Error>(())
/// ```
pub fn softplus<T: Real>(z: &[T], out: &mut [T]) -> Result<(), Error> {
    map(T::softplus, z, out)
}

/// z = logit(p) = ln(p/(1 − p)), the inverse of the sigmoid: the logit at which
/// the loss for the target p is least. −∞ at 0, +∞ at 1.
///
/// # Errors
/// [`Error::LengthMismatch`], before anything is written, and
/// [`Error::TargetOutOfRange`] for a NaN or a p outside [0, 1], after which every
/// element of `out` is NaN.
///
/// ```
/// let mut z = [0.0; 3];
/// soft_bce::logit(&[0.0, 0.5, 1.0], &mut z)?;
/// assert_eq!(z, [f32::NEG_INFINITY, 0.0, f32::INFINITY]);
/// # Ok::<(), soft_bce::Error>(())
/// ```
pub fn logit<T: Real>(p: &[T], out: &mut [T]) -> Result<(), Error> {
    map(T::logit, p, out)
}

/// Applies a function of one argument; its results go to `loss`.
pub(crate) fn map<T: Real>(
    function: impl Fn(Call<'_, T>) -> Result<(), Error>,
    from: &[T],
    out: &mut [T],
) -> Result<(), Error> {
    if from.len() != out.len() {
        return Err(Error::LengthMismatch {
            expected: from.len(),
            found: out.len(),
        });
    }
    function(Call {
        backend: Backend::detect(),
        shaped: None,
        inputs: Inputs {
            z: from,
            t: from,
            weights: None,
        },
        outputs: Outputs {
            loss: out,
            ..Outputs::default()
        },
        total: &mut Total::default(),
    })
}
