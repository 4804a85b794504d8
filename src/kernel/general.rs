//! Losses, targets and arguments that few programs use, all in one form: a temperature, targets given as
//! logits, squared error, focal loss, probabilities. Computed in `f64` lanes, of either type.
//!
//! **Targets as logits.** With s = sigmoid(z), r = sigmoid(u), d = z - u:
//!
//! ```text
//! s - r = sigmoid(z) sigmoid(-u) (1 - e^-d)     (d >= 0; else with z and u exchanged, negative)
//! KL(r || s) = D(r, s) + D(1 - r, 1 - s),  D(x, y) = x (q - ln(1 + q)) >= 0,  q = (y - x)/x
//! ```
//!
//! No factor cancels, and neither do the two terms: 1 - e^-d and q - ln(1 + q) are the polynomials of
//! exp and atanh where they are small, and d is the exact difference. Where q is not small, D is
//! (y - x) - x ln(y/x), and ln(s/r) = min(z, 0) - min(u, 0) - log1p(e^-|z|) + log1p(e^-|u|) with the difference
//! of the first two taken exactly.
//!
//! **Temperature.** Of z/T the division's remainder corrects e^-|z/T|, which is all that depends on it
//! by more than its own error.

use crate::coeffs::double;
use crate::kernel::double::two_sum;
use crate::kernel::excess::excess;
use crate::kernel::{
    ExpNeg, ExpTerms, Logistic, Plain, Point, Pointwise, SmoothedWeighted, Sum, Wanted,
};
use crate::kernel::{horner, limit, ln, nan_like, splat, split};
use crate::lane::{Float, Isa, Job, Lane};

/// What is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Cross-entropy of targets in [0, 1].
    CrossEntropy,
    /// Cross-entropy of targets given as logits.
    LogitTargets,
    /// (sigmoid(z) - t)^2.
    SquaredError,
    /// |sigmoid(z) - t|^exponent times cross-entropy.
    Focal,
    /// Cross-entropy of probabilities, which stand in the place of the logits.
    Probability,
    /// sigmoid(z/T), in the place of the gradient.
    #[cfg(feature = "linear")]
    Prediction,
    /// Logit targets of another loss: no call gets this far.
    Refused,
}

/// Which of them, and its numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct General {
    pub(crate) kind: Kind,
    pub(crate) excess: bool,
    pub(crate) temperature: f64,
    pub(crate) exponent: f64,
    pub(crate) options: SmoothedWeighted<f64>,
}

impl General {
    pub(crate) const PLAIN: Self = Self {
        kind: Kind::CrossEntropy,
        excess: false,
        temperature: 1.0,
        exponent: 0.0,
        options: SmoothedWeighted {
            pos_weight: 1.0,
            smoothing: 0.0,
        },
    };
}

/// The polynomial of expm1 holds up to ln(2)/2.
const NEAR_EXP: f64 = 0.34;

/// Elements of one lane.
struct Elements<W> {
    general: General,
    z: W,
    t: W,
    pos_weight: Option<W>,
    wanted: Wanted,
}

/// A logit over the temperature, its remainder, and what follows from both.
#[derive(Clone, Copy)]
struct Argument<W> {
    x: Sum<W>,
    exp: ExpNeg<W>,
    terms: ExpTerms<W>,
    logistic: Logistic<W>,
}

/// `value` / `divisor`; `low` is the remainder over it, with `rest`.
#[cfg_attr(not(debug_assertions), inline(always))]
fn quotient<W: Lane<Real = f64>>(value: W, rest: W, divisor: f64) -> Sum<W> {
    let (zero, infinity) = (splat::<W>(0.0), splat::<W>(f64::INFINITY));
    let (high, low) = if divisor == 1.0 {
        (value, rest)
    } else {
        let divisor = splat::<W>(divisor);
        let high = value / divisor;
        (high, (high.neg_fma(divisor, value) + rest) / divisor)
    };
    // What an infinite one lacks is NaN.
    let finite = infinity.greater(high.abs());
    let low = W::select(finite, low, zero);
    Sum { high, low }
}

/// e^-|x|.
#[cfg_attr(not(debug_assertions), inline(always))]
fn exp_neg<W: Lane<Real = f64>>(x: Sum<W>) -> ExpNeg<W> {
    let exp = ExpNeg::of::<true>(x.high);
    let low = x.low.xor_bits(x.high.and_bits(splat(-0.0)));
    let e = exp.e.neg_fma(low, exp.e);
    let rest = exp.e.neg_fma(low, exp.e - e);
    ExpNeg {
        e,
        low: exp.low + rest,
    }
}

impl<W: Lane<Real = f64>> Argument<W> {
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn new(z: W, temperature: f64) -> Self {
        let x = quotient(z, splat(0.0), temperature);
        let exp = exp_neg(x);
        let terms = ExpTerms::new::<true>(x.high.or_bits(splat(-0.0)), exp);
        let logistic = terms.logistic();
        Self {
            x,
            exp,
            terms,
            logistic,
        }
    }

    /// sigmoid(x) and sigmoid(-x).
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn shares(&self) -> (W, W) {
        let small = self.terms.q::<true>(self.logistic);
        let large = splat::<W>(1.0) - small;
        (
            self.x.high.select_negative(small, large),
            self.x.high.select_negative(large, small),
        )
    }
}

/// D(x, y), where y - x is `difference` and ln(y/x) `log`.
///
/// With v = q/(2 + q), ln(1 + q) is 2 atanh(v) and q - 2 v is q v: what is left does not cancel.
#[cfg_attr(not(debug_assertions), inline(always))]
fn divergence<W: Lane<Real = f64>>(x: W, difference: W, log: W) -> W {
    let q = difference / x;
    let v = q / (splat::<W>(2.0) + q);
    let near = splat::<W>(0.5).greater(v.abs());
    let square = v * v;
    let by_polynomial = x * v * square.neg_fma(horner(&double::ATANH, square), q);
    W::select(near, by_polynomial, x.neg_fma(log, difference))
}

impl<W: Lane<Real = f64>> Elements<W> {
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn point(&self) -> Point<W> {
        match self.general.kind {
            Kind::CrossEntropy | Kind::Refused => self.cross_entropy(),
            Kind::LogitTargets => self.logit_targets(),
            Kind::SquaredError | Kind::Focal => self.of_difference(),
            Kind::Probability => self.probability(),
            #[cfg(feature = "linear")]
            Kind::Prediction => Point {
                gradient: Argument::new(self.z, self.general.temperature).shares().0,
                ..Point::zero()
            },
        }
    }

    /// Derivatives by the undivided logit.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn undivided(&self, mut point: Point<W>) -> Point<W> {
        let temperature = self.general.temperature;
        if temperature != 1.0 {
            let temperature = splat(temperature);
            point.gradient = point.gradient / temperature + splat(0.0);
            point.hessian = point.hessian / temperature / temperature;
        }
        point
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn cross_entropy(&self) -> Point<W> {
        let General {
            temperature,
            options,
            ..
        } = self.general;
        let Argument { x, exp, .. } = Argument::new(self.z, temperature);
        let excess_wanted = self.general.excess && self.wanted.losses();
        let wanted = if excess_wanted {
            self.wanted.and(Wanted::GRADIENT)
        } else {
            self.wanted
        };
        let is_plain = options.pos_weight == 1.0 && options.smoothing == 0.0;
        let mut point = if is_plain && self.pos_weight.is_none() {
            Plain.finish::<W, true>(x.high, self.t, exp, wanted)
        } else {
            options.finish_each::<W, true>(x.high, self.t, self.pos_weight, exp, wanted)
        };
        if excess_wanted {
            // That of x.high, and its slope times what is left.
            let of_high = excess(x.high, self.t, ExpNeg::of::<true>(x.high));
            let (zero, loss) = (splat(0.0), point.gradient.fma(x.low, of_high));
            // Not -0 either, which a negative product that underflows leaves.
            point.loss = W::select(W::greater(zero, loss), zero, loss) + zero;
        }
        self.undivided(point)
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn logit_targets(&self) -> Point<W> {
        let (zero, one) = (splat::<W>(0.0), splat::<W>(1.0));
        let sign_bit = splat::<W>(-0.0);
        let Self { z, t: u, .. } = *self;
        let General {
            temperature,
            excess,
            ..
        } = self.general;
        let (student, teacher) = (Argument::new(z, temperature), Argument::new(u, temperature));
        let (s, s_complement) = student.shares();
        let (r, r_complement) = teacher.shares();
        let (x, v) = (student.x.high, teacher.x.high);
        // Quotients beyond the range are infinite.
        let infinite = x.abs().equal(splat(f64::INFINITY));
        let same = W::select(z.equal(u), one, zero);
        let same = W::select(infinite, W::select(x.equal(v), one, same), same).equal(one);

        let difference = two_sum(z, -u);
        let d = quotient(difference.high, difference.low, temperature);
        // Of opposite signs, where their difference is beyond the range: x - v does not cancel.
        let beyond = difference.high.abs().equal(splat(f64::INFINITY));
        let d = Sum {
            high: W::select(beyond, x - v, d.high),
            low: d.low,
        };
        let distance = d.high.abs();
        let fall = exp_neg(d);
        let by_exp = (one - fall.e) - fall.low;
        let minus = -distance;
        let by_polynomial = -horner(&double::EXPM1, minus).fma(minus * minus, minus);
        let low = d.low.xor_bits(d.high.and_bits(sign_bit));
        let near = splat::<W>(NEAR_EXP).greater(distance);
        let by_polynomial = low.fma(fall.e, by_polynomial);
        let share = W::select(near, by_polynomial, by_exp);
        let slope = d.high.select_negative(r * s_complement, s * r_complement);
        let gradient = (share * slope).xor_bits(d.high.and_bits(sign_bit));
        let gradient = W::select(same, zero, gradient);

        let mut point = Point::zero();
        if self.wanted.losses() {
            let minus_a = x.or_bits(sign_bit);
            let log1p = student.terms.log1p::<true>(student.logistic);
            let far = x.select_negative(r, r_complement);
            let linear = far * -minus_a;
            let a_low = student.x.low.xor_bits(x.and_bits(sign_bit));
            let linear_low = far.fma(a_low, far.fma(-minus_a, -linear));
            let sum = two_sum(linear, log1p.high);
            let loss = sum.high + (sum.low + (log1p.low + linear_low));
            // Whether the target is hard is for the input to say.
            let factor = W::select(same, zero, one);
            let loss = limit::<W, true>(minus_a, factor, loss);
            let mut reported = loss;
            if excess {
                let of_teacher = teacher.terms.log1p::<true>(teacher.logistic);
                let logs = (of_teacher.high - log1p.high) + (of_teacher.low - log1p.low);
                let d = d.high + d.low;
                let of_s = x.select_negative(v.select_negative(d, x), v.select_negative(-v, zero));
                let of_complement =
                    x.select_negative(v.select_negative(zero, v), v.select_negative(-x, -d));
                let sum = divergence(r, gradient, of_s + logs)
                    + divergence(r_complement, -gradient, of_complement + logs);
                let sum = W::select(same, zero, limit::<W, true>(minus_a, factor, sum));
                let hard = v.abs().equal(splat(f64::INFINITY));
                reported = W::select(hard, loss, sum);
            }
            point.loss = nan_like::<W, true>(z, reported);
        }
        if self.wanted.derivatives() {
            point.gradient = nan_like::<W, true>(z, gradient + zero);
            let hessian = student.terms.hessian::<true>(student.logistic);
            point.hessian = nan_like::<W, true>(z, hessian);
        }
        self.undivided(point)
    }

    /// The losses that are functions of s - t, s (1 - s) and cross-entropy.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn of_difference(&self) -> Point<W> {
        let zero = splat::<W>(0.0);
        let argument = Argument::new(self.z, self.general.temperature);
        let (x, exp) = (argument.x.high, argument.exp);
        let all = Wanted::LOSS.and(Wanted::GRADIENT).and(Wanted::HESSIAN);
        let Point {
            loss,
            gradient: g,
            hessian: h,
        } = Plain.finish::<W, true>(x, self.t, exp, all);
        let point = if self.general.kind == Kind::SquaredError {
            let (s, complement) = argument.shares();
            let curvature = g.fma(complement - s, h);
            Point {
                loss: g * g,
                gradient: (g + g) * h + zero,
                hessian: (h + h) * curvature,
            }
        } else {
            let infinite = x.abs().equal(splat(f64::INFINITY));
            let slope = splat::<W>(self.general.exponent) * W::select(infinite, zero, h / g * loss);
            let Sum { high, low } = power(g.abs(), self.general.exponent);
            let factor = slope + g;
            let infinity = splat::<W>(f64::INFINITY);
            // A power that underflows is less than any factor: not 0 times infinity.
            let gradient = high.fma(factor, low * factor);
            let vanishes = W::select(high.equal(zero), factor, zero)
                .abs()
                .equal(infinity);
            let gradient = W::select(vanishes, zero, gradient);
            let none = g.equal(zero);
            let loss_low = W::select(infinite, zero, low * loss);
            Point {
                loss: W::select(
                    none,
                    zero,
                    W::select(loss.equal(infinity), loss, high.fma(loss, loss_low)),
                ),
                gradient: W::select(none, zero, gradient) + zero,
                hessian: splat(f64::NAN),
            }
        };
        self.undivided(Point {
            loss: nan_like::<W, true>(x, point.loss),
            gradient: nan_like::<W, true>(x, point.gradient),
            hessian: nan_like::<W, true>(x, point.hessian),
        })
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn probability(&self) -> Point<W> {
        let (zero, one) = (splat::<W>(0.0), splat::<W>(1.0));
        let infinity = splat::<W>(f64::INFINITY);
        let Self { z: p, t: y, .. } = *self;
        // -0 is 0.
        let p = p.abs();
        let (p_complement, y_complement) = (one - p, one - y);
        // What 1 - p lost.
        let lost = (one - p_complement) - p;
        let log = W::select(p.equal(zero), infinity, -ln(p));
        let log_complement = lost / p_complement + ln(p_complement);
        let log_complement = W::select(p_complement.equal(zero), infinity, -log_complement);
        let positive = W::select(y.equal(zero), zero, y * log);
        let loss = W::select(
            y.equal(one),
            positive,
            y_complement.fma(log_complement, positive),
        );
        let ratio = (p - y) / p;
        // p/p may be 0/0, (1 - p)/(1 - p) too.
        let gradient = W::select(y.equal(zero), one, ratio) / p_complement;
        let gradient = W::select(y.equal(one), -(one / p), gradient);
        Point {
            loss: loss + zero,
            gradient: gradient + zero,
            hessian: zero,
        }
    }
}

/// y^exponent for y in (0, 1], with what its last rounding left out: ln y is the sum of two numbers.
#[cfg_attr(not(debug_assertions), inline(always))]
fn power<W: Lane<Real = f64>>(y: W, exponent: f64) -> Sum<W> {
    let (zero, exponent) = (splat::<W>(0.0), splat::<W>(exponent));
    let (k, g) = split(y);
    let sum = two_sum(k * splat(double::LN2_HI), g);
    let rest = sum.low + horner(&double::LN, g).fma(g * g, k * splat(double::LN2_LO));
    let ln = two_sum(sum.high, rest);
    let high = ln.high * exponent;
    let low = exponent.fma(ln.low, ln.high.fma(exponent, -high));
    let tail = high.abs().greater(splat(f64::FAST_LIMIT));
    // What an infinite one lacks is NaN.
    let low = W::select(splat::<W>(f64::INFINITY).greater(high.abs()), low, zero);
    let exp = ExpNeg::of::<true>(high);
    Sum {
        high: exp.e,
        low: exp.e.fma(low, W::select(tail, zero, exp.low)),
    }
}

impl<W: Lane<Real = f64>> Job for Elements<W> {
    type Output = Point<W>;

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn run<I: Isa>(self, _: I) -> Point<W> {
        self.point()
    }
}

impl<T: Float> Pointwise<T> for General {
    const RARE: bool = true;
    const OF_EXP: bool = false;
    const IN_WINDOW: bool = false;
    const FAST_REMAINDER: bool = false;
    const MAIN_LOOP: bool = false;
    const PLAIN_LOOPS: bool = false;
    const LOSSES_APART: bool = false;

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn finish<L: Lane<Real = T>, const FULL: bool>(
        &self,
        z: L,
        t: L,
        exp: ExpNeg<L>,
        wanted: Wanted,
    ) -> Point<L> {
        <Self as Pointwise<T>>::finish_each::<L, FULL>(self, z, t, None, exp, wanted)
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn finish_each<L: Lane<Real = T>, const FULL: bool>(
        &self,
        z: L,
        t: L,
        pos_weight: Option<L>,
        _: ExpNeg<L>,
        wanted: Wanted,
    ) -> Point<L> {
        let (z, t) = (z.widen(), t.widen());
        let pos_weight = match pos_weight {
            Some(each) => (Some(each.widen().0), Some(each.widen().1)),
            None => (None, None),
        };
        let elements = |z: L::Wide, t: L::Wide, pos_weight: Option<L::Wide>| Elements {
            general: *self,
            z,
            t,
            pos_weight,
            wanted,
        };
        let low = z.0.run_outlined(elements(z.0, t.0, pos_weight.0));
        let high = if L::HALVES == 2 {
            z.1.run_outlined(elements(z.1, t.1, pos_weight.1))
        } else {
            low
        };
        Point {
            loss: L::narrow(low.loss, high.loss),
            // Not -0, to which a negative one may round.
            gradient: L::narrow(low.gradient, high.gradient) + splat(T::ZERO),
            hessian: L::narrow(low.hessian, high.hessian),
        }
    }
}
