//! Cross-entropy of probabilities themselves, L(y, p) = −y ln p − (1 − y) ln(1 − p).
//!
//! Logits are the better argument, where there is a choice. A p near 1 has no digits left that tell how near:
//! from z = 20 in `f32`, p = σ(z) is 1, and for y = 0 the loss is +∞ instead of 20; from z = 10 it is
//! 10.013 instead of 10.000045 for the rounding of p alone, and for y = 1 it is 4.482·10⁻⁵ instead of
//! 4.5399·10⁻⁵. What these functions lose is nothing: they are accurate at the p they are given.
//!
//! 0 ln 0 is 0: the loss is +∞ at p = 0 only where y > 0, and at p = 1 only where y < 1. The derivative by
//! p is (p − y)/(p (1 − p)), 1/(1 − p) for y = 0 and −1/p for y = 1. Sums are exact, and bits the same on every
//! machine and backend, as those of [`Bce`]. `f32` is computed in `f64`.
//!
//! # Errors
//!
//! Of all functions, in this order: [`Error::LengthMismatch`], [`Error::ProbabilityOutOfRange`] for the first p
//! that is NaN or outside [0, 1], [`Error::TargetOutOfRange`] for such a y; of `mean`, before both,
//! [`Error::Empty`]. After an error every element of the output is NaN.

use crate::bce::Bce;
use crate::entry::Real;
use crate::error::Error;
use crate::kernel::general::Kind;

/// Writes the loss of every element.
///
/// # Errors
/// As [for all](self#errors).
///
/// ```
/// let mut loss = [0.0; 4];
/// soft_bce::probability::loss(&[1.0, 0.0, 0.5, 1.0], &[1.0, 0.5, 0.5, 0.0], &mut loss)?;
/// assert_eq!(loss, [0.0, std::f64::consts::LN_2, std::f64::consts::LN_2, f64::INFINITY]);
/// # Ok::<(), soft_bce::Error>(())
/// ```
pub fn loss<T: Real>(y: &[T], p: &[T], loss: &mut [T]) -> Result<(), Error> {
    let result = check(y, p, Some(("loss", loss.len()))).and_then(|()| bce().loss(p, y, loss));
    poisoned(result, loss)
}

/// The sum of the losses, rounded once. 0 for empty slices.
///
/// # Errors
/// As [for all](self#errors).
///
/// ```
/// let sum = soft_bce::probability::sum(&[0.0_f32, 1.0], &[0.5, 0.5])?;
/// assert_eq!(sum, 2.0 * f64::from(std::f32::consts::LN_2));
/// # Ok::<(), soft_bce::Error>(())
/// ```
pub fn sum<T: Real>(y: &[T], p: &[T]) -> Result<f64, Error> {
    check(y, p, None)?;
    bce().sum(p, y)
}

/// The sum of the losses over their number.
///
/// # Errors
/// As [for all](self#errors).
///
/// ```
/// use soft_bce::{Error, probability};
/// assert_eq!(probability::mean(&[1.0, 0.0], &[0.5, 0.5])?, std::f64::consts::LN_2);
/// let error = probability::mean(&[1.0_f64], &[1.5]);
/// assert_eq!(error, Err(Error::ProbabilityOutOfRange { index: 0, value: 1.5 }));
/// # Ok::<(), soft_bce::Error>(())
/// ```
pub fn mean<T: Real>(y: &[T], p: &[T]) -> Result<f64, Error> {
    if y.is_empty() && p.is_empty() {
        return Err(Error::Empty);
    }
    check(y, p, None)?;
    bce().mean(p, y)
}

/// Writes the derivative by p of every element's loss.
///
/// # Errors
/// As [for all](self#errors).
///
/// ```
/// let mut gradient = [0.0; 3];
/// soft_bce::probability::gradient(&[1.0, 0.0, 0.5], &[0.5, 0.0, 0.25], &mut gradient)?;
/// assert_eq!(gradient, [-2.0_f64, 1.0, -0.25 / 0.1875]);
/// # Ok::<(), soft_bce::Error>(())
/// ```
pub fn gradient<T: Real>(y: &[T], p: &[T], gradient: &mut [T]) -> Result<(), Error> {
    let output = Some(("gradient", gradient.len()));
    let result = check(y, p, output).and_then(|()| bce().gradient(p, y, gradient));
    poisoned(result, gradient)
}

const fn bce<'a, T: Real>() -> Bce<'a, T> {
    Bce::new().kind(Kind::Probability, T::ZERO)
}

/// Lengths, that of the output too, then the probabilities.
fn check<T: Real>(y: &[T], p: &[T], output: Option<(&'static str, usize)>) -> Result<(), Error> {
    for (argument, found) in [Some(("p", p.len())), output].into_iter().flatten() {
        if found != y.len() {
            return Err(Error::LengthMismatch {
                argument,
                expected: y.len(),
                found,
            });
        }
    }
    let mut values = p.iter().map(|p| p.as_f64()).enumerate();
    match values.find(|(_, p)| !(0.0..=1.0).contains(p)) {
        Some((index, value)) => Err(Error::ProbabilityOutOfRange { index, value }),
        None => Ok(()),
    }
}

/// No element of the output survives an error.
fn poisoned<T: Real>(result: Result<(), Error>, output: &mut [T]) -> Result<(), Error> {
    if result.is_err() {
        output.fill(T::NAN);
    }
    result
}
