//! [`Bce`]: the options, and the entry points over slices.

use crate::dispatch::Backend;
use crate::entry::{self, Call, Real};
use crate::error::Error;
use crate::kernel::{SmoothedWeighted, Wanted};
use crate::lane::FIRMWARE;
use crate::span_sum::SpanSum;
use crate::sum::LossSum;
use crate::walk::{Inputs, Outputs, Slices, Targets};

pub(crate) const LOSS: Wanted = Wanted::LOSS;
pub(crate) const SUM: Wanted = Wanted::SUM;
pub(crate) const GRADIENT: Wanted = Wanted::GRADIENT;
pub(crate) const GRADIENT_HESSIAN: Wanted = GRADIENT.and(Wanted::HESSIAN);

/// Elements that an in-place call copies at a time.
const COPIED: usize = if FIRMWARE { 16 } else { 256 };

/// What runs a call.
type Run<T> = fn(Call<'_, T>) -> Result<(), Error>;

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
/// * **Lengths**: all slices of a call have the length of `z`, else
///   [`Error::LengthMismatch`], and nothing is written. Empty slices are valid.
/// * **Targets** that are NaN or outside [0, 1] are [`Error::TargetOutOfRange`]
///   with the first such index. **Weights** that are NaN, infinite or negative are
///   [`Error::InvalidWeight`]. After either, every element of every output is
///   NaN, so that no half-done result can be mistaken for one; the buffer of
///   an in-place call and a [`LossSum`] are as they were.
/// * **Limits**: at z = +∞ the loss is 0 where t = 1, else +∞, the gradient
///   1 − t and the Hessian 0; at z = −∞ the loss is 0 where t = 0, else +∞, and
///   the gradient −t. A NaN logit makes that element NaN, and a sum.
/// * **Sums** are the correctly rounded sum of exactly the values that
///   [`loss`](Self::loss) writes, whatever the order, the vector width or the backend.
/// * **Panics**: none. **Bits**: the same on every machine and backend.
///
/// # Accuracy
///
/// In units in the last place, against MPFR: see the crate's page.
#[derive(Clone, Copy, Debug)]
pub struct Bce<'a, T: Real> {
    pub(crate) weights: Option<&'a [T]>,
    pos_weight: T,
    label_smoothing: T,
    /// Pointers, so that programs that never ask for them do not contain them.
    exact: Option<Run<T>>,
    excess: Option<Run<T>>,
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
            pos_weight: T::ONE,
            label_smoothing: T::ZERO,
            exact: None,
            excess: None,
            backend: None,
        }
    }

    /// Multiplies loss, gradient and Hessian of element i by `weights[i]`,
    /// finite and >= 0. Where a weight is 0 they are 0, even if the logit is
    /// NaN: a weight of 0 removes an element. One more rounding.
    ///
    /// ```
    /// use soft_bce::Bce;
    /// let (z, t) = ([f64::NAN, 0.0], [0.5, 0.5]);
    /// let mean = Bce::new().weights(&[0.0, 2.0]).mean(&z, &t)?; // divided by 2, the total weight
    /// assert_eq!(mean, std::f64::consts::LN_2);
    /// # Ok::<(), soft_bce::Error>(())
    /// ```
    #[must_use]
    pub const fn weights(mut self, weights: &'a [T]) -> Self {
        self.weights = Some(weights);
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
    /// Goes with [`weights`](Self::weights), which multiply it. With `pos_weight`,
    /// `label_smoothing` or `exact` every call is [`Error::UnsupportedOptions`].
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

    /// Writes the loss of every element to `out`.
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
    pub fn loss(&self, z: &[T], t: &[T], out: &mut [T]) -> Result<(), Error> {
        self.write(
            LOSS,
            z,
            t,
            Outputs {
                loss: out,
                ..Outputs::default()
            },
        )
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
    pub fn sum(&self, z: &[T], t: &[T]) -> Result<f64, Error> {
        self.add_up(SUM, z, t, Outputs::default())
    }

    /// The mean loss: the sum divided by the number of elements or, with
    /// weights, by the total weight (correctly rounded to `f64`). One more rounding.
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
    pub fn mean(&self, z: &[T], t: &[T]) -> Result<f64, Error> {
        let sum = self.sum(z, t)?;
        Ok(sum / self.divisor(z)?)
    }

    /// Writes the gradient by the logit, s − t, of every element to `out`.
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
    pub fn gradient(&self, z: &[T], t: &[T], out: &mut [T]) -> Result<(), Error> {
        self.write(
            GRADIENT,
            z,
            t,
            Outputs {
                gradient: out,
                ..Outputs::default()
            },
        )
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
        self.write(Wanted::NOTHING, z, t, Outputs::default())?;
        let mut copy = [T::ZERO; COPIED];
        let mut t = t.chunks(COPIED);
        let mut weights = self.weights.map(|weights| weights.chunks(COPIED));
        for chunk in z.chunks_mut(COPIED) {
            for (to, from) in copy.iter_mut().zip(chunk.iter()) {
                *to = *from;
            }
            let inputs = Inputs {
                z: copy.get(..chunk.len()).unwrap_or(&[]),
                t: Targets::Each(t.next().unwrap_or(&[])),
                weights: weights.as_mut().and_then(Iterator::next),
            };
            let outputs = Outputs {
                gradient: chunk,
                ..Outputs::default()
            };
            self.run(GRADIENT, inputs, outputs, &mut SpanSum::default())?;
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
    pub fn sum_gradient(&self, z: &[T], t: &[T], gradient: &mut [T]) -> Result<f64, Error> {
        let outputs = Outputs {
            gradient,
            ..Outputs::default()
        };
        self.add_up(SUM.and(GRADIENT), z, t, outputs)
    }

    /// The [mean](Self::mean) and its gradient: each element's gradient divided
    /// by what the mean is divided by, rounded to `T`.
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
    pub fn mean_gradient(&self, z: &[T], t: &[T], gradient: &mut [T]) -> Result<f64, Error> {
        if self.weights.is_some() {
            // The total weight is needed first, hence so is its check.
            let outputs = Outputs {
                gradient: &mut *gradient,
                ..Outputs::default()
            };
            self.check_lengths(GRADIENT, z, t, &outputs)?;
            if let Err(error) = self.write(Wanted::NOTHING, z, t, Outputs::default()) {
                gradient.fill(T::NAN);
                return Err(error);
            }
        }
        let divisor = self.divisor(z)?;
        let outputs = Outputs {
            gradient,
            divisor: Some(T::of_f64(divisor)),
            ..Outputs::default()
        };
        let sum = self.add_up(SUM.and(GRADIENT), z, t, outputs)?;
        Ok(sum / divisor)
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
        self.write(GRADIENT_HESSIAN, z, t, outputs)
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
        let outputs = Outputs {
            gradient,
            hessian,
            ..Outputs::default()
        };
        self.add_up(SUM.and(GRADIENT_HESSIAN), z, t, outputs)
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
        let mut total = SpanSum::default();
        self.call(SUM, z, t, Outputs::default(), &mut total)?;
        total.add_to(sum, z.len());
        Ok(())
    }

    /// What a mean is divided by: the number of elements or the total weight.
    fn divisor(&self, z: &[T]) -> Result<f64, Error> {
        let total = match self.weights {
            None => z.len() as f64,
            Some(weights) => {
                let mut total = SpanSum::default();
                T::add(
                    self.backend.unwrap_or_else(Backend::detect),
                    weights,
                    &mut total,
                )?;
                total.to_f64()
            }
        };
        if total > 0.0 {
            Ok(total)
        } else {
            Err(Error::Empty)
        }
    }

    /// The options that change the formula, checked.
    pub(crate) fn options(&self) -> Result<Option<SmoothedWeighted<T>>, Error> {
        let Self {
            pos_weight,
            label_smoothing: smoothing,
            ..
        } = *self;
        if !(pos_weight > T::ZERO && pos_weight <= T::MAX) {
            return Err(Error::InvalidOption {
                option: "pos_weight",
                value: pos_weight.as_f64(),
            });
        }
        if !(smoothing >= T::ZERO && smoothing <= T::ONE) {
            return Err(Error::InvalidOption {
                option: "label_smoothing",
                value: smoothing.as_f64(),
            });
        }
        let reshaped = pos_weight != T::ONE || smoothing != T::ZERO;
        if self.excess.is_some() && (reshaped || self.exact.is_some()) {
            return Err(Error::UnsupportedOptions {
                reason: "excess() excludes exact(), pos_weight and label_smoothing",
            });
        }
        if self.exact.is_some() && (reshaped || self.weights.is_some()) {
            return Err(Error::UnsupportedOptions {
                reason: "exact() excludes weights, pos_weight and label_smoothing",
            });
        }
        Ok(reshaped.then_some(SmoothedWeighted {
            pos_weight,
            smoothing,
        }))
    }

    pub(crate) fn check_lengths(
        &self,
        wanted: Wanted,
        z: &[T],
        t: &[T],
        outputs: &Outputs<'_, T>,
    ) -> Result<(), Error> {
        let expected = z.len();
        let lengths = [
            Some(t.len()),
            self.weights.map(<[T]>::len),
            wanted.has(Wanted::LOSS).then_some(outputs.loss.len()),
            wanted
                .has(Wanted::GRADIENT)
                .then_some(outputs.gradient.len()),
            wanted.has(Wanted::HESSIAN).then_some(outputs.hessian.len()),
        ];
        match lengths
            .into_iter()
            .flatten()
            .find(|&found| found != expected)
        {
            Some(found) => Err(Error::LengthMismatch { expected, found }),
            None => Ok(()),
        }
    }

    fn write(
        &self,
        wanted: Wanted,
        z: &[T],
        t: &[T],
        outputs: Outputs<'_, T>,
    ) -> Result<(), Error> {
        self.call(wanted, z, t, outputs, &mut SpanSum::default())
    }

    fn add_up(
        &self,
        wanted: Wanted,
        z: &[T],
        t: &[T],
        outputs: Outputs<'_, T>,
    ) -> Result<f64, Error> {
        let mut total = SpanSum::default();
        self.call(wanted, z, t, outputs, &mut total)?;
        Ok(total.to_f64())
    }

    fn call(
        &self,
        wanted: Wanted,
        z: &[T],
        t: &[T],
        outputs: Outputs<'_, T>,
        sum: &mut SpanSum,
    ) -> Result<(), Error> {
        self.check_lengths(wanted, z, t, &outputs)?;
        let inputs = Inputs {
            z,
            t: Targets::Each(t),
            weights: self.weights,
        };
        self.run(wanted, inputs, outputs, sum)
    }

    /// `call` on inputs and outputs whose lengths are known to agree.
    pub(crate) fn run(
        &self,
        wanted: Wanted,
        inputs: Inputs<'_, T>,
        outputs: Outputs<'_, T>,
        sum: &mut SpanSum,
    ) -> Result<(), Error> {
        let run = self.exact.or(self.excess).unwrap_or(T::cross_entropy);
        run(Call {
            backend: self.backend.unwrap_or_else(Backend::detect),
            options: self.options()?,
            slices: Slices {
                wanted,
                inputs,
                outputs,
                sum,
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
    /// Excludes `weights`, `pos_weight` and `label_smoothing`: with them every
    /// call is [`Error::UnsupportedOptions`].
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
        self
    }
}
