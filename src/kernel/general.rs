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
//!
//! **Roundings.** What is multiplied or divided further, the sigmoids, s - t, s (1 - s) and q, is a sum of two numbers.

use crate::coeffs::double;
use crate::kernel::double::{Double, fast_two_sum, two_sum};
use crate::kernel::excess::excess;
use crate::kernel::{
    ExpNeg, ExpTerms, Logistic, Plain, Point, Pointwise, SmoothedWeighted, Sum, Wanted,
};
use crate::kernel::{horner, limit, nan_like, splat, split, unless_tiny, unscale};
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

/// 128, which is `SUBNORMAL_SHIFT`, times ln 2 in two parts: the first, a multiple of 2^-43, is exactly taken off what is beyond `FAST_LIMIT`.
const SHIFT_HI: f64 = f64::from_bits(0x4056_2e42_fefa_39e8);
const SHIFT_LO: f64 = f64::from_bits(0x3d3c_d5e4_f1d9_cc02);

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
    if divisor == 1.0 {
        return Sum {
            high: value,
            low: rest,
        };
    }
    let high = value / splat(divisor);
    let low = (high.neg_fma(splat(divisor), value) + rest) * splat(1.0 / divisor);
    // What an infinite one lacks is NaN.
    let finite = splat::<W>(f64::INFINITY).greater(low.abs());
    let low = W::select(finite, low, splat(0.0));
    Sum { high, low }
}

/// e^-(a + low) from e^-a.
#[cfg_attr(not(debug_assertions), inline(always))]
fn corrected<W: Lane<Real = f64>>(exp: ExpNeg<W>, low: W) -> ExpNeg<W> {
    let e = exp.e.neg_fma(low, exp.e);
    let rest = exp.e.neg_fma(low, exp.e - e);
    ExpNeg {
        e,
        low: exp.low + rest,
    }
}

/// What is to be added to |x.high|.
#[cfg_attr(not(debug_assertions), inline(always))]
fn low_of_magnitude<W: Lane<Real = f64>>(x: Sum<W>) -> W {
    x.low.xor_bits(x.high.and_bits(splat(-0.0)))
}

/// e^-|x|, where it need not be good beyond `FAST_LIMIT`: there 1 - e^-|x| is 1.
#[cfg_attr(not(debug_assertions), inline(always))]
fn exp_neg<W: Lane<Real = f64>>(x: Sum<W>) -> ExpNeg<W> {
    let minus_a = x.high.or_bits(splat(-0.0));
    let limit = -splat::<W>(f64::FAST_LIMIT);
    let exp = ExpNeg::of::<false>(minus_a.max_or(limit));
    let low = W::select(minus_a.greater(limit), low_of_magnitude(x), splat(0.0));
    corrected(exp, low)
}

/// e^-|x| where some |x| are beyond `FAST_LIMIT`: there that of a quotient is made from 2^`SUBNORMAL_SHIFT` times it,
/// and rounded once.
struct ExpNegFull<W> {
    x: Sum<W>,
    quotient: bool,
}

impl<W: Lane<Real = f64>> Job for ExpNegFull<W> {
    type Output = ExpNeg<W>;

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn run<I: Isa>(self, _: I) -> ExpNeg<W> {
        let Self { x, quotient } = self;
        if !quotient {
            return ExpNeg::of::<true>(x.high);
        }
        let minus_a = x.high.or_bits(splat(-0.0));
        let tiny = (-splat::<W>(f64::FAST_LIMIT)).greater(minus_a);
        let nothing = -splat::<W>(f64::ZERO_LIMIT);
        let moved = minus_a.max_or(nothing) + splat(SHIFT_HI);
        let moved = W::select(tiny, moved, minus_a);
        let low = W::select(minus_a.greater(nothing), low_of_magnitude(x), splat(0.0));
        let low = W::select(tiny, low - splat(SHIFT_LO), low);
        let exp = corrected(ExpNeg::of::<true>(moved), low);
        let sum = fast_two_sum(exp.e, exp.low);
        let low = sum.low * splat(f64::SUBNORMAL_UNSCALE);
        // To units of subnormal numbers with regard to what the sum lost.
        let rounder = splat::<W>(f64::SUBNORMAL_ROUNDER);
        let rounded = two_sum(rounder, sum.high);
        let subnormal = (rounded.high + (rounded.low + sum.low)) - rounder;
        let scaled = W::select(rounder.greater(sum.high), subnormal, sum.high);
        ExpNeg {
            e: W::select(tiny, unscale(scaled), exp.e),
            low: W::select(tiny, low, exp.low),
        }
    }
}

#[cfg_attr(not(debug_assertions), inline(always))]
fn double<W>(Sum { high, low }: Sum<W>) -> Double<W> {
    Double { high, low }
}

#[cfg_attr(not(debug_assertions), inline(always))]
fn negated<W: Lane>(x: Double<W>) -> Double<W> {
    Double {
        high: -x.high,
        low: -x.low,
    }
}

/// x + y, of which neither need be the larger.
#[cfg_attr(not(debug_assertions), inline(always))]
fn plus<W: Lane>(x: Double<W>, y: Double<W>) -> Double<W> {
    let sum = two_sum(x.high, y.high);
    Double {
        high: sum.high,
        low: sum.low + (x.low + y.low),
    }
}

#[cfg_attr(not(debug_assertions), inline(always))]
fn select_negative<W: Lane>(by: W, negative: Double<W>, nonnegative: Double<W>) -> Double<W> {
    Double {
        high: by.select_negative(negative.high, nonnegative.high),
        low: by.select_negative(negative.low, nonnegative.low),
    }
}

impl<W: Lane<Real = f64>> Argument<W> {
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn new(z: W, temperature: f64) -> Self {
        let x = quotient(z, splat(0.0), temperature);
        let minus_a = x.high.or_bits(splat(-0.0));
        let quotient = temperature != 1.0;
        let exp = if minus_a.exceeds_bits(-splat::<W>(f64::FAST_LIMIT)) {
            z.run_outlined(ExpNegFull { x, quotient })
        } else {
            let exp = ExpNeg::of::<false>(x.high);
            if quotient {
                corrected(exp, low_of_magnitude(x))
            } else {
                exp
            }
        };
        let terms = ExpTerms::new::<true>(minus_a, exp);
        let logistic = terms.logistic();
        Self {
            x,
            exp,
            terms,
            logistic,
        }
    }

    /// sigmoid(-|x|).
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn small(&self) -> Double<W> {
        let Logistic { e, c, w } = self.logistic;
        let minus_a = self.terms.minus_a;
        let high = e * c;
        let low = c.fma(w, e.fma_cancelling(c, -high));
        Double {
            high: unless_tiny::<W, true>(minus_a, self.terms.e, high),
            low: unless_tiny::<W, true>(minus_a, self.exp.low, low),
        }
    }

    /// sigmoid(x), rounded as without a temperature.
    #[cfg(feature = "linear")]
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn sigmoid(&self) -> W {
        let small = self.terms.q::<true>(self.logistic);
        self.x.high.select_negative(small, splat::<W>(1.0) - small)
    }

    /// sigmoid(x) and sigmoid(-x).
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn shares(&self) -> (Double<W>, Double<W>) {
        let (one, small) = (splat::<W>(1.0), self.small());
        let large = fast_two_sum(one, -small.high);
        let large = Double {
            low: large.low - small.low,
            ..large
        };
        let x = self.x.high;
        (
            select_negative(x, small, large),
            select_negative(x, large, small),
        )
    }

    /// `of`, or -`of` where the sign bit of x is not set.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn with_sign_of_minus(&self, of: Double<W>) -> Double<W> {
        let sign_bit = splat(-0.0);
        let sign = self.x.high.and_bits(sign_bit).xor_bits(sign_bit);
        Double {
            high: of.high.xor_bits(sign),
            low: of.low.xor_bits(sign),
        }
    }

    /// 1 - 2 sigmoid(x).
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn slope(&self) -> Double<W> {
        let Double { high: q, low } = self.small();
        let difference = fast_two_sum(splat(1.0), -(q + q));
        self.with_sign_of_minus(Double {
            low: difference.low - (low + low),
            ..difference
        })
    }

    /// sigmoid(x) - t.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn difference(&self, t: W) -> Double<W> {
        let limit = self.x.high.step();
        let near = limit - t;
        let near_low = (limit - near) - t;
        let small = self.with_sign_of_minus(self.small());
        let sum = two_sum(near, small.high);
        fast_two_sum(sum.high, sum.low + (small.low + near_low))
    }

    /// s (1 - s), s = sigmoid(x).
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn hessian(&self) -> Double<W> {
        let Double { high: q, low } = self.small();
        let high = q.neg_fma(q, q);
        let lost = q.neg_fma_cancelling(q, q - high);
        Double {
            high,
            low: low.fma(splat::<W>(1.0) - (q + q), lost),
        }
    }
}

/// D(x, y), where y - x is `difference`, (y - x)/x `q` and ln(y/x) `log`.
///
/// With v = q/(2 + q), ln(1 + q) is 2 atanh(v) and q - 2 v is q v: what is left does not cancel. Its derivatives by
/// q and by v, which is rounded, are v and 2 v/(1 - v^2).
#[cfg_attr(not(debug_assertions), inline(always))]
fn divergence<W: Lane<Real = f64>>(
    x: Double<W>,
    difference: Double<W>,
    q: Double<W>,
    log: Double<W>,
) -> W {
    let (half, one, two) = (splat::<W>(0.5), splat::<W>(1.0), splat::<W>(2.0));
    let sum = two_sum(two, q.high);
    let v = q.high / sum.high;
    let near = half.greater(v.abs());
    let square = v * v;
    // 1/(2 + q) is (1 - v)/2, and 5/4 v^2 is most of what 1/(1 - v^2) is beyond 1.
    let rest = v.neg_fma(sum.high, q.high) + v.neg_fma(sum.low + q.low, q.low);
    let twice_v_low = rest * (one - v);
    let low = twice_v_low.fma(square.fma(splat(1.25), one), q.low);
    let inner = q.high + square.neg_fma(horner(&double::ATANH, square), low);
    let product = x.high * v;
    let product_low = x.low.fma(v, x.high.fma_cancelling(v, -product));
    let by_polynomial = product.fma(inner, product_low * inner);

    let product = x.times(log);
    let sum = two_sum(difference.high, -product.high);
    let by_logarithm = sum.high + (sum.low + (difference.low - product.low));
    W::select(near, by_polynomial, by_logarithm)
}

impl<W: Lane<Real = f64>> Elements<W> {
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn point(&self) -> Point<W> {
        let kind = self.general.kind;
        if kind == Kind::Probability {
            return self.probability();
        }
        // One copy of its code for all.
        let argument = Argument::new(self.z, self.general.temperature);
        let point = match kind {
            Kind::LogitTargets => self.logit_targets(argument),
            Kind::SquaredError => self.squared_error(argument),
            Kind::Focal => self.focal(argument),
            #[cfg(feature = "linear")]
            Kind::Prediction => {
                return Point {
                    gradient: argument.sigmoid(),
                    ..Point::zero()
                };
            }
            _ => self.cross_entropy(argument),
        };
        self.undivided(point)
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
    fn cross_entropy(&self, argument: Argument<W>) -> Point<W> {
        let General {
            temperature,
            options,
            ..
        } = self.general;
        let Argument { x, exp, .. } = argument;
        let excess_wanted = self.general.excess && self.wanted.losses();
        let wanted = if excess_wanted {
            self.wanted.and(Wanted::GRADIENT)
        } else {
            self.wanted
        };
        let is_plain = options.pos_weight == 1.0 && options.smoothing == 0.0;
        let slope;
        let mut point = if is_plain && self.pos_weight.is_none() {
            // Derivatives of a quotient bear its division too: they are rounded once before.
            let wanted = if temperature == 1.0 || excess_wanted {
                wanted
            } else {
                wanted.losses_alone()
            };
            let mut point = Plain.finish::<W, true>(x.high, self.t, exp, wanted);
            // What the excess needs is the same, whatever else is wanted.
            slope = point.gradient;
            if temperature != 1.0 {
                if self.wanted.derivatives() {
                    let Double { high, .. } = argument.difference(self.t);
                    point.gradient = nan_like::<W, true>(x.high, high);
                }
                if self.wanted.has(Wanted::HESSIAN) {
                    let Double { high, low } = argument.hessian();
                    point.hessian = nan_like::<W, true>(x.high, high + low);
                }
            }
            point
        } else {
            let point =
                options.finish_each::<W, true>(x.high, self.t, self.pos_weight, exp, wanted);
            slope = point.gradient;
            point
        };
        if excess_wanted {
            // That of x.high, and its slope times what is left.
            let of_high = excess(x.high, self.t, ExpNeg::of::<true>(x.high));
            let (zero, loss) = (splat(0.0), slope.fma(x.low, of_high));
            // Not -0 either, which a negative product that underflows leaves.
            point.loss = W::select(W::greater(zero, loss), zero, loss) + zero;
        }
        point
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn logit_targets(&self, student: Argument<W>) -> Point<W> {
        let (zero, one) = (splat::<W>(0.0), splat::<W>(1.0));
        let sign_bit = splat::<W>(-0.0);
        let Self { z, t: u, .. } = *self;
        let General {
            temperature,
            excess,
            ..
        } = self.general;
        let teacher = Argument::new(u, temperature);
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
        let by_exp = fast_two_sum(one, -fall.e);
        let minus = -distance;
        let curved = -(horner(&double::EXPM1, minus) * (minus * minus));
        let by_polynomial = fast_two_sum(distance, curved);
        let near = splat::<W>(NEAR_EXP).greater(distance);
        let share = Double {
            high: W::select(near, by_polynomial.high, by_exp.high),
            low: W::select(
                near,
                low_of_magnitude(d).fma(fall.e, by_polynomial.low),
                by_exp.low - fall.low,
            ),
        };
        // The one of s and 1 - s that is above that of r, and this.
        let above = select_negative(d.high, s_complement, s);
        let below = select_negative(d.high, r_complement, r);
        let magnitude = above
            .times(select_negative(d.high, r, r_complement))
            .times(share);
        let gradient = magnitude.high.xor_bits(d.high.and_bits(sign_bit));
        let gradient = W::select(same, zero, gradient);

        let mut point = Point::zero();
        if self.wanted.losses() {
            let minus_a = x.or_bits(sign_bit);
            let log1p = student.terms.log1p::<true>(student.logistic);
            let far = select_negative(x, r, r_complement);
            let a = Double {
                high: -minus_a,
                low: low_of_magnitude(student.x),
            };
            let linear = far.high * a.high;
            let rest = far.high.fma_cancelling(a.high, -linear);
            let linear_low = far.high.fma(a.low, far.low.fma(a.high, rest));
            let sum = two_sum(linear, log1p.high);
            let loss = sum.high + (sum.low + (log1p.low + linear_low));
            // Whether the target is hard is for the input to say.
            let factor = W::select(same, zero, one);
            let loss = limit::<W, true>(minus_a, factor, loss);
            let mut reported = loss;
            if excess {
                let of_teacher = teacher.terms.log1p::<true>(teacher.logistic);
                let logs = plus(double(of_teacher), negated(double(log1p)));
                // ln(s/r) is min(x, 0) - min(v, 0) + `logs`, ln((1 - s)/(1 - r)) the same less d.
                let d = double(d);
                let (x, v) = (double(student.x), double(teacher.x));
                let nothing = Double::of(zero);
                let of_s = select_negative(
                    x.high,
                    select_negative(v.high, d, x),
                    select_negative(v.high, negated(v), nothing),
                );
                let of_complement = select_negative(
                    x.high,
                    select_negative(v.high, nothing, v),
                    select_negative(v.high, negated(x), negated(d)),
                );
                let quotient = magnitude.high / below.high;
                let rest = quotient.neg_fma(below.high, magnitude.high)
                    + quotient.neg_fma(below.low, magnitude.low);
                let ratio = Double {
                    high: quotient,
                    low: rest / below.high,
                };
                let sum = divergence(
                    below,
                    magnitude,
                    ratio,
                    plus(select_negative(d.high, of_complement, of_s), logs),
                ) + divergence(
                    select_negative(d.high, r, r_complement),
                    negated(magnitude),
                    negated(above.times(share)),
                    plus(select_negative(d.high, of_s, of_complement), logs),
                );
                let sum = W::select(same, zero, limit::<W, true>(minus_a, factor, sum));
                let hard = v.high.abs().equal(splat(f64::INFINITY));
                reported = W::select(hard, loss, sum);
            }
            point.loss = nan_like::<W, true>(z, reported);
        }
        if self.wanted.derivatives() {
            point.gradient = nan_like::<W, true>(z, gradient + zero);
            if self.wanted.has(Wanted::HESSIAN) {
                let Double { high, low } = student.hessian();
                point.hessian = nan_like::<W, true>(z, high + low);
            }
        }
        point
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn squared_error(&self, argument: Argument<W>) -> Point<W> {
        let x = argument.x.high;
        let g = argument.difference(self.t);
        let mut point = Point::zero();
        if self.wanted.losses() {
            point.loss = nan_like::<W, true>(x, g.times(g).high);
        }
        if self.wanted.derivatives() {
            let h = argument.hessian();
            let twice_h = Double {
                high: h.high + h.high,
                low: h.low + h.low,
            };
            let gradient = twice_h.times(g).high + splat(0.0);
            point.gradient = nan_like::<W, true>(x, gradient);
            if self.wanted.has(Wanted::HESSIAN) {
                let curvature = plus(h, g.times(argument.slope()));
                point.hessian = nan_like::<W, true>(x, twice_h.times(curvature).high);
            }
        }
        point
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn focal(&self, argument: Argument<W>) -> Point<W> {
        let zero = splat::<W>(0.0);
        let x = argument.x.high;
        let all = Wanted::LOSS.and(Wanted::GRADIENT).and(Wanted::HESSIAN);
        let Point {
            loss,
            gradient: g,
            hessian: h,
        } = Plain.finish::<W, true>(x, self.t, argument.exp, all);
        let infinity = splat::<W>(f64::INFINITY);
        let infinite = x.abs().equal(infinity);
        let slope = splat::<W>(self.general.exponent) * W::select(infinite, zero, h / g * loss);
        let Sum { high, low } = power(g.abs(), self.general.exponent);
        let factor = slope + g;
        // A power that underflows is less than any factor: not 0 times infinity.
        let gradient = high.fma(factor, low * factor);
        let vanishes = W::select(high.equal(zero), factor, zero)
            .abs()
            .equal(infinity);
        let gradient = W::select(vanishes, zero, gradient);
        let none = g.equal(zero);
        let gradient = W::select(none, zero, gradient) + zero;
        let loss_low = W::select(infinite, zero, low * loss);
        let product = W::select(loss.equal(infinity), loss, high.fma(loss, loss_low));
        let loss = W::select(none, zero, product);
        Point {
            loss: nan_like::<W, true>(x, loss),
            gradient: nan_like::<W, true>(x, gradient),
            hessian: splat(f64::NAN),
        }
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
        // p is 0 or 1: loss and gradient are certain or infinite.
        let hard = W::select(p.equal(zero), one, W::select(p.equal(one), one, zero)).equal(one);
        let right = p.equal(y);
        let mut point = Point::zero();
        if self.wanted.losses() {
            let log_complement = ln(p_complement);
            let log_complement = Double {
                low: lost / p_complement + log_complement.low,
                ..log_complement
            };
            let y_complement = Double {
                high: y_complement,
                low: (one - y_complement) - y,
            };
            let sum = plus(
                Double::of(y).times(ln(p)),
                y_complement.times(log_complement),
            );
            let certain = W::select(right, zero, infinity);
            point.loss = W::select(hard, certain, zero - (sum.high + sum.low));
        }
        if self.wanted.derivatives() {
            let difference = two_sum(p, -y);
            let divisor = Double::of(p).times(Double {
                high: p_complement,
                low: lost,
            });
            let quotient = difference.high / divisor.high;
            let rest = quotient.neg_fma(divisor.high, difference.high)
                + quotient.neg_fma(divisor.low, difference.low);
            let finite = infinity.greater(quotient.abs());
            let gradient = quotient + W::select(finite, rest / divisor.high, zero);
            // Not 0/0.
            let certain = W::select(right, one - (y + y), quotient);
            point.gradient = W::select(hard, certain, gradient) + zero;
        }
        point
    }
}

/// ln y for y in (0, 1].
#[cfg_attr(not(debug_assertions), inline(always))]
fn ln<W: Lane<Real = f64>>(y: W) -> Double<W> {
    let (k, g) = split(y);
    let sum = two_sum(k * splat(double::LN2_HI), g);
    let rest = sum.low + horner(&double::LN, g).fma(g * g, k * splat(double::LN2_LO));
    two_sum(sum.high, rest)
}

/// y^exponent for y in (0, 1], with what its last rounding left out.
#[cfg_attr(not(debug_assertions), inline(always))]
fn power<W: Lane<Real = f64>>(y: W, exponent: f64) -> Sum<W> {
    let (zero, exponent) = (splat::<W>(0.0), splat::<W>(exponent));
    let ln = ln(y);
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
    const ABREAST: bool = false;
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
