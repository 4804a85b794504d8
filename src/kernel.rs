//! The mathematics, written once over [`Lane`].
//!
//! With z the logit, t the target, a = |z| and e = e^-a in [0, 1]:
//!
//! ```text
//! loss     = max(z, 0) - t z + log1p(e)
//! gradient = +-((z < 0 ? t : 1 - t) - q),   q = e / (1 + e) = sigmoid(-a)
//! Hessian  = q - q^2
//! ```
//!
//! No term cancels another for t in [0, 1] but the gradient's near its zero,
//! where its error is measured against max(s, t).
//!
//! e: k = round(-a log2 e) by adding a large constant; r = -a - k ln 2 by two
//! FMAs, of which the first is exact (Cody and Waite, "Software Manual for the
//! Elementary Functions", 1980); a minimax polynomial; scaling by 2^k. In `f64`
//! with steps of ln(2)/8 and a table of eight powers: see `exp_by_table`.
//! log1p(e) in `f32`: e P(e) directly on [0, 1], without division or table: the
//! divider stays free for q. In `f64` from q: see `Log1p`. In `f32` C e, `ExpNeg`, takes the place of e.
//!
//! Every function exists in two forms with the same bits wherever both hold.
//! The fast one (`FULL` = false) holds for a <= `FAST_LIMIT`: there e is far
//! enough from the smallest normal number that no operation meets a subnormal number, which costs a microcode
//! assist of more than a hundred cycles on some CPUs. The full one holds for
//! every z, NaN included; it makes subnormal e by integer arithmetic and keeps
//! it out of multiplications.

pub(crate) mod double;
pub(crate) mod exact;
pub(crate) mod excess;
mod fixed;
pub(crate) mod general;

use crate::lane::{FIRMWARE, Float, Isa, Lane};

/// A set of results: those that a call asks for.
///
/// Known at run time only, so that a function is compiled once for all sets; asked
/// once for a group of vectors, which costs less than it saves.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Wanted(u8);

impl Wanted {
    pub(crate) const NOTHING: Self = Self(0);
    pub(crate) const LOSS: Self = Self(1);
    pub(crate) const GRADIENT: Self = Self(2);
    pub(crate) const HESSIAN: Self = Self(4);
    pub(crate) const SUM: Self = Self(8);

    pub(crate) const fn bits(self) -> u8 {
        self.0
    }

    pub(crate) const fn of_bits(bits: u8) -> Self {
        Self(bits)
    }

    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) const fn has(self, one: Self) -> bool {
        self.0 & one.0 != 0
    }

    /// Losses, to be stored or summed.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) const fn losses(self) -> bool {
        self.has(Self(1 | 8))
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) const fn derivatives_alone(self) -> Self {
        Self(self.0 & (2 | 4))
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) const fn losses_alone(self) -> Self {
        Self(self.0 & (1 | 8))
    }

    /// Gradients or Hessians.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) const fn derivatives(self) -> bool {
        self.has(Self(2 | 4))
    }
}

/// What is known at one (z, t); zero where it is not wanted.
#[derive(Clone, Copy)]
pub(crate) struct Point<L> {
    pub(crate) loss: L,
    pub(crate) gradient: L,
    pub(crate) hessian: L,
}

impl<L: Lane> Point<L> {
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn zero() -> Self {
        let zero = splat(L::Real::ZERO);
        Self {
            loss: zero,
            gradient: zero,
            hessian: zero,
        }
    }
}

/// e = e^-|z| and what its last rounding left out; unless `COMPENSATED` C e^-|z|, C = `EXP_SCALE`, and, of the full form,
/// e^-|z| itself, which counts where that is tiny.
#[derive(Clone, Copy)]
pub(crate) struct ExpNeg<L> {
    pub(crate) e: L,
    pub(crate) low: L,
}

impl<L: Lane> ExpNeg<L> {
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn of<const FULL: bool>(z: L) -> Self {
        let (e, low) = exp::<L, FULL>(z.or_bits(splat(L::Real::SIGN_BIT)));
        Self { e, low }
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn nothing() -> Self {
        let zero = splat(L::Real::ZERO);
        Self { e: zero, low: zero }
    }

    /// e^-|z| where it is tiny, of the full form.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn tiny(self) -> L {
        if L::Real::COMPENSATED {
            self.e
        } else {
            self.low
        }
    }
}

/// A function of logit and target that the walk over slices can apply.
pub(crate) trait Pointwise<T: Float>: Copy {
    /// Whether `Scalar` may do its work: see `Backend::run_rare`.
    const RARE: bool;
    /// Whether it is a function of e^-|z|, which the main loop computes a span ahead.
    const OF_EXP: bool;
    /// Whether its loss is at least log1p(e^-|z|) and at most |z| + ln 2.
    const IN_WINDOW: bool;
    /// Whether its fast form is worth compiling for less than a group of vectors.
    const FAST_REMAINDER: bool;
    /// Whether `Scalar` computes several elements side by side: in less than half the time, of `f32` also by less code.
    const ABREAST: bool;
    /// Whether its fast form is worth compiling for groups of vectors.
    const MAIN_LOOP: bool;
    /// Whether the same without anything that options need is worth it, too.
    const PLAIN_LOOPS: bool;
    /// Whether its losses alone are worth loops of their own where registers are few.
    const LOSSES_APART: bool;
    /// Whether the main loop is one that begins vectors two steps ahead: `begin`, `Begun::divide`, `finish_begun`.
    const BEGINS: bool = false;
    /// `exp` is that of z if `OF_EXP`. What is not wanted may be anything.
    fn finish<L: Lane<Real = T>, const FULL: bool>(
        &self,
        z: L,
        t: L,
        exp: ExpNeg<L>,
        wanted: Wanted,
    ) -> Point<L>;
    /// `finish` by the fast form of losses with derivatives, known when it is compiled.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn finish_both<L: Lane<Real = T>>(
        &self,
        z: L,
        t: L,
        exp: ExpNeg<L>,
        wanted: Wanted,
    ) -> Point<L> {
        self.finish::<L, false>(z, t, exp, wanted)
    }
    /// The same as `finish` with a weight of the positive class for each element, if the function has one.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn finish_each<L: Lane<Real = T>, const FULL: bool>(
        &self,
        z: L,
        t: L,
        _pos_weight: Option<L>,
        exp: ExpNeg<L>,
        wanted: Wanted,
    ) -> Point<L> {
        self.finish::<L, FULL>(z, t, exp, wanted)
    }
    /// In front of a loop of these.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn keep<L: Lane<Real = T>>(_wanted: Wanted) {}
    /// What does not depend on targets, but for the division.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn begin<L: Lane<Real = T>>(_z: &[T]) -> [Begun<L::Wide>; 2] {
        [Begun::nothing(); 2]
    }
    /// The fast form of what is `wanted`, known when it is compiled, and whether losses and derivatives are for `again`.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn finish_begun<L: Lane<Real = T>>(
        _z: L,
        _t: L,
        _begun: [Begun<L::Wide>; 2],
        _wanted: Wanted,
    ) -> (Point<L>, [bool; 2]) {
        (Point::zero(), [false; 2])
    }
    /// The losses, or else the derivatives, of what `finish_begun` left undecided.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn again<I: Isa, const LOSS: bool>(_isa: I, _z: &[T], _t: &[T], _outputs: [&mut [T]; 3]) {}
}

/// e = e^-|z| of half of a lane's elements, and q = e/(1 + e).
#[derive(Clone, Copy)]
pub(crate) struct Begun<W> {
    pub(crate) z: W,
    pub(crate) e: W,
    pub(crate) q: W,
}

impl<W: Lane> Begun<W> {
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn nothing() -> Self {
        let zero = splat(W::Real::ZERO);
        let [z, e, q] = [zero; 3];
        Self { z, e, q }
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn divide(self) -> Self {
        let q = self.e / (W::splat_kept(W::Real::ONE) + self.e);
        Self { q, ..self }
    }
}

#[cfg_attr(not(debug_assertions), inline(always))]
pub(crate) fn splat<L: Lane>(value: L::Real) -> L {
    L::splat(value)
}

/// c[0] + c[1] x + c[2] x^2 + ...
///
/// A loop, since closures are not always inlined into vector code.
#[cfg_attr(not(debug_assertions), inline(always))]
pub(crate) fn horner<L: Lane>(coefficients: &[L::Real], x: L) -> L {
    polynomial::<L, false>(coefficients, x)
}

/// `horner`, a step of all vectors of a group before the next step of any: compilers
/// would take one vector's chain after the other, and too few overlap.
#[cfg_attr(not(debug_assertions), inline(always))]
pub(crate) fn horner_abreast<L: Lane>(coefficients: &[L::Real], x: L) -> L {
    polynomial::<L, true>(coefficients, x)
}

#[cfg_attr(not(debug_assertions), inline(always))]
fn polynomial<L: Lane, const ABREAST: bool>(coefficients: &[L::Real], x: L) -> L {
    let Some((&highest, mut lower)) = coefficients.split_last() else {
        return splat(L::Real::ZERO);
    };
    let mut sum = splat::<L>(highest);
    while let Some((&c, rest)) = lower.split_last() {
        sum = if ABREAST {
            sum.fma_near(x, splat(c)).abreast()
        } else {
            sum.fma(x, splat(c))
        };
        lower = rest;
    }
    sum
}

/// `horner_abreast` for an even number of coefficients, by pairs of them and x^2: one
/// multiplication more, and half the chain.
#[cfg_attr(not(debug_assertions), inline(always))]
fn pairs_abreast<L: Lane>(coefficients: &[L::Real], x: L, square: L) -> L {
    let mut sum = splat::<L>(L::Real::ZERO);
    let mut lower = coefficients;
    while let Some((rest, &[c, d])) = lower.split_last_chunk() {
        let pair = splat::<L>(d).fma_near(x, splat(c));
        sum = if lower.len() == coefficients.len() {
            pair
        } else {
            sum.fma_near(square, pair)
        };
        sum = sum.abreast();
        lower = rest;
    }
    sum
}

/// e^x for x <= 0 as `ExpNeg` has it.
#[cfg_attr(not(debug_assertions), inline(always))]
fn exp<L: Lane, const FULL: bool>(x: L) -> (L, L) {
    let x = if FULL {
        // Also what comes of NaN is replaced at the end.
        x.max_or(-splat::<L>(L::Real::ZERO_LIMIT))
    } else {
        x
    };
    let (rounded, n) = x.round_product(splat(L::Real::INVERSE_STEP));
    let r = n.neg_fma_integer(splat(L::Real::STEP_HI), x);
    if L::Real::COMPENSATED {
        let r = rounded.neg_fma(splat(L::Real::STEP_LO), r);
        return exp_by_table::<L, FULL>(x, rounded, r);
    }
    let r = n.neg_fma_near(splat(L::Real::STEP_LO), r);
    let scale = splat(L::Real::EXP_SCALE);
    let h = horner_abreast(L::Real::EXP, r).fma_near(r, scale);
    let p = h.fma_near(r, scale);
    // One lane at a time is worth a branch.
    if !FULL || FIRMWARE && !x.exceeds_bits(-splat::<L>(L::Real::FAST_LIMIT)) {
        return (p.scale(rounded, n), splat(L::Real::ZERO));
    }
    let shift = splat(L::Real::of_pattern(L::Real::SUBNORMAL_SHIFT));
    let shift = rounded.add_bits(shift).low_bits_to_exponent();
    let least = splat::<L>(L::Real::LEAST_FAST).add_bits(tiny_scale());
    let e = p.add_bits(shift).max_or(least).sub_bits(tiny_scale());
    // e^r once more: p/C would be rounded twice.
    let power = h * splat(L::Real::EXP_UNSCALE) * r + splat(L::Real::ONE);
    (e, unscale(power.add_bits(shift)))
}

/// `exp` from n + `ROUNDER` and r = x - n ln(2)/8 - s: S + S v, with S = 2^(n/8) e^s and v = e^r - 1.
///
/// A polynomial of degree 7 does where |r| is at most .043. S is an element of a table and a shift of n, and s,
/// small, is what makes all eight elements almost doubles (Gal and Bachelis, "An accurate elementary mathematical
/// library for the IEEE floating point standard", ACM TOMS 17, 1991): the table needs no second part, and
/// s is taken off by the operation that takes off n `STEP_LO`: it has n + `ROUNDER` in the place of n, and
/// `ROUNDER` `STEP_LO` = `STEP_HI` + s, for which the operation before has n - 1.
#[cfg_attr(not(debug_assertions), inline(always))]
fn exp_by_table<L: Lane, const FULL: bool>(x: L, rounded: L, r: L) -> (L, L) {
    let square = (r * r).abreast();
    let v = pairs_abreast(L::Real::EXP, r, square).fma_near(square, r);
    // n is a multiple of 8 more: the table's element is the same.
    let steps = if FULL {
        rounded.add_bits(splat(L::Real::of_pattern(8 * L::Real::SUBNORMAL_SHIFT)))
    } else {
        rounded
    };
    let power = steps.exp_table().add_bits(steps.eighths_to_exponent());
    let e = power.fma_near(v, power);
    let low = power.fma_cancelling(v, power - e);
    if !FULL {
        return (e, low);
    }
    // Beyond `FAST_LIMIT` e stands alone; a `low` of subnormal numbers would cost an assist each.
    let alone = (-splat::<L>(L::Real::FAST_LIMIT)).greater(x);
    let unscaled = L::select(
        alone,
        splat(L::Real::ZERO),
        splat(L::Real::SUBNORMAL_UNSCALE),
    );
    (unscale(e), low * unscaled)
}

/// A number from 2^`SUBNORMAL_SHIFT` times it, which is normal: where the number is subnormal, adding
/// 2^(`SUBNORMAL_SHIFT` + fraction bits) (smallest subnormal) rounds it, correctly, at the bit that will be the
/// last; the fraction of that sum is its pattern.
#[cfg_attr(not(debug_assertions), inline(always))]
pub(crate) fn unscale<L: Lane>(scaled: L) -> L {
    let quantum = splat::<L>(L::Real::SUBNORMAL_ROUNDER);
    let subnormal = (scaled + quantum).sub_bits(quantum);
    // The other is less, or the same, on either side.
    scaled.sub_bits(tiny_scale()).max_or(subnormal)
}

/// Added to a pattern it is a factor 2^`SUBNORMAL_SHIFT`.
#[cfg_attr(not(debug_assertions), inline(always))]
fn tiny_scale<L: Lane>() -> L {
    splat(L::Real::of_pattern(
        L::Real::SUBNORMAL_SHIFT << L::Real::FRACTION_BITS,
    ))
}

/// A number as a sum; `low` is 0 unless `COMPENSATED`.
#[derive(Clone, Copy)]
pub(crate) struct Sum<L> {
    pub(crate) high: L,
    pub(crate) low: L,
}

impl<L: Lane> Sum<L> {
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn rounded(self) -> L {
        if L::Real::COMPENSATED {
            self.high + self.low
        } else {
            self.high
        }
    }
}

/// log1p(e) for e in [0, 1], normal or zero.
///
/// Not compensated: e times `factor` = P(e), by one FMA with what it is added to.
/// Horner's scheme, though its chain is long: split into even and odd powers the halves are
/// larger than their sum, and softplus lost up to 2.3 ULP near z = 0.
///
/// Compensated, with q = e/(1 + e), w = e q = e - q = 4 sinh^2(u/2) and u = log1p(e):
///
/// ```text
/// u = e - w/2 - w (e + q) H(w) = e - e^2/2 + w (e/2 - (e + q) H(w)),
/// H(w) = (1 - u/sinh(u)) / (2 w)
/// ```
///
/// whose only singularity is at w = -4: 10 coefficients instead of 19 of a polynomial of e. The
/// first two terms are `high` and what it lacks; the third and what e lacks, times 1/(1 + e), are
/// added to that.
#[derive(Clone, Copy)]
struct Log1p<L> {
    /// Unless `COMPENSATED`.
    factor: L,
    high: L,
    exp: ExpNeg<L>,
    /// e/2.
    half: L,
    w: L,
    /// e/2 - (e + q) H(w).
    third: L,
    /// 1/(1 + e).
    c: L,
}

impl<L: Lane> Log1p<L> {
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn new(exp: ExpNeg<L>, Logistic { c, .. }: Logistic<L>) -> Self {
        let e = exp.e;
        if !L::Real::COMPENSATED {
            let zero = splat(L::Real::ZERO);
            return Self {
                factor: horner_abreast(L::Real::LOG1P, e),
                high: zero,
                exp,
                half: zero,
                w: zero,
                third: zero,
                c,
            };
        }
        // Nothing beside e/2, or times e beside e; but e times it is normal.
        let half = e.fma_of_exact(splat(L::Real::HALF), splat(L::Real::LEAST_HALF));
        let w = c.neg_fma_cancelling(e, e);
        let h = horner_abreast(L::Real::LOG1P, w);
        Self {
            factor: h,
            high: half.neg_fma_near(e, e),
            exp,
            half,
            w,
            third: c.fma_near(e, e).neg_fma_near(h, half),
            c,
        }
    }

    /// log1p(e) - (e - `excess`), if `COMPENSATED`.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn rest(self, excess: L) -> L {
        let ExpNeg { e, low } = self.exp;
        let lacking = self.c.fma(low, self.half.neg_fma(e, excess));
        self.w.fma(self.third, lacking)
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn sum(self) -> Sum<L> {
        if !L::Real::COMPENSATED {
            return Sum {
                high: self.factor * self.exp.e,
                low: splat(L::Real::ZERO),
            };
        }
        Sum {
            high: self.high,
            low: self.rest(self.exp.e - self.high),
        }
    }

    /// `linear`, not negative, + log1p(e), rounded once.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn plus(self, linear: L) -> L {
        if !L::Real::COMPENSATED {
            return self.factor.fma_near(self.exp.e, linear);
        }
        let sum = linear + self.high;
        // linear + e - sum, exactly; but where linear is the smaller, what is lost is less than an ULP of e^2.
        let e = self.exp.e;
        let excess = (linear.max_or(e) - sum) + linear.min_or(e);
        sum + self.rest(excess)
    }
}

/// q = e/(1 + e) = sigmoid(-a) for e in [0, 1].
///
/// `f32`: the plain quotient, `c`, which also bears the rounding of the divisor: 2.7 ULP for the
/// gradient instead of the 2.0 of a corrected reciprocal, for .80 to .92 of its time. It is C e/(C + C e): next to a
/// power of two, where q may be just below and e just above, C keeps the others' roundings from being largest, too.
///
/// `COMPENSATED`: 1/(1 + e) as c + c w/e, where w/e is what the division left, so that
/// neither that rounding counts nor that of e.
#[derive(Clone, Copy)]
struct Logistic<L> {
    e: L,
    c: L,
    w: L,
}

impl<L: Lane> Logistic<L> {
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn new(exp: ExpNeg<L>) -> Self {
        let ExpNeg { e, low } = exp;
        let one = splat::<L>(L::Real::ONE);
        if !L::Real::COMPENSATED {
            let zero = splat(L::Real::ZERO);
            return Self {
                e,
                c: e / (splat::<L>(L::Real::EXP_SCALE) + e),
                w: zero,
            };
        }
        let c = (one / (one + e)).abreast();
        // 1 - c (1 + e), with one rounding.
        let residual = e.neg_fma_cancelling(c, one - c);
        let w = e.fma(residual, low);
        Self { e, c, w }
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn nothing() -> Self {
        let zero = splat(L::Real::ZERO);
        Self {
            e: zero,
            c: zero,
            w: zero,
        }
    }

    /// q = e/(1 + e).
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn q(self) -> L {
        if L::Real::COMPENSATED {
            self.e.fma(self.c, self.c * self.w)
        } else {
            self.c
        }
    }

    /// from + low + q with the sign of `sign`, if `COMPENSATED`.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn add_q(self, sign: L, from: L, low: L) -> L {
        let c = self.c.with_sign(sign);
        self.e.fma(c, from + c.fma(self.w, low))
    }
}

/// `ordinary` but beyond FAST_LIMIT, where log1p(e), q and q - q^2 all round to e.
#[cfg_attr(not(debug_assertions), inline(always))]
fn unless_tiny<L: Lane, const FULL: bool>(minus_a: L, tiny: L, ordinary: L) -> L {
    if FULL {
        let mask = (-splat::<L>(L::Real::FAST_LIMIT)).greater(minus_a);
        L::select(mask, tiny, ordinary)
    } else {
        ordinary
    }
}

/// log1p(e^-|z|) by the full form.
#[cfg_attr(not(debug_assertions), inline(always))]
pub(crate) fn log1p_of<L: Lane>(minus_a: L, exp: ExpNeg<L>) -> Sum<L> {
    let terms = ExpTerms::new::<true>(minus_a, exp);
    terms.log1p::<true>(terms.logistic())
}

/// What follows from e = e^-|z|.
#[derive(Clone, Copy)]
struct ExpTerms<L> {
    minus_a: L,
    e: L,
    /// The same where results do not all round to e.
    ordinary: ExpNeg<L>,
}

impl<L: Lane> ExpTerms<L> {
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn new<const FULL: bool>(minus_a: L, exp: ExpNeg<L>) -> Self {
        // Not 0, beside which e^2 would be subnormal; that of `exp` is neither 0 nor subnormal where e is `FAST`.
        let least_low = splat(L::Real::LEAST_LOW);
        if !L::Real::COMPENSATED {
            return Self {
                minus_a,
                e: exp.tiny(),
                ordinary: exp,
            };
        }
        Self {
            minus_a,
            e: exp.tiny(),
            // No selection of 0 for tiny e: compilers postpone that, and work with subnormal numbers.
            ordinary: ExpNeg {
                e: if FULL {
                    exp.e.max_or(splat(L::Real::LEAST_FAST))
                } else {
                    exp.e
                },
                low: unless_tiny::<L, FULL>(minus_a, least_low, exp.low),
            },
        }
    }

    /// `logistic` counts only if `COMPENSATED`.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn log1p<const FULL: bool>(self, logistic: Logistic<L>) -> Sum<L> {
        let log1p = Log1p::new(self.ordinary, logistic).sum();
        Sum {
            high: unless_tiny::<L, FULL>(self.minus_a, self.e, log1p.high),
            low: unless_tiny::<L, FULL>(self.minus_a, splat(L::Real::ZERO), log1p.low),
        }
    }

    /// `Log1p::plus`.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn add_log1p<const FULL: bool>(self, logistic: Logistic<L>, linear: L) -> L {
        let ordinary = Log1p::new(self.ordinary, logistic).plus(linear);
        unless_tiny::<L, FULL>(self.minus_a, linear + self.e, ordinary)
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn logistic(self) -> Logistic<L> {
        Logistic::new(self.ordinary)
    }

    /// `logistic`, if something of `wanted` follows from it.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn logistic_if(self, wanted: Wanted) -> Logistic<L> {
        if wanted.derivatives() || L::Real::COMPENSATED {
            self.logistic()
        } else {
            Logistic::nothing()
        }
    }

    /// e/(1 + e).
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn q<const FULL: bool>(self, logistic: Logistic<L>) -> L {
        unless_tiny::<L, FULL>(self.minus_a, self.e, logistic.q())
    }

    /// from + low + e/(1 + e) with the sign of `sign`, a `sign_of_minus`; `low` counts only if
    /// `COMPENSATED`.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn add_q<const FULL: bool>(self, logistic: Logistic<L>, sign: L, from: L, low: L) -> L {
        if !L::Real::COMPENSATED {
            return self.q::<FULL>(logistic).add_with_sign(sign, from);
        }
        let tiny = self.e.add_with_sign(sign, from);
        let ordinary = logistic.add_q(sign, from, low);
        unless_tiny::<L, FULL>(self.minus_a, tiny, ordinary)
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn hessian<const FULL: bool>(self, logistic: Logistic<L>) -> L {
        let q = logistic.q();
        let mut subtracted = q;
        if !L::Real::COMPENSATED {
            // What the rounding of C + C e lost has to count (1 - q) (1 - 2 q)/C times: from 1/C to 0, and
            // where it matters most, about this. 2.55 ULP instead of 2.81; from 3/8 on some are above 1/4.
            let (e, scale) = (self.ordinary.e, splat::<L>(L::Real::EXP_SCALE));
            let lost = e - ((scale + e) - scale);
            subtracted = lost.fma(splat(L::Real::HESSIAN_CORRECTION), q);
        }
        unless_tiny::<L, FULL>(self.minus_a, self.e, q.neg_fma(subtracted, q))
    }
}

/// `finite` but where |z| is infinite: there 0 if `factor` is 0, else infinity.
#[cfg_attr(not(debug_assertions), inline(always))]
pub(crate) fn limit<L: Lane, const FULL: bool>(minus_a: L, factor: L, finite: L) -> L {
    if !FULL {
        return finite;
    }
    let (zero, infinity) = (splat(L::Real::ZERO), splat::<L>(L::Real::INFINITY));
    let at_infinity = L::select(factor.equal(zero), zero, infinity);
    L::select(minus_a.equal(-infinity), at_infinity, finite)
}

/// `value`, or NaN where z is.
#[cfg_attr(not(debug_assertions), inline(always))]
pub(crate) fn nan_like<L: Lane, const FULL: bool>(z: L, value: L) -> L {
    if FULL {
        L::select(z.equal(z), value, splat(L::Real::NAN))
    } else {
        value
    }
}

/// Those of `Plain`'s fast form, in front of a loop over lanes that keep them.
#[cfg_attr(not(debug_assertions), inline(always))]
pub(crate) fn keep_constants<L: Lane>() {
    for &c in L::Real::LOG1P {
        L::keep(c);
    }
    L::keep(L::Real::ONE);
    L::keep(L::Real::EXP_SCALE);
    L::keep(L::Real::SIGN_BIT);
    if L::Real::COMPENSATED {
        L::keep(L::Real::HALF);
        L::keep(L::Real::LEAST_HALF);
    }
}

/// The contract's formulas, nothing else.
#[derive(Clone, Copy)]
pub(crate) struct Plain;

impl<T: Float> Pointwise<T> for Plain {
    // `f64`: `Wide`'s own vectors take .79 of the time, for 41 KB.
    const RARE: bool = T::COMPENSATED;
    const OF_EXP: bool = true;
    const IN_WINDOW: bool = true;
    const FAST_REMAINDER: bool = true;
    const ABREAST: bool = true;
    const MAIN_LOOP: bool = true;
    const PLAIN_LOOPS: bool = true;
    const LOSSES_APART: bool = true;

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn finish<L: Lane<Real = T>, const FULL: bool>(
        &self,
        z: L,
        t: L,
        exp: ExpNeg<L>,
        wanted: Wanted,
    ) -> Point<L> {
        Self::compute::<L, FULL, false>(z, t, exp, wanted)
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn finish_both<L: Lane<Real = T>>(
        &self,
        z: L,
        t: L,
        exp: ExpNeg<L>,
        wanted: Wanted,
    ) -> Point<L> {
        Self::compute::<L, false, true>(z, t, exp, wanted)
    }
}

impl Plain {
    /// `finish`; losses with derivatives in fewer operations, if it is known that `BOTH` are wanted.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn compute<L: Lane, const FULL: bool, const BOTH: bool>(
        z: L,
        t: L,
        exp: ExpNeg<L>,
        wanted: Wanted,
    ) -> Point<L> {
        let minus_a = z.or_bits(splat(L::Real::SIGN_BIT));
        let terms = ExpTerms::new::<FULL>(minus_a, exp);
        // What the gradient is near far out, and the loss proportional to but for its sign.
        let (limit_of_s, positive) = if BOTH {
            z.step_and_positive()
        } else {
            (z.step(), z.max_or(splat(L::Real::ZERO)))
        };
        let near = limit_of_s - t;
        let mut point = Point::zero();
        // The division first: what the loss needs has the time that it takes.
        let logistic = terms.logistic_if(wanted);
        if wanted.losses() {
            let linear = t.neg_fma(z, positive);
            let linear = limit::<L, FULL>(minus_a, near, linear);
            let loss = terms.add_log1p::<FULL>(logistic, linear);
            point.loss = nan_like::<L, FULL>(z, loss);
        }
        if wanted.derivatives() {
            // What the rounding of `near` lost.
            let near_low = (limit_of_s - near) - t;
            // That of -z.
            let gradient = if BOTH && !L::Real::COMPENSATED {
                terms.q::<FULL>(logistic).add_with_sign_of_minus(z, near)
            } else {
                let sign = z.sign_of_minus();
                terms.add_q::<FULL>(logistic, sign, near, near_low)
            };
            point.gradient = nan_like::<L, FULL>(z, gradient);
            if wanted.has(Wanted::HESSIAN) {
                point.hessian = nan_like::<L, FULL>(z, terms.hessian::<FULL>(logistic));
            }
        }
        point
    }

    /// `loss`, or its limit where |z| is infinite.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn at_infinity<L: Lane>(z: L, t: L, loss: L) -> L {
        limit::<L, true>(z.or_bits(splat(L::Real::SIGN_BIT)), z.step() - t, loss)
    }
}

/// Label smoothing, t' = t + smoothing (1/2 - t), and a weight p of the positive
/// class: loss = p t' softplus(-z) + (1 - t') softplus(z).
///
/// With w = (1 - t') + p t' and the linear factor u = 1 - t' (z >= 0) or p t'
/// (z < 0): loss = u a + w log1p(e), gradient = +-(u - w q), Hessian = w (q - q^2).
#[derive(Clone, Copy, Debug)]
pub(crate) struct SmoothedWeighted<T> {
    pub(crate) pos_weight: T,
    pub(crate) smoothing: T,
}

/// What the options make of the target of one element.
#[derive(Clone, Copy)]
struct Coefficients<L> {
    /// w.
    total: L,
    /// u without the factor `below_one`: the pos_weight, if that is what it bears and less than 1.
    near: L,
    /// Nothing if it is 1 for all elements: the same bits, two operations less.
    below_one: Option<L>,
}

impl<L: Lane> Coefficients<L> {
    /// The smaller of t' and 1 - t' is m + smoothing (1/2 - m), m = min(t, 1 - t), the larger
    /// 1/2 + (1 - smoothing) (1/2 - m): neither cancels, and 1/2 - m is rounded for m < 1/4
    /// alone. So they are good to 1.5 and 1.2 units of rounding, and w to one more.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn new(z: L, t: L, each: Option<L>, options: SmoothedWeighted<L::Real>) -> Self {
        let SmoothedWeighted {
            pos_weight,
            smoothing,
        } = options;
        let (half, one) = (splat::<L>(L::Real::HALF), splat::<L>(L::Real::ONE));
        let upper = t.greater(half);
        let m = L::select(upper, one - t, t);
        let distance = half - m;
        let smaller = splat::<L>(smoothing).fma(distance, m);
        let larger = (one - splat(smoothing)).fma(distance, half);
        let positive = L::select(upper, larger, smaller);
        let negative = L::select(upper, smaller, larger);
        let (pos_weight, above_one, below_one) = match each {
            Some(each) => {
                let above = each.greater(one);
                let above_one = L::select(above, each, one);
                let below_one = z.select_negative(L::select(above, one, each), one);
                (each, above_one, Some(below_one))
            }
            None if pos_weight >= L::Real::ONE => (splat(pos_weight), splat(pos_weight), None),
            None => {
                let below_one = z.select_negative(splat(pos_weight), one);
                (splat(pos_weight), one, Some(below_one))
            }
        };
        Self {
            total: pos_weight.fma(positive, negative),
            near: z.select_negative(above_one * positive, negative),
            below_one,
        }
    }
}

impl<T: Float> Pointwise<T> for SmoothedWeighted<T> {
    const RARE: bool = T::COMPENSATED;
    const OF_EXP: bool = true;
    const IN_WINDOW: bool = false;
    const FAST_REMAINDER: bool = true;
    const ABREAST: bool = !T::COMPENSATED;
    const MAIN_LOOP: bool = true;
    // `f32`, AVX2: losses take .85 of the time, sum and gradient .92.
    const PLAIN_LOOPS: bool = !T::COMPENSATED;
    // Of `f64` rows and classes would need more stack than there is.
    const LOSSES_APART: bool = !T::COMPENSATED;

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn finish<L: Lane<Real = T>, const FULL: bool>(
        &self,
        z: L,
        t: L,
        exp: ExpNeg<L>,
        wanted: Wanted,
    ) -> Point<L> {
        self.finish_each::<L, FULL>(z, t, None, exp, wanted)
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn finish_each<L: Lane<Real = T>, const FULL: bool>(
        &self,
        z: L,
        t: L,
        pos_weight: Option<L>,
        exp: ExpNeg<L>,
        wanted: Wanted,
    ) -> Point<L> {
        let one = splat::<L>(T::ONE);
        let sign_bit = splat(T::SIGN_BIT);
        let minus_a = z.or_bits(sign_bit);
        let terms = ExpTerms::new::<FULL>(minus_a, exp);
        let Coefficients {
            total,
            near,
            below_one,
        } = Coefficients::new(z, t, pos_weight, *self);
        let logistic = terms.logistic_if(wanted);
        let mut point = Point::zero();
        if wanted.losses() {
            // |z| before the factor that could make the product subnormal.
            let mut linear = near * -minus_a;
            if let Some(below_one) = below_one {
                linear = linear * below_one;
            }
            let loss = total.fma(terms.log1p::<FULL>(logistic).rounded(), linear);
            // Whether the factor is 0 is for the inputs to say.
            let factor = if self.smoothing > T::ZERO {
                one
            } else {
                z.select_negative(t, one - t)
            };
            let loss = limit::<L, FULL>(minus_a, factor, loss);
            point.loss = nan_like::<L, FULL>(z, loss);
        }
        if wanted.derivatives() {
            let near = match below_one {
                Some(below_one) => near * below_one,
                None => near,
            };
            let gradient = total.neg_fma(terms.q::<FULL>(logistic), near);
            // Not -0.
            let gradient = gradient.xor_bits(z.and_bits(sign_bit)) + splat(T::ZERO);
            point.gradient = nan_like::<L, FULL>(z, gradient);
            if wanted.has(Wanted::HESSIAN) {
                let hessian = total * terms.hessian::<FULL>(logistic);
                point.hessian = nan_like::<L, FULL>(z, hessian);
            }
        }
        point
    }
}

/// k and g with y = 2^k (1 + g), for normal or subnormal y in (0, 1]: 1 + g is
/// within a factor sqrt(2) of 1.
#[cfg_attr(not(debug_assertions), inline(always))]
pub(crate) fn split<L: Lane>(y: L) -> (L, L) {
    let one = splat::<L>(L::Real::ONE);
    let scale = splat(L::Real::SUBNORMAL_SCALE);
    let subnormal = splat::<L>(L::Real::MIN_POSITIVE).greater(y);
    let y = L::select(subnormal, y * scale, y);
    let sqrt_half = splat(L::Real::SQRT_HALF);
    let shifted = y.sub_bits(sqrt_half);
    // k is not positive: its exponent field plus the bias is an integer below 2^p,
    // which stands in the fraction of 2^p.
    let field = shifted.add_bits(one).exponent_to_low_bits();
    let k =
        field.or_bits(splat(L::Real::TWO_TO_PRECISION)) - splat(L::Real::TWO_TO_PRECISION_AND_BIAS);
    let k = L::select(subnormal, k - splat(L::Real::SUBNORMAL_SCALE_LOG2), k);
    let f = shifted
        .and_bits(splat(L::Real::FRACTION))
        .add_bits(sqrt_half);
    (k, f - one)
}

/// ln(y) = k ln 2 + ln(1 + g) for normal or subnormal y in (0, 1).
#[cfg_attr(not(debug_assertions), inline(always))]
fn ln<L: Lane>(y: L) -> L {
    let (k, g) = split(y);
    let low = horner(L::Real::LN, g).fma(g * g, k * splat(L::Real::LN2_LO));
    k.fma(splat(L::Real::LN2_HI), low + g)
}

/// The logit ln(p / (1 - p)).
///
/// With m = min(p, 1 - p): for m >= 1/4 it is -+2 atanh(1 - 2 m), whose argument
/// is exact; otherwise +-ln(m / (1 - m)), which is beyond 1 in magnitude.
#[derive(Clone, Copy)]
pub(crate) struct Logit;

impl<T: Float> Pointwise<T> for Logit {
    const RARE: bool = true;
    const OF_EXP: bool = false;
    const IN_WINDOW: bool = false;
    const FAST_REMAINDER: bool = false;
    const ABREAST: bool = !T::COMPENSATED;
    const MAIN_LOOP: bool = false;
    const PLAIN_LOOPS: bool = false;
    const LOSSES_APART: bool = false;

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn finish<L: Lane<Real = T>, const FULL: bool>(
        &self,
        _: L,
        p: L,
        _: ExpNeg<L>,
        _: Wanted,
    ) -> Point<L> {
        let (zero, one, half) = (splat::<L>(T::ZERO), splat::<L>(T::ONE), splat::<L>(T::HALF));
        let upper = p.greater(half);
        let m = L::select(upper, one - p, p);

        let x = (half - m) + (half - m);
        let square = x * x;
        let near = (x * square).fma(horner(T::ATANH, square), x + x);
        let odds = m / L::select(upper, p, one - p);
        let far = -ln(odds);

        let magnitude = L::select(splat::<L>(T::QUARTER).greater(m), far, near);
        let magnitude = L::select(m.equal(zero), splat(T::INFINITY), magnitude);
        Point {
            loss: L::select(upper, magnitude, zero - magnitude),
            ..Point::zero()
        }
    }
}
