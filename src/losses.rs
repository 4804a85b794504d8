//! Other losses than cross-entropy, with the same methods.

use core::ops::Deref;

use crate::bce::Bce;
use crate::entry::Real;
use crate::kernel::general::Kind;

/// Squared error of the sigmoid, (s − t)² with s = σ(z): the Brier score, from logits.
///
/// ```text
/// loss     = (s − t)²
/// gradient = 2 (s − t) h,                    h = s (1 − s)
/// Hessian  = 2 h (h + (s − t) (1 − 2 s))
/// ```
///
/// Far out its gradient vanishes, however wrong the prediction is: at z = −20 and t = 1 it is
/// −4·10⁻⁹, where cross-entropy's is −1. It is not convex: the Hessian may be
/// negative. It is here for scores, and for those who compare.
///
/// Has the methods of [`Bce`], and their contract: sums are exact, errors, limits and backends as there.
/// Goes with [`weights`](Bce::weights), [`row_weights`](Bce::row_weights),
/// [`target_tolerance`](Bce::target_tolerance) and [`temperature`](Bce::temperature); with other options calls
/// are [`Error::UnsupportedOptions`](crate::Error::UnsupportedOptions). `f32` is computed in `f64`.
///
/// ```
/// use soft_bce::SquaredError;
/// let (mut loss, mut gradient) = ([0.0; 2], [0.0; 2]);
/// SquaredError::new().loss_gradient(&[0.0, -20.0_f32], &[1.0, 1.0], &mut loss, &mut gradient)?;
/// assert_eq!(loss, [0.25, 1.0]);
/// assert_eq!(gradient, [-0.25, -4.122_307_3e-9]);
/// # Ok::<(), soft_bce::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct SquaredError<'a, T: Real>(Bce<'a, T>);

impl<T: Real> SquaredError<'_, T> {
    /// Without options, on the fastest backend.
    ///
    /// ```
    /// assert_eq!(soft_bce::SquaredError::new().sum(&[0.0], &[1.0])?, 0.25);
    /// # Ok::<(), soft_bce::Error>(())
    /// ```
    #[must_use]
    pub const fn new() -> Self {
        Self(Bce::new().kind(Kind::SquaredError, T::ZERO))
    }
}

impl<T: Real> Default for SquaredError<'_, T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<'a, T: Real> Deref for SquaredError<'a, T> {
    type Target = Bce<'a, T>;

    fn deref(&self) -> &Bce<'a, T> {
        &self.0
    }
}

/// Focal loss for soft targets, |t − s|^β times cross-entropy, s = σ(z): the quality focal loss of Li et al.,
/// "Generalized Focal Loss" (2020). For t of 0 and 1 it is the focal loss of Lin et al., "Focal Loss for
/// Dense Object Detection" (2017), with γ = β.
///
/// ```text
/// loss     = |t − s|^β L(z, t)
/// gradient = |t − s|^β ((s − t) + β s (1 − s) L(z, t)/(s − t)),   0 where s is t
/// ```
///
/// No result is NaN but for a NaN logit. β = 0 is cross-entropy, to the bit. For β < 1 the gradient grows
/// beyond all bounds towards s = t, and is 0 there.
///
/// Has the methods of [`Bce`], and their contract, but for those that write a Hessian, which are
/// [`Error::UnsupportedOptions`](crate::Error::UnsupportedOptions). Goes with the options that
/// [`SquaredError`] goes with; for the α of the focal loss multiply by [`weights`](Bce::weights). `f32` is
/// computed in `f64`.
///
/// ```
/// use soft_bce::Focal;
/// let mut gradient = [0.0];
/// let sum = Focal::new(2.0).sum_gradient(&[0.0_f64], &[1.0], &mut gradient)?;
/// assert_eq!(sum, 0.25 * std::f64::consts::LN_2);
/// assert!((gradient[0] - (-0.125 - 0.25 * std::f64::consts::LN_2)).abs() < 1e-16);
/// # Ok::<(), soft_bce::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Focal<'a, T: Real>(Bce<'a, T>);

impl<T: Real> Focal<'_, T> {
    /// With this exponent, finite and >= 0, without options, on the fastest backend.
    ///
    /// ```
    /// use soft_bce::{Bce, Focal};
    /// let (z, t) = ([0.5, -2.0], [0.25, 1.0]);
    /// assert_eq!(Focal::new(0.0).sum(&z, &t)?, Bce::new().sum(&z, &t)?);
    /// assert!(Focal::new(-1.0).sum(&z, &t).is_err());
    /// # Ok::<(), soft_bce::Error>(())
    /// ```
    #[must_use]
    pub const fn new(beta: T) -> Self {
        Self(Bce::new().kind(Kind::Focal, beta))
    }
}

impl<'a, T: Real> Deref for Focal<'a, T> {
    type Target = Bce<'a, T>;

    fn deref(&self) -> &Bce<'a, T> {
        &self.0
    }
}
