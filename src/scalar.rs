//! One element at a time, with the same bits as the functions over slices.
//!
//! The functions of a logit alone cannot fail; those with a target refuse one
//! that is NaN or outside [0, 1], as index 0.

use crate::bce::Bce;
use crate::entry::Real;
use crate::error::Error;
use crate::slices;

/// σ(z); see [`crate::sigmoid`].
///
/// ```
/// assert_eq!(soft_bce::scalar::sigmoid(0.0_f32), 0.5);
/// ```
#[must_use]
#[inline]
pub fn sigmoid<T: Real>(z: T) -> T {
    T::single_gradient(z, T::ZERO).unwrap_or_else(|| of_logit(z, slices::sigmoid))
}

/// ln σ(z); see [`crate::log_sigmoid`].
///
/// ```
/// assert_eq!(soft_bce::scalar::log_sigmoid(-1000.0), -1000.0);
/// ```
#[must_use]
#[inline]
pub fn log_sigmoid<T: Real>(z: T) -> T {
    match T::single_loss(z, T::ONE) {
        Some(loss) => T::of_f64(-loss.as_f64()),
        None => of_logit(z, slices::log_sigmoid),
    }
}

/// ln(1 + e^z); see [`crate::softplus`].
///
/// ```
/// assert_eq!(soft_bce::scalar::softplus(1000.0), 1000.0);
/// ```
#[must_use]
#[inline]
pub fn softplus<T: Real>(z: T) -> T {
    T::single_loss(z, T::ZERO).unwrap_or_else(|| of_logit(z, slices::softplus))
}

/// −t ln σ(z) − (1 − t) ln(1 − σ(z)); see [`Bce::loss`].
///
/// # Errors
/// [`Error::TargetOutOfRange`].
///
/// ```
/// assert_eq!(soft_bce::scalar::loss(0.0, 0.3)?, std::f64::consts::LN_2);
/// # Ok::<(), soft_bce::Error>(())
/// ```
#[inline]
pub fn loss<T: Real>(z: T, t: T) -> Result<T, Error> {
    if let Some(loss) = single(z, t, T::single_loss) {
        return Ok(loss);
    }
    loss_as_slice(z, t)
}

#[cold]
fn loss_as_slice<T: Real>(z: T, t: T) -> Result<T, Error> {
    let mut out = [T::ZERO];
    Bce::new().loss(&[z], &[t], &mut out)?;
    let [loss] = out;
    Ok(loss)
}

/// σ(z) − t; see [`Bce::gradient`].
///
/// # Errors
/// [`Error::TargetOutOfRange`].
///
/// ```
/// assert_eq!(soft_bce::scalar::gradient(0.0, 0.25)?, 0.25_f32);
/// # Ok::<(), soft_bce::Error>(())
/// ```
#[inline]
pub fn gradient<T: Real>(z: T, t: T) -> Result<T, Error> {
    if let Some(gradient) = single(z, t, T::single_gradient) {
        return Ok(gradient);
    }
    gradient_as_slice(z, t)
}

#[cold]
fn gradient_as_slice<T: Real>(z: T, t: T) -> Result<T, Error> {
    let mut out = [T::ZERO];
    Bce::new().gradient(&[z], &[t], &mut out)?;
    let [gradient] = out;
    Ok(gradient)
}

/// σ(z)·(1 − σ(z)); see [`Bce::gradient_hessian`].
///
/// ```
/// assert_eq!(soft_bce::scalar::hessian(0.0_f64), 0.25);
/// ```
#[must_use]
pub fn hessian<T: Real>(z: T) -> T {
    of_logit(z, |z, out| {
        Bce::new().gradient_hessian(z, &[T::ZERO], &mut [T::ZERO], out)
    })
}

/// What the functions over slices would say, in a quarter of the time, or nothing: for targets that
/// are errors, logits far out, and machines without vectors of their own.
#[inline]
fn single<T: Real>(z: T, t: T, function: fn(T, T) -> Option<T>) -> Option<T> {
    // Patterns of other numbers are larger, but for that of -0, which may take the longer way.
    if t.pattern() <= T::ONE.pattern() {
        function(z, t)
    } else {
        None
    }
}

fn of_logit<T: Real>(z: T, function: impl Fn(&[T], &mut [T]) -> Result<(), Error>) -> T {
    let mut out = [T::NAN];
    // One element in, one out, and no target that could be wrong: no error is possible.
    let _ = function(&[z], &mut out);
    let [value] = out;
    value
}
