//! [`Bce`]: the options, and the entry points over slices.

use crate::dispatch::Backend;
use crate::entry::{self, Call, Real, Run, Shaper};
use crate::error::Error;
use crate::kernel::general::{General, Kind};
use crate::kernel::{SmoothedWeighted, Wanted};
use crate::lane::Float;
use crate::shape::Shape;
use crate::span_sum::SpanSum;
use crate::sum::{Double, LossSum, ldexp};
use crate::walk::{Inputs, Outputs, SHORT, Slices, Targets};

pub(crate) const LOSS: Wanted = Wanted::LOSS;
pub(crate) const SUM: Wanted = Wanted::SUM;
pub(crate) const GRADIENT: Wanted = Wanted::GRADIENT;
pub(crate) const GRADIENT_HESSIAN: Wanted = GRADIENT.and(Wanted::HESSIAN);

/// `Bce::run_part` with clamped targets.
type Clamped<T> = fn(&Bce<'_, T>, usize, &mut Call<'_, T>) -> Result<(), Error>;

/// Binary cross-entropy of logits `z` and targets `t` in [0, 1], with its options.
///
/// Without options, for s = σ(z):
///
/// ```text
/// loss     = −t ln s − (1 − t) ln(1 − s) = softplus(z) − t z
/// gradient = s − t
/// Hessian  = s (1 − s)
/// ```
///
/// `Bce` is `Copy` and costs nothing to make. Options chain:
///
/// ```
/// use soft_bce::Bce;
///
/// let weights = [1.0, 0.5, 2.0];
/// let bce = Bce::<f64>::new().weights(&weights).pos_weight(3.0).label_smoothing(0.1);
/// let mean = bce.mean(&[1.0, -0.5, 0.0], &[1.0, 0.2, 0.5])?;
/// assert!(mean > 0.0);
/// # Ok::<(), soft_bce::Error>(())
/// ```
///
/// # What every method does
///
/// * **Lengths**: all slices of a call have the length of `z`, but for weights of rows and classes,
///   else [`Error::LengthMismatch`], which names the slice. Empty slices are valid.
/// * **Options** out of their range are [`Error::InvalidOption`], [`Error::InvalidPosWeight`] or
///   [`Error::InvalidRowWeight`], those that exclude each other [`Error::UnsupportedOptions`].
/// * A **mean** of nothing, or of weights that are all 0, is [`Error::Empty`].
/// * **Targets** that are NaN or outside [0, 1] are [`Error::TargetOutOfRange`],
///   **weights** that are NaN, infinite or negative [`Error::InvalidWeight`], with the
///   first such index; of one element, the target is named. A weight of 0 or −0 removes an
///   element: neither its logit nor its target is looked at.
/// * Errors are looked for **in this order**. After any of them every element of every
///   output slice is NaN, so that no half-done or former result can be mistaken for one;
///   inputs, the buffer of an in-place call and a [`LossSum`] are as they were
///   (`docs/errors.md` is the table of operations and errors).
/// * **Limits**: at z = +∞ the loss is 0 where t = 1, else +∞, the gradient
///   1 − t and the Hessian 0; at z = −∞ the loss is 0 where t = 0, else +∞, and
///   the gradient −t. A NaN logit makes that element NaN, and a sum.
/// * **Sums** are the correctly rounded sum of exactly the values that
///   [`loss`](Self::loss) writes, whatever the order, the vector width or the backend.
/// * A gradient of **zero** is +0, also where a mean's divisor makes it one; with
///   [`exact`](Self::exact) alone, −0 where a negative value rounds to 0.
/// * **Floating-point flags**: none but inexact for logits of at most 86 (`f32`) or 640
///   (`f64`; 200 without FMA instructions) in magnitude, where weights and results are in
///   the normal range or 0; beyond, underflow, overflow and invalid may be raised.
/// * **Panics**: none. **Bits**: the same on every machine and backend.
///
/// # Accuracy
///
/// In units in the last place, against MPFR: see the crate's page.
#[derive(Clone, Copy, Debug)]
pub struct Bce<'a, T: Real> {
    pub(crate) weights: Option<&'a [T]>,
    row_weights: Option<&'a [T]>,
    pos_weights: Option<&'a [T]>,
    pos_weight: T,
    label_smoothing: T,
    target_tolerance: T,
    /// Pointers, so that programs that never ask for them do not contain them.
    smoothed_weighted: Option<Run<T>>,
    exact: Option<Run<T>>,
    excess: Option<Run<T>>,
    general: Option<Run<T>>,
    clamped: Option<Clamped<T>>,
    kind: Kind,
    temperature: T,
    /// Of the focal loss.
    exponent: T,
    /// Where there are weights of rows or classes.
    shaper: Option<&'static Shaper<T>>,
    /// Whether no option was ever set but the backend.
    plain: bool,
    backend: Option<Backend>,
}

impl<T: Real> Default for Bce<'_, T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<'a, T: Real> Bce<'a, T> {
    /// The plain loss: no weights, on the fastest backend.
    ///
    /// ```
    /// const BCE: soft_bce::Bce<f32> = soft_bce::Bce::new();
    /// assert_eq!(BCE.sum(&[0.0], &[0.5])?, f64::from(std::f32::consts::LN_2));
    /// # Ok::<(), soft_bce::Error>(())
    /// ```
    #[must_use]
    pub const fn new() -> Self {
        Self {
            weights: None,
            row_weights: None,
            pos_weights: None,
            pos_weight: T::ONE,
            label_smoothing: T::ZERO,
            target_tolerance: T::ZERO,
            smoothed_weighted: None,
            exact: None,
            excess: None,
            general: None,
            clamped: None,
            kind: Kind::CrossEntropy,
            temperature: T::ONE,
            exponent: T::ZERO,
            shaper: None,
            plain: true,
            backend: None,
        }
    }

    /// Multiplies loss, gradient and Hessian of element i by `weights[i]`,
    /// finite and >= 0. Where a weight is 0 they are 0, whatever the logit and the
    /// target: a weight of 0 removes an element. One more rounding.
    ///
    /// ```
    /// use soft_bce::Bce;
    /// let (z, t) = ([f64::NAN, 0.0], [-100.0, 0.5]);
    /// let mean = Bce::new().weights(&[0.0, 2.0]).mean(&z, &t)?; // divided by 2, the total weight
    /// assert_eq!(mean, std::f64::consts::LN_2);
    /// # Ok::<(), soft_bce::Error>(())
    /// ```
    #[must_use]
    pub const fn weights(mut self, weights: &'a [T]) -> Self {
        self.weights = Some(weights);
        self.plain = false;
        self
    }

    /// Multiplies the positive term by p, finite and > 0:
    /// loss = −p t ln s − (1 − t) ln(1 − s), as PyTorch's `pos_weight`.
    ///
    /// The gradient is w s − p t and the Hessian w s (1 − s), with
    /// w = 1 − t + p t; the least loss is where s = p t / w.
    ///
    /// ```
    /// use soft_bce::Bce;
    /// let mut gradient = [0.0];
    /// Bce::new().pos_weight(3.0).gradient(&[0.0], &[1.0], &mut gradient)?;
    /// assert_eq!(gradient, [-1.5_f32]);
    /// # Ok::<(), soft_bce::Error>(())
    /// ```
    #[must_use]
    pub const fn pos_weight(mut self, pos_weight: T) -> Self {
        self.pos_weight = pos_weight;
        self.smoothed_weighted = Some(T::smoothed_weighted);
        self.plain = false;
        self
    }

    /// A [`pos_weight`](Self::pos_weight) for each class: `z` and `t` are rows × classes, one row after
    /// the other, and element i has `pos_weights[i % classes]`, finite and > 0, as PyTorch's `pos_weight`
    /// of the shape (classes). Their number has to divide that of the logits, else
    /// [`Error::LengthMismatch`]. Excludes `pos_weight`.
    ///
    /// ```
    /// use soft_bce::Bce;
    /// let z = [0.5, -1.0, 2.0, 0.25, -0.75, 1.5]; // three rows, two classes
    /// let t = [1.0, 0.0, 0.3, 1.0, 0.0, 0.9];
    /// let mean = Bce::<f64>::new().pos_weights(&[3.0, 10.0]).mean(&z, &t)?;
    /// assert!((mean - 1.911_283_915_379).abs() < 1e-12); // PyTorch's
    /// # Ok::<(), soft_bce::Error>(())
    /// ```
    ///
    /// # Errors of the call
    /// [`Error::InvalidPosWeight`], with the class.
    #[must_use]
    pub const fn pos_weights(mut self, pos_weights: &'a [T]) -> Self {
        self.pos_weights = Some(pos_weights);
        self.shaper = Some(T::SHAPER);
        self.smoothed_weighted = Some(T::smoothed_weighted);
        self.plain = false;
        self
    }

    /// A weight for each row, finite and >= 0: `z` and `t` are rows × classes, one row after the other,
    /// and element i has `row_weights[i / classes]`, where classes is the number of logits divided by that
    /// of the rows, which has to divide it, else [`Error::LengthMismatch`].
    ///
    /// With [`weights`](Self::weights) too, an element's weight is the product of both, rounded to `T`, by
    /// the total of which a mean divides; a product that overflows is [`Error::InvalidWeight`]. A row of
    /// weight 0 is removed: neither its logits nor its targets nor its elements' weights are looked at.
    ///
    /// ```
    /// use soft_bce::Bce;
    /// let (z, t) = ([0.0, 0.0, f64::NAN, 7.0], [0.5, 1.0, -100.0, f64::NAN]);
    /// let mean = Bce::new().row_weights(&[2.0, 0.0]).mean(&z, &t)?; // divided by 4, the total weight
    /// assert_eq!(mean, std::f64::consts::LN_2);
    /// # Ok::<(), soft_bce::Error>(())
    /// ```
    ///
    /// # Errors of the call
    /// [`Error::InvalidRowWeight`], with the row; looked for before targets and weights of elements.
    #[must_use]
    pub const fn row_weights(mut self, row_weights: &'a [T]) -> Self {
        self.row_weights = Some(row_weights);
        self.shaper = Some(T::SHAPER);
        self.plain = false;
        self
    }

    /// Moves every target towards 1/2: t' = (1 − α) t + α/2, with α in [0, 1], rounded to
    /// `T`: where t' is near 1, 1 − t' is good to an ULP of 1.
    ///
    /// ```
    /// use soft_bce::Bce;
    /// let mut gradient = [0.0];
    /// Bce::new().label_smoothing(0.5).gradient(&[0.0], &[1.0], &mut gradient)?;
    /// assert_eq!(gradient, [-0.25_f32]); // 1/2 - 3/4
    /// # Ok::<(), soft_bce::Error>(())
    /// ```
    #[must_use]
    pub const fn label_smoothing(mut self, alpha: T) -> Self {
        self.label_smoothing = alpha;
        self.smoothed_weighted = Some(T::smoothed_weighted);
        self.plain = false;
        self
    }

    /// Takes z/T for the logit, T finite and > 0, and u/T for a [teacher's](Self::logit_targets): what
    /// calibrates a classifier, and softens a teacher. Gradient and Hessian are those by the undivided z:
    ///
    /// ```text
    /// loss = L(z/T, t),  gradient = (σ(z/T) − t)/T,  Hessian = σ(z/T) (1 − σ(z/T))/T²
    /// ```
    ///
    /// Accurate at the true quotient z/T, not at its rounding. `f32` is computed in `f64`; costs several
    /// times as much. Goes with all options but [`exact`](Self::exact). `examples/temperature.rs` fits a
    /// temperature. Minimising the distillation loss T² L(z/T, u/T) is minimising this.
    ///
    /// ```
    /// use soft_bce::Bce;
    /// let mut gradient = [0.0];
    /// Bce::new().temperature(2.0).gradient(&[0.0_f32], &[1.0], &mut gradient)?;
    /// assert_eq!(gradient, [-0.25]); // (1/2 − 1)/2
    /// # Ok::<(), soft_bce::Error>(())
    /// ```
    #[must_use]
    pub const fn temperature(mut self, temperature: T) -> Self {
        self.temperature = temperature;
        self.general = Some(T::general);
        self.plain = false;
        self
    }

    /// Takes `t` for logits u, a teacher's: the target is σ(u), never rounded to a number near 1. For
    /// s = σ(z) and r = σ(u):
    ///
    /// ```text
    /// loss     = −r ln s − (1 − r) ln(1 − s)
    /// gradient = s − r
    /// Hessian  = s (1 − s)
    /// excess   = r ln(r/s) + (1 − r) ln((1 − r)/(1 − s)) >= 0, the divergence KL(r || s)
    /// ```
    ///
    /// The gradient keeps its relative precision wherever z and u are, also far out on the same side
    /// and next to each other, and so does the [`excess`](Self::excess); both are 0 where z = u, and
    /// nowhere else but by underflow. u = ±∞ are the hard labels; a NaN is [`Error::TargetOutOfRange`].
    ///
    /// Goes with [`temperature`](Self::temperature), [`weights`](Self::weights) and
    /// [`row_weights`](Self::row_weights). With `pos_weight`, `pos_weights`, `label_smoothing`,
    /// `target_tolerance` or `exact` every call is [`Error::UnsupportedOptions`]: another target than the
    /// teacher's is asked for by its logit.
    ///
    /// ```
    /// use soft_bce::Bce;
    /// let (student, teacher) = ([18.0_f32], [20.0]); // σ(20) rounds to 1
    /// let mut excess = [0.0];
    /// let bce = Bce::new().logit_targets();
    /// bce.excess().loss(&student, &teacher, &mut excess)?;
    /// assert_eq!(excess, [9.046_519e-9]); // with the target 1 it would be 1.5e-8
    /// # Ok::<(), soft_bce::Error>(())
    /// ```
    #[must_use]
    pub const fn logit_targets(mut self) -> Self {
        self.kind = match self.kind {
            Kind::CrossEntropy | Kind::LogitTargets => Kind::LogitTargets,
            _ => Kind::Refused,
        };
        self.general = Some(T::general);
        self.plain = false;
        self
    }

    /// Another loss, with its exponent, if it has one.
    pub(crate) const fn kind(mut self, kind: Kind, exponent: T) -> Self {
        self.kind = kind;
        self.exponent = exponent;
        self.general = Some(T::general);
        self.plain = false;
        self
    }

    /// Takes targets outside [0, 1] by at most this, finite and >= 0, for 0 or 1: what rounding
    /// makes of them, such as 1 + 2^−23. Others remain errors, and NaN is one. The targets are
    /// copied piece by piece.
    ///
    /// ```
    /// use soft_bce::{Bce, Error};
    /// let bce = Bce::<f32>::new().target_tolerance(1e-6);
    /// let clamped = Bce::<f32>::new().sum(&[2.0, -2.0], &[1.0, 0.0]);
    /// assert_eq!(bce.sum(&[2.0, -2.0], &[1.000_000_1, -1e-9]), clamped);
    /// let error = bce.sum(&[0.0], &[1.5]).unwrap_err();
    /// assert_eq!(error, Error::TargetOutOfRange { index: 0, value: 1.5 });
    /// ```
    #[must_use]
    pub const fn target_tolerance(mut self, tolerance: T) -> Self {
        self.target_tolerance = tolerance;
        self.clamped = Some(run_clamped);
        self.plain = false;
        self
    }

    /// Reports every loss above the least one that its target admits, which is the
    /// target's entropy. The excess is the Kullback–Leibler divergence of σ(z) from t:
    ///
    /// ```text
    /// excess = t ln(t/s) + (1 − t) ln((1 − t)/(1 − s)) >= 0
    /// ```
    ///
    /// It is 0 where σ(z) is t, and for hard labels (t = 0 or 1) it is the loss itself. The
    /// entropy does not depend on z: gradients and Hessians are those without this
    /// option, to the bit. Sums and means are those of the excesses.
    ///
    /// It is the sum of two terms that are not negative, and keeps its precision where
    /// loss less entropy would cancel: its error is of the order of what the last place of
    /// s makes of it, or of its own last place (the budget is on the crate's page). `f32` is
    /// computed in `f64`. Costs several times as much as the loss.
    ///
    /// Goes with [`weights`](Self::weights) and [`row_weights`](Self::row_weights), which multiply it, and with
    /// [`temperature`](Self::temperature) and [`logit_targets`](Self::logit_targets). Not with a positive
    /// weight p or smoothing: the least loss is then another function of t, at s = p t'/(1 − t' + p t'), and the
    /// loss above it is no divergence from t. It is (1 − t' + p t') times the excess of that s as the
    /// target: for it, call with these targets and weights. With `pos_weight`,
    /// `pos_weights`, `label_smoothing` or `exact` every call is [`Error::UnsupportedOptions`].
    ///
    /// ```
    /// use soft_bce::Bce;
    /// let (z, t) = ([0.0, 0.0, f64::INFINITY], [0.5, 0.25, 1.0]);
    /// let mut excess = [0.0; 3];
    /// Bce::new().excess().loss(&z, &t, &mut excess)?;
    /// assert_eq!(excess[0], 0.0); // σ(0) is 1/2; the loss is ln 2
    /// assert!((excess[1] - (0.25 * 0.5_f64.ln() + 0.75 * 1.5_f64.ln())).abs() < 1e-16);
    /// assert_eq!(excess[2], 0.0);
    /// # Ok::<(), soft_bce::Error>(())
    /// ```
    #[must_use]
    pub const fn excess(mut self) -> Self {
        self.excess = Some(T::excess);
        self.plain = false;
        self
    }

    /// Runs on this backend instead of the fastest.
    ///
    /// # Errors
    ///
    /// [`Error::BackendUnavailable`] where the machine lacks it: never a quiet fallback.
    ///
    /// ```
    /// use soft_bce::{Backend, Bce};
    /// let bce = Bce::<f32>::new().backend(Backend::Scalar)?;
    /// # Ok::<(), soft_bce::Error>(())
    /// ```
    pub fn backend(mut self, backend: Backend) -> Result<Self, Error> {
        if !backend.is_available() {
            return Err(Error::BackendUnavailable {
                backend: backend.name(),
            });
        }
        self.backend = Some(backend);
        Ok(self)
    }

    /// Writes the loss of every element.
    ///
    /// # Errors
    /// As [for every method](Self#what-every-method-does).
    ///
    /// ```
    /// use soft_bce::{Bce, Error};
    /// let mut out = [0.0; 2];
    /// Bce::new().loss(&[0.0, 1e4], &[0.5, 1.0], &mut out)?;
    /// assert_eq!(out, [std::f32::consts::LN_2, 0.0]);
    ///
    /// let bad = Bce::new().loss(&[0.0, 1.0], &[0.5, 1.5], &mut out);
    /// assert_eq!(bad, Err(Error::TargetOutOfRange { index: 1, value: 1.5 }));
    /// # Ok::<(), soft_bce::Error>(())
    /// ```
    #[inline]
    pub fn loss(&self, z: &[T], t: &[T], loss: &mut [T]) -> Result<(), Error> {
        if self.plain && !T::short_loss(z, t, loss, self.backend).is_nan() {
            return Ok(());
        }
        self.write_losses(z, t, loss)
    }

    /// The sum of the losses, correctly rounded to `f64`. 0 for empty slices.
    ///
    /// # Errors
    /// As [for every method](Self#what-every-method-does).
    ///
    /// ```
    /// use soft_bce::Bce;
    /// assert_eq!(Bce::<f32>::new().sum(&[], &[])?, 0.0);
    /// # Ok::<(), soft_bce::Error>(())
    /// ```
    #[inline]
    pub fn sum(&self, z: &[T], t: &[T]) -> Result<f64, Error> {
        if self.plain {
            let sum = T::short_sum(z, t, &mut [], self.backend);
            if !sum.is_nan() {
                return Ok(sum);
            }
        }
        self.add_up(SUM, z, t, [&mut [], &mut []])
    }

    /// The mean loss: the exact sum over the number of elements or, with weights, over the
    /// exact total weight; within 0.5001 ULP of that quotient, whatever the size of the weights, if it is
    /// in the normal range of `T`.
    ///
    /// Where the total weight is below 1 or very large, or weighted losses overflow, the
    /// weights are scaled by a power of two first, so that totals and losses beyond the range
    /// of `T` or `f64` do no harm; a loss that is then below the normal range is rounded to the spacing there.
    /// Elsewhere the sum is that of the values that [`loss`](Self::loss) writes.
    ///
    /// PyTorch's `reduction="mean"` divides by the number of elements even with
    /// weights; divide [`sum`](Self::sum) by it for that.
    ///
    /// # Errors
    /// As [for every method](Self#what-every-method-does), and [`Error::Empty`]
    /// for empty slices or a total weight of 0.
    ///
    /// ```
    /// use soft_bce::{Bce, Error};
    /// assert_eq!(Bce::<f64>::new().mean(&[0.0, 0.0], &[0.5, 1.0])?, std::f64::consts::LN_2);
    /// assert_eq!(Bce::<f64>::new().mean(&[], &[]), Err(Error::Empty));
    /// # Ok::<(), soft_bce::Error>(())
    /// ```
    #[inline]
    pub fn mean(&self, z: &[T], t: &[T]) -> Result<f64, Error> {
        // A short sum of `f32` is exact, so its quotient is rounded once.
        if self.plain && !T::COMPENSATED {
            let sum = T::short_sum(z, t, &mut [], self.backend);
            if !sum.is_nan() {
                return Ok(sum / z.len() as f64);
            }
        }
        self.average(SUM, z, t, &mut [])
    }

    /// Writes the gradient by the logit, s − t, of every element.
    ///
    /// For hard labels it keeps full relative precision in both tails:
    ///
    /// ```
    /// use soft_bce::Bce;
    /// let mut gradient = [0.0];
    /// Bce::new().gradient(&[20.0], &[1.0], &mut gradient)?;
    /// assert_eq!(gradient, [-2.061_153_6e-9_f32]); // 1 / (1 + e^-20) - 1 in f32 is 0
    /// # Ok::<(), soft_bce::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [for every method](Self#what-every-method-does).
    #[inline]
    pub fn gradient(&self, z: &[T], t: &[T], gradient: &mut [T]) -> Result<(), Error> {
        if self.plain && !T::short_gradient(z, t, gradient, self.backend).is_nan() {
            return Ok(());
        }
        self.write_gradients(z, t, gradient)
    }

    /// Replaces every logit by the gradient there. Checks all targets and
    /// weights before it writes: after an error `z` is as it was.
    ///
    /// # Errors
    /// As [for every method](Self#what-every-method-does).
    ///
    /// ```
    /// use soft_bce::Bce;
    /// let mut z = [0.0_f32, 0.0];
    /// assert!(Bce::new().gradient_in_place(&mut z, &[0.25, 2.0]).is_err());
    /// assert_eq!(z, [0.0, 0.0]);
    /// Bce::new().gradient_in_place(&mut z, &[0.25, 1.0])?;
    /// assert_eq!(z, [0.25, -0.5]);
    /// # Ok::<(), soft_bce::Error>(())
    /// ```
    pub fn gradient_in_place(&self, z: &mut [T], t: &[T]) -> Result<(), Error> {
        self.write::<false>(Wanted::NOTHING, z, t, Outputs::default())?;
        let options = self.options()?;
        let length = z.len();
        let mut start = 0;
        let mut copy = T::ROWS;
        let copy = copy.as_mut();
        let mut t = t.chunks(copy.len());
        let mut weights = self.weights.map(|weights| weights.chunks(copy.len()));
        for chunk in z.chunks_mut(copy.len()) {
            for (to, from) in copy.iter_mut().zip(chunk.iter()) {
                *to = *from;
            }
            let inputs = Inputs {
                start,
                ..Inputs::new(
                    copy.get(..chunk.len()).unwrap_or(&[]),
                    self.targets(t.next().unwrap_or(&[])),
                    weights.as_mut().and_then(Iterator::next),
                )
            };
            start += chunk.len();
            let outputs = Outputs {
                gradient: chunk,
                ..Outputs::default()
            };
            let sum = &mut SpanSum::default();
            self.run_for::<false>(length, GRADIENT, options, inputs, outputs, sum)?;
        }
        Ok(())
    }

    /// The [sum](Self::sum) and the [gradient](Self::gradient) in one pass.
    ///
    /// # Errors
    /// As [for every method](Self#what-every-method-does).
    ///
    /// ```
    /// use soft_bce::Bce;
    /// let mut gradient = [0.0; 2];
    /// let sum = Bce::new().sum_gradient(&[0.0, 0.0], &[0.5, 1.0], &mut gradient)?;
    /// assert_eq!(sum, 2.0 * std::f64::consts::LN_2);
    /// assert_eq!(gradient, [0.0_f64, -0.5]);
    /// # Ok::<(), soft_bce::Error>(())
    /// ```
    #[inline]
    pub fn sum_gradient(&self, z: &[T], t: &[T], gradient: &mut [T]) -> Result<f64, Error> {
        if self.plain {
            let sum = T::short_sum_gradient(z, t, gradient, self.backend);
            if !sum.is_nan() {
                return Ok(sum);
            }
        }
        self.add_up(SUM.and(GRADIENT), z, t, [gradient, &mut []])
    }

    /// The [mean](Self::mean) and its gradient: each element's gradient divided by what
    /// the mean is divided by, rounded to `T`; with weights scaled as there.
    ///
    /// # Errors
    /// As [for every method](Self#what-every-method-does), and [`Error::Empty`]
    /// for empty slices or a total weight of 0.
    ///
    /// ```
    /// use soft_bce::Bce;
    /// let mut gradient = [0.0; 2];
    /// Bce::new().mean_gradient(&[0.0, 0.0], &[0.5, 1.0], &mut gradient)?;
    /// assert_eq!(gradient, [0.0_f32, -0.25]);
    /// # Ok::<(), soft_bce::Error>(())
    /// ```
    #[inline]
    pub fn mean_gradient(&self, z: &[T], t: &[T], gradient: &mut [T]) -> Result<f64, Error> {
        if self.plain && !T::COMPENSATED {
            let sum = T::short_sum_gradient(z, t, gradient, self.backend);
            if !sum.is_nan() {
                let count = z.len() as f64;
                T::divide(gradient, count);
                return Ok(sum / count);
            }
        }
        self.average(SUM.and(GRADIENT), z, t, gradient)
    }

    /// Writes the [gradient](Self::gradient) and the Hessian's diagonal, s (1 − s).
    ///
    /// # Errors
    /// As [for every method](Self#what-every-method-does).
    ///
    /// ```
    /// use soft_bce::Bce;
    /// let (mut gradient, mut hessian) = ([0.0], [0.0]);
    /// Bce::new().gradient_hessian(&[0.0], &[1.0], &mut gradient, &mut hessian)?;
    /// assert_eq!((gradient, hessian), ([-0.5_f32], [0.25]));
    /// # Ok::<(), soft_bce::Error>(())
    /// ```
    pub fn gradient_hessian(
        &self,
        z: &[T],
        t: &[T],
        gradient: &mut [T],
        hessian: &mut [T],
    ) -> Result<(), Error> {
        let outputs = Outputs {
            gradient,
            hessian,
            ..Outputs::default()
        };
        self.write::<false>(GRADIENT_HESSIAN, z, t, outputs)
    }

    /// Writes the [loss](Self::loss) and the [gradient](Self::gradient) of every element in one pass.
    ///
    /// # Errors
    /// As [for every method](Self#what-every-method-does).
    ///
    /// ```
    /// use soft_bce::Bce;
    /// let (mut loss, mut gradient) = ([0.0; 2], [0.0; 2]);
    /// Bce::new().loss_gradient(&[0.0, 1e4], &[0.5, 1.0], &mut loss, &mut gradient)?;
    /// assert_eq!((loss, gradient), ([std::f32::consts::LN_2, 0.0], [0.0; 2]));
    /// # Ok::<(), soft_bce::Error>(())
    /// ```
    pub fn loss_gradient(
        &self,
        z: &[T],
        t: &[T],
        loss: &mut [T],
        gradient: &mut [T],
    ) -> Result<(), Error> {
        let outputs = Outputs {
            loss,
            gradient,
            ..Outputs::default()
        };
        self.write::<true>(LOSS.and(GRADIENT), z, t, outputs)
    }

    /// Writes the [loss](Self::loss), the [gradient](Self::gradient) and the Hessian's diagonal of
    /// every element in one pass.
    ///
    /// # Errors
    /// As [for every method](Self#what-every-method-does).
    ///
    /// ```
    /// use soft_bce::Bce;
    /// let (mut loss, mut gradient, mut hessian) = ([0.0], [0.0], [0.0]);
    /// Bce::new().loss_gradient_hessian(&[0.0], &[1.0], &mut loss, &mut gradient, &mut hessian)?;
    /// assert_eq!((loss, gradient, hessian), ([std::f64::consts::LN_2], [-0.5], [0.25]));
    /// # Ok::<(), soft_bce::Error>(())
    /// ```
    pub fn loss_gradient_hessian(
        &self,
        z: &[T],
        t: &[T],
        loss: &mut [T],
        gradient: &mut [T],
        hessian: &mut [T],
    ) -> Result<(), Error> {
        let outputs = Outputs {
            loss,
            gradient,
            hessian,
            ..Outputs::default()
        };
        self.write::<true>(LOSS.and(GRADIENT_HESSIAN), z, t, outputs)
    }

    /// The [sum](Self::sum), the [gradient](Self::gradient) and the Hessian's
    /// diagonal in one pass: what a Newton step or a boosting round needs.
    ///
    /// # Errors
    /// As [for every method](Self#what-every-method-does).
    ///
    /// ```
    /// use soft_bce::Bce;
    /// let (mut gradient, mut hessian) = ([0.0], [0.0]);
    /// let sum = Bce::new().sum_gradient_hessian(&[0.0], &[0.5], &mut gradient, &mut hessian)?;
    /// assert_eq!((sum, gradient, hessian), (std::f64::consts::LN_2, [0.0_f64], [0.25]));
    /// # Ok::<(), soft_bce::Error>(())
    /// ```
    pub fn sum_gradient_hessian(
        &self,
        z: &[T],
        t: &[T],
        gradient: &mut [T],
        hessian: &mut [T],
    ) -> Result<f64, Error> {
        let mut outputs = Outputs {
            gradient,
            hessian,
            ..Outputs::default()
        };
        let wanted = SUM.and(GRADIENT_HESSIAN);
        // Here alone, for the sake of programs that ask for less.
        if let Some(sum) = self.short(wanted, z, t, &mut outputs) {
            return Ok(sum);
        }
        self.add_up(wanted, z, t, [outputs.gradient, outputs.hessian])
    }

    /// Adds the losses to `sum`, exactly: the way to a [sum](Self::sum) over
    /// parts, threads or machines whose bits do not depend on the partition.
    ///
    /// # Errors
    /// As [for every method](Self#what-every-method-does).
    ///
    /// ```
    /// use soft_bce::{Bce, LossSum};
    /// let (z, t) = ([3.0_f32, -1.0, 0.1], [1.0, 0.3, 0.7]);
    /// let bce = Bce::new();
    /// let (mut left, mut right) = (LossSum::new(), LossSum::new());
    /// bce.accumulate(&z[1..], &t[1..], &mut right)?;
    /// bce.accumulate(&z[..1], &t[..1], &mut left)?;
    /// right.merge(&left);
    /// assert_eq!(right.to_f64(), bce.sum(&z, &t)?);
    /// # Ok::<(), soft_bce::Error>(())
    /// ```
    pub fn accumulate(&self, z: &[T], t: &[T], sum: &mut LossSum) -> Result<(), Error> {
        self.add_to(sum, SUM, z, t, Outputs::default())
    }

    /// [`accumulate`](Self::accumulate) and the [gradient](Self::gradient) in one pass.
    ///
    /// # Errors
    /// As [for every method](Self#what-every-method-does).
    ///
    /// ```
    /// use soft_bce::{Bce, LossSum};
    /// let (mut sum, mut gradient) = (LossSum::new(), [0.0; 2]);
    /// Bce::new().accumulate_gradient(&[0.0, 0.0], &[0.5, 1.0], &mut sum, &mut gradient)?;
    /// assert_eq!((sum.to_f64(), gradient), (2.0 * std::f64::consts::LN_2, [0.0_f64, -0.5]));
    /// # Ok::<(), soft_bce::Error>(())
    /// ```
    pub fn accumulate_gradient(
        &self,
        z: &[T],
        t: &[T],
        sum: &mut LossSum,
        gradient: &mut [T],
    ) -> Result<(), Error> {
        let outputs = Outputs {
            gradient,
            ..Outputs::default()
        };
        self.add_to(sum, SUM.and(GRADIENT), z, t, outputs)
    }

    /// [`accumulate`](Self::accumulate), the [gradient](Self::gradient) and the Hessian's
    /// diagonal in one pass.
    ///
    /// # Errors
    /// As [for every method](Self#what-every-method-does).
    ///
    /// ```
    /// use soft_bce::{Bce, LossSum};
    /// let (mut sum, mut gradient, mut hessian) = (LossSum::new(), [0.0], [0.0]);
    /// Bce::new().accumulate_gradient_hessian(&[0.0], &[1.0], &mut sum, &mut gradient, &mut hessian)?;
    /// assert_eq!((sum.to_f64(), gradient, hessian), (std::f64::consts::LN_2, [-0.5_f64], [0.25]));
    /// # Ok::<(), soft_bce::Error>(())
    /// ```
    pub fn accumulate_gradient_hessian(
        &self,
        z: &[T],
        t: &[T],
        sum: &mut LossSum,
        gradient: &mut [T],
        hessian: &mut [T],
    ) -> Result<(), Error> {
        let outputs = Outputs {
            gradient,
            hessian,
            ..Outputs::default()
        };
        self.add_to(sum, SUM.and(GRADIENT_HESSIAN), z, t, outputs)
    }

    /// The options that change the formula, checked.
    pub(crate) fn options(&self) -> Result<Option<SmoothedWeighted<T>>, Error> {
        self.check_options()?;
        Ok(self.reshaping())
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn reshaping(&self) -> Option<SmoothedWeighted<T>> {
        let Self {
            pos_weight,
            label_smoothing: smoothing,
            ..
        } = *self;
        let reshapes = pos_weight != T::ONE || smoothing != T::ZERO || self.pos_weights.is_some();
        reshapes.then_some(SmoothedWeighted {
            pos_weight,
            smoothing,
        })
    }

    #[inline(never)]
    fn check_options(&self) -> Result<(), Error> {
        let Self {
            pos_weight,
            label_smoothing: smoothing,
            target_tolerance: tolerance,
            ..
        } = *self;
        if !(pos_weight > T::ZERO && pos_weight <= T::MAX) {
            return Err(Error::InvalidOption {
                option: "pos_weight",
                value: pos_weight.as_f64(),
                range: "finite and > 0",
            });
        }
        if !(smoothing >= T::ZERO && smoothing <= T::ONE) {
            return Err(Error::InvalidOption {
                option: "label_smoothing",
                value: smoothing.as_f64(),
                range: "in [0, 1]",
            });
        }
        if !(tolerance >= T::ZERO && tolerance <= T::MAX) {
            return Err(Error::InvalidOption {
                option: "target_tolerance",
                value: tolerance.as_f64(),
                range: "finite and >= 0",
            });
        }
        if self.general.is_some() {
            self.check_ranges_of_general()?;
        }
        self.check_weights_of_shape()?;
        if self.pos_weights.is_some() && pos_weight != T::ONE {
            return Err(Error::UnsupportedOptions {
                reason: "pos_weights excludes pos_weight",
            });
        }
        let reshaped = self.reshaping().is_some();
        if self.excess.is_some() && (reshaped || self.exact.is_some()) {
            return Err(Error::UnsupportedOptions {
                reason: "excess() excludes exact(), pos_weight, pos_weights and label_smoothing",
            });
        }
        if self.exact.is_some() && (reshaped || self.is_weighted()) {
            return Err(Error::UnsupportedOptions {
                reason: "exact() excludes weights, row_weights, pos_weight, pos_weights and label_smoothing",
            });
        }
        if self.general.is_some() {
            self.check_general(reshaped)?;
        }
        Ok(())
    }

    /// Whether there is all that is wanted of so many elements.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn check_options_for(&self, wanted: Wanted, length: usize) -> Result<(), Error> {
        // Most often there are weights alone.
        let unset = self.reshaping().is_none()
            && self.target_tolerance == T::ZERO
            && self.shaper.is_none()
            && self.exact.is_none()
            && self.excess.is_none()
            && self.general.is_none();
        if unset {
            return Ok(());
        }
        if self.shaper.is_some() {
            self.check_shape(length)?;
        }
        self.check_options()?;
        if wanted.has(Wanted::HESSIAN) && self.kind == Kind::Focal {
            return Err(Error::UnsupportedOptions {
                reason: "there is no Hessian of the focal loss",
            });
        }
        Ok(())
    }

    fn check_ranges_of_general(&self) -> Result<(), Error> {
        let Self {
            temperature,
            exponent,
            ..
        } = *self;
        if !(temperature > T::ZERO && temperature <= T::MAX) {
            return Err(Error::InvalidOption {
                option: "temperature",
                value: temperature.as_f64(),
                range: "finite and > 0",
            });
        }
        if !(exponent >= T::ZERO && exponent <= T::MAX) {
            return Err(Error::InvalidOption {
                option: "beta",
                value: exponent.as_f64(),
                range: "finite and >= 0",
            });
        }
        Ok(())
    }

    /// What excludes what among the losses, the forms of targets, and temperature.
    fn check_general(&self, reshaped: bool) -> Result<(), Error> {
        let tolerant = self.target_tolerance != T::ZERO;
        let excess = self.excess.is_some();
        let reason = match self.kind {
            _ if self.exact.is_some() => {
                "exact() excludes temperature, logit_targets() and losses other than cross-entropy"
            }
            Kind::Refused => "losses other than cross-entropy exclude logit_targets()",
            Kind::LogitTargets if reshaped || tolerant => {
                "logit_targets() excludes pos_weight, pos_weights, label_smoothing and target_tolerance"
            }
            Kind::SquaredError | Kind::Focal | Kind::Probability if reshaped || excess => {
                "losses other than cross-entropy exclude pos_weight, pos_weights, label_smoothing and excess()"
            }
            _ => return Ok(()),
        };
        Err(Error::UnsupportedOptions { reason })
    }

    pub(crate) const fn targets<'b>(&self, t: &'b [T]) -> Targets<'b, T> {
        if matches!(self.kind, Kind::LogitTargets) {
            Targets::Logits(t)
        } else {
            Targets::Each(t)
        }
    }

    /// What computes, `plain` if no option says otherwise, and its numbers for `T::general`.
    fn function(&self, plain: Run<T>, options: Option<SmoothedWeighted<T>>) -> (Run<T>, General) {
        let Some(general) = self.general else {
            // With options that change the formulas there is neither `exact` nor `excess`.
            let run = self.exact.or(self.excess).or(self.smoothed_weighted);
            return (run.unwrap_or(plain), General::PLAIN);
        };
        // |s - t|^0 is 1 everywhere.
        let none = self.kind == Kind::Focal && self.exponent == T::ZERO;
        if none && self.temperature == T::ONE {
            let run = self.smoothed_weighted.unwrap_or(plain);
            return (run, General::PLAIN);
        }
        let mut numbers = General {
            kind: if none { Kind::CrossEntropy } else { self.kind },
            excess: self.excess.is_some(),
            temperature: self.temperature.as_f64(),
            exponent: self.exponent.as_f64(),
            ..General::PLAIN
        };
        if let Some(options) = options {
            numbers.options = SmoothedWeighted {
                pos_weight: options.pos_weight.as_f64(),
                smoothing: options.smoothing.as_f64(),
            };
        }
        (general, numbers)
    }

    fn check_weights_of_shape(&self) -> Result<(), Error> {
        let Some(shaper) = self.shaper else {
            return Ok(());
        };
        let value = |of: &[T], index: usize| of.get(index).map_or(f64::NAN, |value| value.as_f64());
        let backend = self.backend_or_fastest();
        let classes = self.pos_weights.unwrap_or(&[]);
        if let Some(class) = (shaper.first_invalid)(backend, classes, true)? {
            let value = value(classes, class);
            return Err(Error::InvalidPosWeight { class, value });
        }
        let rows = self.row_weights.unwrap_or(&[]);
        if let Some(row) = (shaper.first_invalid)(backend, rows, false)? {
            let value = value(rows, row);
            return Err(Error::InvalidRowWeight { row, value });
        }
        Ok(())
    }

    /// With losses or without.
    #[inline(never)]
    fn write<const LOSSES: bool>(
        &self,
        wanted: Wanted,
        z: &[T],
        t: &[T],
        mut outputs: Outputs<'_, T>,
    ) -> Result<(), Error> {
        if (wanted.has(Wanted::HESSIAN) || wanted == LOSS.and(GRADIENT))
            && self.short(wanted, z, t, &mut outputs).is_some()
        {
            return Ok(());
        }
        self.call::<LOSSES>(wanted, z, t, outputs, &mut SpanSum::default())
    }

    #[inline(never)]
    fn write_losses(&self, z: &[T], t: &[T], loss: &mut [T]) -> Result<(), Error> {
        let outputs = Outputs {
            loss,
            ..Outputs::default()
        };
        self.call::<true>(LOSS, z, t, outputs, &mut SpanSum::default())
    }

    #[inline(never)]
    fn write_gradients(&self, z: &[T], t: &[T], gradient: &mut [T]) -> Result<(), Error> {
        let outputs = Outputs {
            gradient,
            ..Outputs::default()
        };
        self.call::<false>(GRADIENT, z, t, outputs, &mut SpanSum::default())
    }

    /// A short call that needs no more than that; its sum.
    #[inline]
    fn short(&self, wanted: Wanted, z: &[T], t: &[T], outputs: &mut Outputs<'_, T>) -> Option<f64> {
        if !self.plain || z.len() > SHORT {
            return None;
        }
        let outputs = [
            &mut *outputs.loss,
            &mut *outputs.gradient,
            &mut *outputs.hessian,
        ];
        T::short(self.backend_or_fastest(), wanted, z, t, outputs)
    }

    #[inline(never)]
    fn add_up(
        &self,
        wanted: Wanted,
        z: &[T],
        t: &[T],
        [gradient, hessian]: [&mut [T]; 2],
    ) -> Result<f64, Error> {
        let outputs = Outputs {
            gradient,
            hessian,
            ..Outputs::default()
        };
        let mut total = SpanSum::default();
        self.call::<true>(wanted, z, t, outputs, &mut total)?;
        Ok(total.nearest())
    }

    fn add_to(
        &self,
        sum: &mut LossSum,
        wanted: Wanted,
        z: &[T],
        t: &[T],
        outputs: Outputs<'_, T>,
    ) -> Result<(), Error> {
        let mut total = SpanSum::default();
        self.call::<true>(wanted, z, t, outputs, &mut total)?;
        sum.merge(&total.into_state(z.len()));
        Ok(())
    }

    #[inline(never)]
    fn average(&self, wanted: Wanted, z: &[T], t: &[T], gradient: &mut [T]) -> Result<f64, Error> {
        let mut outputs = Outputs {
            gradient,
            ..Outputs::default()
        };
        let inputs = Inputs::new(z, self.targets(t), self.weights);
        let error = match self.check(wanted, &inputs, t, &outputs) {
            Err(error) => error,
            Ok(()) => match self.checked_average(wanted, inputs, &mut outputs) {
                Ok(mean) => return Ok(mean),
                Err(error) => error,
            },
        };
        outputs.poison();
        Err(error)
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn checked_average(
        &self,
        wanted: Wanted,
        mut inputs: Inputs<'_, T>,
        outputs: &mut Outputs<'_, T>,
    ) -> Result<f64, Error> {
        let length = inputs.z.len();
        let total = if self.is_weighted() {
            let mut sum = SpanSum::default();
            self.add_weights(length, inputs, &mut sum)?;
            self.total_weight(&inputs, sum.double())?
        } else {
            count(length)?
        };
        let mut division = self.division(total);
        loop {
            division.prepare(&mut inputs, outputs);
            let mut sum = SpanSum::default();
            let own = outputs.of_length(length);
            self.run_for::<true>(length, wanted, self.reshaping(), inputs, own, &mut sum)?;
            if let Some(mean) = division.mean(sum.double(), outputs.gradient) {
                return Ok(mean);
            }
        }
    }

    /// Of a mean by the total weight.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn division(&self, total: Double) -> Division {
        // A total below 1 becomes one in [1, 4), so that only results that are subnormal come of
        // subnormal products, unless products overflow then; a large one, or one of losses that overflow,
        // comes into [1/4, 1), where no product is beyond its unweighted result.
        let log2 = total.log2();
        let (up, down) = ((2 - log2).div_euclid(2), -(log2 + 1).div_euclid(2));
        let weighted = self.is_weighted();
        // Gradients may be beyond any weight at a temperature below 1.
        let half = if self.temperature < T::ONE && weighted {
            Some(down)
        } else if log2 < 1 {
            Some(up)
        } else {
            (log2 > T::MAX_EXPONENT / 2).then_some(down)
        };
        Division {
            total,
            weighted,
            half,
            down,
        }
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn call<const LOSSES: bool>(
        &self,
        wanted: Wanted,
        z: &[T],
        t: &[T],
        mut outputs: Outputs<'_, T>,
        sum: &mut SpanSum,
    ) -> Result<(), Error> {
        // As `checked`, without closures, of which copies would be made.
        let inputs = Inputs::new(z, self.targets(t), self.weights);
        let length = z.len();
        let error = match self.check(wanted, &inputs, t, &outputs) {
            Err(error) => error,
            Ok(()) => {
                let options = self.reshaping();
                let own = outputs.of_length(length);
                match self.run_for::<LOSSES>(length, wanted, options, inputs, own, sum) {
                    Ok(()) => return Ok(()),
                    Err(error) => error,
                }
            }
        };
        outputs.poison();
        Err(error)
    }

    /// Checks lengths and options.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn check(
        &self,
        wanted: Wanted,
        inputs: &Inputs<'_, T>,
        t: &[T],
        outputs: &Outputs<'_, T>,
    ) -> Result<(), Error> {
        check_lengths(wanted, inputs, t, outputs)?;
        self.check_options_for(wanted, inputs.z.len())
    }

    /// Checks lengths and options and goes on. After any error all elements of all outputs are NaN.
    #[cfg(feature = "rayon")]
    pub(crate) fn checked<R>(
        &self,
        wanted: Wanted,
        z: &[T],
        t: &[T],
        mut outputs: Outputs<'_, T>,
        go_on: impl FnOnce(
            Option<SmoothedWeighted<T>>,
            Inputs<'_, T>,
            &mut Outputs<'_, T>,
        ) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let inputs = Inputs::new(z, self.targets(t), self.weights);
        let error = match self.check(wanted, &inputs, t, &outputs) {
            Err(error) => error,
            Ok(()) => match go_on(self.reshaping(), inputs, &mut outputs) {
                Ok(result) => return Ok(result),
                Err(error) => error,
            },
        };
        outputs.poison();
        Err(error)
    }

    pub(crate) fn backend_or_fastest(&self) -> Backend {
        self.backend.unwrap_or_else(Backend::detect)
    }

    pub(crate) const fn is_weighted(&self) -> bool {
        self.weights.is_some() || self.row_weights.is_some()
    }

    const fn shape(&self, length: usize) -> Shape<'_, T> {
        Shape {
            row_weights: self.row_weights,
            pos_weights: self.pos_weights,
            length,
        }
    }

    /// Whether `length` logits have rows and classes of these numbers.
    fn check_shape(&self, length: usize) -> Result<(), Error> {
        for (argument, of) in [
            ("pos_weights", self.pos_weights),
            ("row_weights", self.row_weights),
        ] {
            let found = of.map_or(1, <[T]>::len);
            if length > 0 && length.checked_rem(found) != Some(0) {
                return Err(Error::LengthMismatch {
                    argument,
                    expected: length,
                    found,
                });
            }
        }
        Ok(())
    }

    /// Adds the weights of these elements, of `length` in all, that are positive.
    pub(crate) fn add_weights(
        &self,
        length: usize,
        inputs: Inputs<'_, T>,
        sum: &mut SpanSum,
    ) -> Result<(), Error> {
        let backend = self.backend_or_fastest();
        match self.shaper {
            Some(shaper) => (shaper.add_weights)(&self.shape(length), backend, inputs, sum),
            None => T::add(backend, inputs.weights.unwrap_or(&[]), false, sum).map(drop),
        }
    }

    /// The sum of the weights, by which a mean is divided, if they are not all 0. Where none is
    /// positive but some are negative the elements will be refused.
    pub(crate) fn total_weight(
        &self,
        inputs: &Inputs<'_, T>,
        sum: Double,
    ) -> Result<Double, Error> {
        if sum.is_zero() && self.shape(inputs.z.len()).removes_all(inputs) {
            return Err(Error::Empty);
        }
        Ok(sum)
    }

    /// A part of a call of `length` elements, whose options are checked.
    pub(crate) fn run_part(
        &self,
        length: usize,
        wanted: Wanted,
        options: Option<SmoothedWeighted<T>>,
        inputs: Inputs<'_, T>,
        outputs: Outputs<'_, T>,
        sum: &mut SpanSum,
    ) -> Result<(), Error> {
        if wanted.losses() {
            self.run_for::<true>(length, wanted, options, inputs, outputs, sum)
        } else {
            self.run_for::<false>(length, wanted, options, inputs, outputs, sum)
        }
    }

    /// The same where it is known whether there are losses in what is wanted: a program that never wants
    /// any, or always, does not contain the other loops. Inlined, since that saves stack.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn run_for<const LOSSES: bool>(
        &self,
        length: usize,
        wanted: Wanted,
        options: Option<SmoothedWeighted<T>>,
        inputs: Inputs<'_, T>,
        outputs: Outputs<'_, T>,
        sum: &mut SpanSum,
    ) -> Result<(), Error> {
        let plain = if LOSSES {
            T::cross_entropy
        } else {
            T::derivatives
        };
        let (run, general) = self.function(plain, options);
        let mut call = Call {
            backend: self.backend_or_fastest(),
            options,
            general,
            slices: Slices {
                wanted,
                inputs,
                outputs,
                sum,
            },
        };
        // Made before what may take its parts: no copies.
        if self.target_tolerance > T::ZERO
            && let Some(clamped) = self.clamped
        {
            return clamped(self, length, &mut call);
        }
        match self.shaper {
            Some(shaper) => (shaper.run)(&self.shape(length), run, &mut call),
            None => run(&mut call),
        }
    }
}

/// A call on copies of the targets, clamped where they are within the tolerance.
fn run_clamped<T: Real>(
    bce: &Bce<'_, T>,
    length: usize,
    call: &mut Call<'_, T>,
) -> Result<(), Error> {
    let Slices {
        wanted, mut inputs, ..
    } = call.slices;
    let mut outputs = call.slices.outputs.reborrow();
    let (options, sum) = (call.options, &mut *call.slices.sum);
    let tolerance = bce.target_tolerance.as_f64();
    let strict = Bce {
        target_tolerance: T::ZERO,
        ..*bce
    };
    let mut clamped = T::ROWS;
    let clamped = clamped.as_mut();
    let mut start = 0;
    while !inputs.z.is_empty() {
        let chunk = inputs.take(clamped.len());
        let Targets::Each(t) = chunk.t else { break };
        for (to, &from) in clamped.iter_mut().zip(t) {
            // Of the two differences above 1 one is exact wherever that decides: the first below 2^53, the
            // second from there on.
            let value = from.as_f64();
            *to = if value < 0.0 && -value <= tolerance {
                T::ZERO
            } else if value > 1.0 && value - 1.0 <= tolerance && value - tolerance <= 1.0 {
                T::ONE
            } else {
                from
            };
        }
        let chunk = Inputs {
            t: Targets::Each(clamped.get(..t.len()).unwrap_or(&[])),
            ..chunk
        };
        strict
            .run_part(length, wanted, options, chunk, outputs.take(t.len()), sum)
            .map_err(|error| error.shifted(start))?;
        start += t.len();
    }
    Ok(())
}

#[cfg_attr(not(debug_assertions), inline(always))]
fn check_lengths<T: Float>(
    wanted: Wanted,
    inputs: &Inputs<'_, T>,
    t: &[T],
    outputs: &Outputs<'_, T>,
) -> Result<(), Error> {
    let expected = inputs.z.len();
    let check = |argument, found| {
        if found == expected {
            Ok(())
        } else {
            Err(wrong_length(argument, expected, found))
        }
    };
    check("t", t.len())?;
    check("weights", inputs.weights.map_or(expected, <[T]>::len))?;
    for (result, argument, output) in [
        (LOSS, "loss", &outputs.loss),
        (GRADIENT, "gradient", &outputs.gradient),
        (Wanted::HESSIAN, "hessian", &outputs.hessian),
    ] {
        if wanted.has(result) {
            check(argument, output.len())?;
        }
    }
    Ok(())
}

#[cold]
#[inline(never)]
const fn wrong_length(argument: &'static str, expected: usize, found: usize) -> Error {
    Error::LengthMismatch {
        argument,
        expected,
        found,
    }
}

/// The number of elements, by which a mean is divided.
pub(crate) fn count(elements: usize) -> Result<Double, Error> {
    if elements == 0 {
        return Err(Error::Empty);
    }
    Ok(Double::sum(elements as f64, 0.0))
}

/// A call whose sum, and whose gradient, is to be divided by the total weight: once or, if weights turn out to need
/// it, twice.
///
/// Weights whose total is below 1 or far above, or whose losses or gradients may overflow, are scaled
/// by a power of two, which changes no bit where nothing overflows or underflows.
pub(crate) struct Division {
    total: Double,
    weighted: bool,
    /// Half the exponent of the weights' factor, and what it is at last.
    half: Option<i32>,
    down: i32,
}

impl Division {
    fn exponent(&self) -> i32 {
        2 * self.half.unwrap_or(0)
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn prepare<T: Float>(
        &self,
        inputs: &mut Inputs<'_, T>,
        outputs: &mut Outputs<'_, T>,
    ) {
        inputs.weight_scale = self.half.map(|half| T::of_f64(ldexp(1.0, half)));
        outputs.divisor = Some(T::of_f64(self.total.scaled(self.exponent())));
    }

    /// The mean, or nothing if all has to be done again.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn mean<T: Float>(&mut self, sum: Double, gradient: &[T]) -> Option<f64> {
        let mean = sum.divided(self.total, -self.exponent());
        // No gradient overflows whose loss does not, but a NaN hides that.
        let infinite = |gradient: &T| gradient.as_f64().is_infinite();
        let overflows = mean == f64::INFINITY || mean.is_nan() && gradient.iter().any(infinite);
        if !overflows || self.half == Some(self.down) || !self.weighted {
            return Some(mean);
        }
        self.half = Some(self.down);
        None
    }
}

/// What the linear head needs of it.
#[cfg(feature = "linear")]
impl<T: Real> Bce<'_, T> {
    /// A bound on all |gradients|, and one on all Hessians.
    pub(crate) fn largest_factors(&self) -> Result<[f64; 2], Error> {
        // What the roundings of more than a product with the weight may add, in the square too.
        const SLACK: f64 = 1.0 + 1.0 / 1_048_576.0;
        self.options_of_vector()?;
        let mut largest = match self.weights {
            None => 1.0,
            Some(_) => 0.0,
        };
        for (index, weight) in self.weights.unwrap_or(&[]).iter().enumerate() {
            let value = weight.as_f64();
            if !(0.0..f64::INFINITY).contains(&value) {
                return Err(Error::InvalidWeight { index, value });
            }
            largest = value.max(largest);
        }
        if self.pos_weight != T::ONE || self.temperature != T::ONE {
            largest *= self.pos_weight.as_f64().max(1.0) * SLACK;
        }
        let temperature = self.temperature.as_f64();
        let gradient = largest / temperature;
        Ok([gradient, gradient / 4.0 / temperature])
    }

    /// The options for logits that are no rows of classes.
    pub(crate) fn options_of_vector(&self) -> Result<Option<SmoothedWeighted<T>>, Error> {
        let options = self.options()?;
        let of_logits = matches!(self.kind, Kind::CrossEntropy | Kind::LogitTargets);
        if self.shaper.is_some() || !of_logits {
            return Err(Error::UnsupportedOptions {
                reason: "a linear head excludes row_weights, pos_weights and losses other than cross-entropy",
            });
        }
        Ok(options)
    }

    /// Writes σ(z), of z over the temperature if there is one, where gradients are wanted.
    pub(crate) fn predict(&self, wanted: Wanted, z: &[T], p: &mut [T]) -> Result<(), Error> {
        let (mut run, mut general): (Run<T>, _) = (T::derivatives, General::PLAIN);
        if let Some(of_temperature) = self.general
            && self.temperature != T::ONE
        {
            run = of_temperature;
            general.kind = Kind::Prediction;
            general.temperature = self.temperature.as_f64();
        }
        // As a gradient: that at t = 0, but not −0 where e^z is 0.
        run(&mut Call {
            backend: self.backend_or_fastest(),
            options: None,
            general,
            slices: Slices {
                wanted,
                inputs: Inputs::new(z, Targets::All(T::ZERO), None),
                outputs: Outputs {
                    gradient: p,
                    sign: crate::walk::Sign::Cleared,
                    ..Outputs::default()
                },
                sum: &mut SpanSum::default(),
            },
        })
    }
}

impl Bce<'_, f32> {
    /// Rounds every loss, gradient and Hessian correctly: each is the true value of
    /// its formula, rounded once, to nearest even, whatever z and t are. Any other
    /// correct implementation gives the same bits.
    ///
    /// Sums are then the correctly rounded sums of these losses; the gradient of a
    /// mean is divided after its rounding, and so rounded twice. Costs two to
    /// three times as much; without hardware FMA in `f64`, much more.
    ///
    /// A weight would be a second rounding, of a product that no longer is the one correct result; a
    /// single rounding of w times the loss needs it to 80 bits and more, for every weight anew. Multiply the
    /// results, or the sums of equal weights, and know that each is then within one ULP.
    ///
    /// Excludes `weights`, `row_weights`, `pos_weight`, `pos_weights`, `label_smoothing`, `temperature`,
    /// `logit_targets` and `excess`: with them every call is [`Error::UnsupportedOptions`].
    ///
    /// ```
    /// use soft_bce::{Bce, Error};
    /// let mut gradient = [0.0];
    /// Bce::new().exact().gradient(&[1.0], &[0.731_058_6], &mut gradient)?;
    /// assert_eq!(gradient, [-1.893_469_2e-8]); // sigmoid(1) less the f32 nearest to it
    ///
    /// let refused = Bce::new().exact().pos_weight(2.0).sum(&[1.0], &[0.5]);
    /// assert!(matches!(refused, Err(Error::UnsupportedOptions { .. })));
    /// # Ok::<(), soft_bce::Error>(())
    /// ```
    #[must_use]
    pub const fn exact(mut self) -> Self {
        self.exact = Some(entry::exact);
        self.plain = false;
        self
    }
}
