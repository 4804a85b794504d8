//! The functions of one argument over slices.

use crate::dispatch::Backend;
use crate::entry::{Call, Real, Run};
use crate::error::Error;
use crate::kernel::Wanted;
use crate::kernel::general::General;
use crate::lane::Float;
use crate::span_sum::SpanSum;
use crate::sum::LossSum;
use crate::walk::{Inputs, Outputs, Sign, Slices, Targets};

/// p = σ(z) = 1/(1 + e^−z), with full relative precision where p is small.
///
/// σ(+∞) = 1, σ(−∞) = 0, σ(NaN) = NaN.
///
/// # Errors
/// [`Error::LengthMismatch`], after which every element of `out` is NaN.
///
/// ```
/// let mut p = [0.0; 3];
/// soft_bce::sigmoid(&[0.0, -104.0, f32::INFINITY], &mut p)?;
/// assert_eq!(p, [0.5, 0.0, 1.0]);
/// # Ok::<(), soft_bce::Error>(())
/// ```
pub fn sigmoid<T: Real>(z: &[T], out: &mut [T]) -> Result<(), Error> {
    if few(T::short_gradient, T::LABELS[0], z, out) {
        return Ok(());
    }
    of_logit(Curve::Sigmoid, T::derivatives, z, out)
}

/// ln σ(z) = −softplus(−z).
///
/// −0 at +∞, −∞ at −∞, NaN at NaN.
///
/// # Errors
/// [`Error::LengthMismatch`], after which every element of `out` is NaN.
///
/// ```
/// let mut y = [0.0; 2];
/// soft_bce::log_sigmoid(&[0.0, -1000.0], &mut y)?;
/// assert_eq!(y, [-std::f64::consts::LN_2, -1000.0]);
/// # Ok::<(), soft_bce::Error>(())
/// ```
pub fn log_sigmoid<T: Real>(z: &[T], out: &mut [T]) -> Result<(), Error> {
    if few(T::short_loss, T::LABELS[1], z, out) {
        for loss in out {
            *loss = T::of_f64(-loss.as_f64());
        }
        return Ok(());
    }
    of_logit(Curve::LogSigmoid, T::cross_entropy, z, out)
}

/// softplus(z) = ln(1 + e^z), with full relative precision where it is small.
///
/// +∞ at +∞, 0 at −∞, NaN at NaN.
///
/// # Errors
/// [`Error::LengthMismatch`], after which every element of `out` is NaN.
///
/// ```
/// let mut y = [0.0; 2];
/// soft_bce::softplus(&[0.0, 1000.0], &mut y)?;
/// assert_eq!(y, [std::f64::consts::LN_2, 1000.0]);
/// # Ok::<(), soft_bce::Error>(())
/// ```
pub fn softplus<T: Real>(z: &[T], out: &mut [T]) -> Result<(), Error> {
    if few(T::short_loss, T::LABELS[0], z, out) {
        return Ok(());
    }
    of_logit(Curve::Softplus, T::cross_entropy, z, out)
}

/// z = logit(p) = ln(p/(1 − p)), the inverse of the sigmoid: the logit at which
/// the loss for the target p is least. −∞ at 0, +∞ at 1.
///
/// # Errors
/// [`Error::LengthMismatch`], and [`Error::TargetOutOfRange`] for a NaN or a p outside [0, 1].
/// After either every element of `out` is NaN.
///
/// ```
/// let mut z = [0.0; 3];
/// soft_bce::logit(&[0.0, 0.5, 1.0], &mut z)?;
/// assert_eq!(z, [f32::NEG_INFINITY, 0.0, f32::INFINITY]);
/// # Ok::<(), soft_bce::Error>(())
/// ```
pub fn logit<T: Real>(p: &[T], out: &mut [T]) -> Result<(), Error> {
    let outputs = Outputs {
        loss: out,
        ..Outputs::default()
    };
    map(T::logit, Wanted::LOSS, (p, Targets::Each(p)), outputs)
}

/// `Entries::short_loss` or `short_gradient`.
type ShortCall<T> = fn(&[T], &[T], &mut [T], Option<Backend>) -> f64;

/// Whether a short call has done it: not where there are more elements than labels, or the fast kernel does not hold,
/// or a length is wrong. One element takes a fifth of the time, 64 take a half.
#[inline]
fn few<T>(call: ShortCall<T>, labels: &[T], z: &[T], out: &mut [T]) -> bool {
    match labels.get(..z.len()) {
        Some(t) => !call(z, t, out, None).is_nan(),
        None => false,
    }
}

/// The functions of a logit: loss or gradient at a hard label.
#[derive(Clone, Copy)]
pub(crate) enum Curve {
    /// The gradient at t = 0, but not -0 where e^z is 0.
    Sigmoid,
    /// The loss at t = 1 with the other sign.
    LogSigmoid,
    /// The loss at t = 0.
    Softplus,
}

/// Applies one of them by means of `cross_entropy`, which rounds as it does.
pub(crate) fn of_logit<T: Float>(
    curve: Curve,
    cross_entropy: Run<T>,
    z: &[T],
    out: &mut [T],
) -> Result<(), Error> {
    let (wanted, target, sign) = match curve {
        Curve::Sigmoid => (Wanted::GRADIENT, T::ZERO, Sign::Cleared),
        Curve::LogSigmoid => (Wanted::LOSS, T::ONE, Sign::Flipped),
        Curve::Softplus => (Wanted::LOSS, T::ZERO, Sign::Kept),
    };
    let mut outputs = Outputs {
        sign,
        ..Outputs::default()
    };
    match curve {
        Curve::Sigmoid => outputs.gradient = out,
        _ => outputs.loss = out,
    }
    map(cross_entropy, wanted, (z, Targets::All(target)), outputs)
}

fn map<T: Float>(
    function: Run<T>,
    wanted: Wanted,
    (z, t): (&[T], Targets<'_, T>),
    mut outputs: Outputs<'_, T>,
) -> Result<(), Error> {
    let (expected, found) = (z.len(), outputs.loss.len().max(outputs.gradient.len()));
    let result = if found == expected {
        function(&mut Call {
            backend: Backend::detect(),
            options: None,
            general: General::PLAIN,
            slices: Slices {
                wanted,
                inputs: Inputs::new(z, t, None),
                outputs: outputs.reborrow(),
                sum: &mut SpanSum::default(),
            },
        })
    } else {
        Err(Error::LengthMismatch {
            argument: "out",
            expected,
            found,
        })
    };
    result.inspect_err(|_| outputs.poison())
}

impl LossSum {
    /// Adds all values, exactly: the state is that after one [`add`](Self::add) each, at the
    /// speed of a vector sum.
    ///
    /// ```
    /// let mut sum = soft_bce::LossSum::new();
    /// sum.add_slice(&[1e30_f32, 1.0, -1e30]);
    /// assert_eq!((sum.to_f64(), sum.count()), (1.0, 3));
    /// ```
    pub fn add_slice<T: Real>(&mut self, values: &[T]) {
        let backend = Backend::detect();
        let (mut positive, mut negative) = (SpanSum::default(), SpanSum::default());
        // `detect` names a backend that is there: no error is possible.
        if T::add(backend, values, false, &mut positive) == Ok(true) {
            let _ = T::add(backend, values, true, &mut negative);
            self.merge(&negative.into_state(0).negated());
        }
        self.merge(&positive.into_state(values.len()));
    }
}
