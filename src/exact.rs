//! The functions of one argument, correctly rounded in `f32`.
//!
//! Every result is the true value of the formula, rounded once, to nearest even:
//! at most half a unit in the last place off, and the same bits as from any other
//! correct implementation on any machine. Limits, NaN and errors are those of
//! [`sigmoid`](crate::sigmoid()), [`log_sigmoid`](crate::log_sigmoid()) and
//! [`softplus`](crate::softplus()). For loss, gradient and Hessian see
//! [`Bce::exact`](crate::Bce::exact).

// The correctly rounded `f32` functions: every result is the formula's true
// value, rounded once, to nearest even.
//
// Three steps, each with an error bound B: a result v stands if v - B and
// v + B round to the same `f32`, subnormal or not; else the next step decides.
//
// 1. `f64` lanes, B = 2^-39 v (gradient: 2^-39 (q + |v|)): Sollya certifies
//    2^-39.67 for the polynomial of e and 2^-40.82 for that of log1p; e enters
//    q, q - q^2 and log1p(e) with at most its own relative error, and some ten
//    roundings of 2^-53 fit in the rest. About one element in 2^14 goes on.
// 2. Double-double lanes, with B = 2^-68 of what is not exact: t z, 1 - t and
//    their sums are kept exactly, so that a linear part which is itself half-way
//    between two `f32` is decided by the sign of the rest, however small.
// 3. Integers with 384 bits of fraction, of which all errors together reach less
//    than 32. 2^-150 <= e where a result can depend on more than the sign of e:
//    that leaves 200 correct bits of e.
//
// That these bits decide every case is not proven, but a loss or a gradient would
// have to come that close to a midpoint: by chance in one of 2^170 pairs that reach
// the third step. No result is a midpoint or 0 exactly, so that no precision would do,
// but the gradient at z = 0, which is 1/2 - t: elsewhere e^z is transcendental,
// and so is ln(1 + e^z) (Lindemann and Weierstrass).

use crate::blocks::{DIVIDE, GRADIENT, HESSIAN, LOSS, MAX_WIDTH, SUM};
use crate::coeffs::{double, exact};
use crate::entry::{Call, Entries};
use crate::error::Error;
use crate::kernel::{Begun, Plain, Point, Pointwise, horner, limit, nan_like, splat};
use crate::lane::{Constants, Isa, Job, Lane};
use crate::slices::map;

/// Beyond, only the sign of e = e^-a matters: results are multiples of 2^-149
/// plus or minus something below 2^-288.
const FARTHEST: f64 = 200.0;

/// A true value lies between the two.
#[derive(Clone, Copy)]
struct Bracket<L> {
    lower: L,
    upper: L,
}

impl<W: Lane<Real = f64>> Bracket<W> {
    /// value -+ relative * size.
    #[inline(always)]
    fn around(value: W, relative: f64, size: W) -> Self {
        Self {
            lower: size.fma(splat(-relative), value),
            upper: size.fma(splat(relative), value),
        }
    }

    #[inline(always)]
    fn narrow<L: Lane<Wide = W>>(low: Self, high: Self) -> Bracket<L> {
        Bracket {
            lower: L::narrow(low.lower, high.lower),
            upper: L::narrow(low.upper, high.upper),
        }
    }
}

/// Brackets of what `WHAT` asks for; zero for the rest.
#[derive(Clone, Copy)]
struct Brackets<L> {
    loss: Bracket<L>,
    gradient: Bracket<L>,
    hessian: Bracket<L>,
}

impl<L: Lane> Brackets<L> {
    #[inline(always)]
    fn zero() -> Self {
        let zero = splat(L::Real::ZERO);
        let bracket = Bracket {
            lower: zero,
            upper: zero,
        };
        Self {
            loss: bracket,
            gradient: bracket,
            hessian: bracket,
        }
    }

    /// Not zero in the lanes where the loss, or gradient or Hessian, is undecided.
    #[inline(always)]
    fn differs(&self) -> (L, L) {
        let differs = |of: Bracket<L>| of.lower.xor_bits(of.upper);
        (
            differs(self.loss),
            differs(self.gradient).or_bits(differs(self.hessian)),
        )
    }

    /// From those of the two halves of an element lane.
    #[inline(always)]
    fn narrow(low: Brackets<L::Wide>, high: Brackets<L::Wide>) -> Self {
        Self {
            loss: Bracket::narrow(low.loss, high.loss),
            gradient: Bracket::narrow(low.gradient, high.gradient),
            hessian: Bracket::narrow(low.hessian, high.hessian),
        }
    }
}

#[inline(always)]
fn minus_magnitude<W: Lane<Real = f64>, const CLAMP: bool>(z: W) -> W {
    let minus_a = z.or_bits(splat(-0.0));
    if !CLAMP {
        return minus_a;
    }
    let lowest = splat::<W>(-FARTHEST);
    W::select(lowest.greater(minus_a), lowest, minus_a)
}

/// k + `ROUNDER`, k, and x - k ln 2 without the parts of ln 2 beyond `LN2_HI`: exact.
#[inline(always)]
fn reduce<W: Lane<Real = f64>>(x: W) -> (W, W, W) {
    let rounder = splat(f64::ROUNDER);
    let rounded = x.fma(splat(double::LOG2_E), rounder);
    let k = rounded - rounder;
    (rounded, k, k.neg_fma(splat(double::LN2_HI), x))
}

#[inline(always)]
fn log1p<W: Lane<Real = f64>>(e: W) -> W {
    (horner(&exact::LOG1P, e) * e).fma(e, e)
}

/// The first step.
#[inline(always)]
fn quick<W: Lane<Real = f64>, const WHAT: u8, const FULL: bool>(z: W, t: W) -> Brackets<W> {
    const BOUND: f64 = f64::from_bits((1023 - 39) << 52);
    let (zero, one) = (splat::<W>(0.0), splat::<W>(1.0));
    let (rounded, k, r) = reduce(minus_magnitude::<W, FULL>(z));
    let r = k.neg_fma(splat(double::LN2_LO), r);
    let p = horner(&exact::EXP, r).fma(r, one).fma(r, one);
    let e = p.scale(rounded, k);

    let mut results = Brackets::zero();
    if WHAT & (LOSS | SUM) != 0 {
        let loss = t.neg_fma(z, z.max_or(zero)) + log1p(e);
        results.loss = Bracket::around(loss, BOUND, loss);
    }
    let q = e / (one + e);
    if WHAT & GRADIENT != 0 {
        let signed_q = q.xor_bits(z.and_bits(splat(-0.0)));
        let gradient = (z.select_negative(zero, one) - t) - signed_q;
        results.gradient = Bracket::around(gradient, BOUND, gradient.abs() + q);
    }
    if WHAT & HESSIAN != 0 {
        let hessian = q.neg_fma(q, q);
        results.hessian = Bracket::around(hessian, BOUND, hessian);
    }
    results
}

/// An unevaluated sum; `low` is of the order of `high`'s last place.
#[derive(Clone, Copy)]
pub(crate) struct Double<W> {
    pub(crate) high: W,
    pub(crate) low: W,
}

/// a + b, exactly.
#[inline(always)]
pub(crate) fn two_sum<W: Lane>(a: W, b: W) -> Double<W> {
    let high = a + b;
    let back = high - a;
    let low = (a - (high - back)) + (b - back);
    Double { high, low }
}

/// a + b, exactly, where a is 0 or at least of b's exponent.
#[inline(always)]
fn fast_two_sum<W: Lane>(a: W, b: W) -> Double<W> {
    let high = a + b;
    let low = b - (high - a);
    Double { high, low }
}

impl<W: Lane<Real = f64>> Double<W> {
    /// Error below 2^-102 of the product, as of `larger_plus`'s sum.
    #[inline(always)]
    fn times(self, other: Self) -> Self {
        let high = self.high * other.high;
        let rest = self.high.fma(other.high, -high);
        let low = self.high.fma(other.low, self.low.fma(other.high, rest));
        fast_two_sum(high, low)
    }

    /// self + other, where self is the larger.
    #[inline(always)]
    fn larger_plus(self, other: Self) -> Self {
        let sum = fast_two_sum(self.high, other.high);
        fast_two_sum(sum.high, sum.low + (self.low + other.low))
    }

    /// e^self - 1 for |self| <= ln(2)/2, by its series: relative error below 2^-71.
    #[inline(always)]
    fn expm1(self) -> Self {
        let mut sum = Self {
            high: horner(&exact::EXPM1_END, self.high),
            low: splat(0.0),
        };
        let mut first = true;
        for (&high, &low) in exact::EXPM1_HI.iter().zip(&exact::EXPM1_LO).rev() {
            let product = if first {
                // 2^-5 of the coefficient: one rounding is far enough down.
                Self {
                    high: sum.high * self.high,
                    low: splat(0.0),
                }
            } else {
                self.times(sum)
            };
            first = false;
            let coefficient = Self {
                high: splat(high),
                low: splat(low),
            };
            sum = coefficient.larger_plus(product);
        }
        for coefficient in [0.5, 1.0] {
            let coefficient = Self {
                high: splat(coefficient),
                low: splat(0.0),
            };
            sum = coefficient.larger_plus(self.times(sum));
        }
        self.times(sum)
    }

    /// Rounded to odd: a later rounding to `f32` is then that of the exact sum.
    #[inline(always)]
    fn to_odd(self) -> W {
        let sum = two_sum(self.high, self.low);
        let last = splat::<W>(f64::from_bits(1));
        let opposite = sum.low.xor_bits(sum.high);
        let cut = opposite.select_negative(sum.high.sub_bits(last), sum.high);
        W::select(sum.low.equal(splat(0.0)), sum.high, cut.or_bits(last))
    }

    /// linear + small, where `linear` is exact and `small` is known but for
    /// 2^-68 of `size`.
    #[inline(always)]
    fn bracket(linear: Self, small: Self, size: W) -> Bracket<W> {
        const BOUND: f64 = f64::from_bits((1023 - 68) << 52);
        const LAST_PLACES: f64 = f64::from_bits((1023 - 50) << 52);
        let sum = two_sum(linear.high, small.high);
        let low = sum.low + (linear.low + small.low);
        // What the additions of the low parts may have rounded away.
        let rounded = (low.abs() + linear.low.abs()) * splat(LAST_PLACES);
        let bound = size.fma(splat(BOUND), rounded);
        let at = |low| {
            Self {
                high: sum.high,
                low,
            }
            .to_odd()
        };
        Bracket {
            lower: at(low - bound),
            upper: at(low + bound),
        }
    }
}

/// The second step.
#[inline(always)]
fn careful<W: Lane<Real = f64>, const WHAT: u8>(z: W, t: W) -> Brackets<W> {
    let (zero, one) = (splat::<W>(0.0), splat::<W>(1.0));
    let (_, k, r) = reduce(minus_magnitude::<W, true>(z));
    // k LN2_LO is split exactly; LN2_REST is below 2^-102.
    let product = k * splat(double::LN2_LO);
    let rest = k.fma(splat(double::LN2_LO), -product);
    let rest = k.fma(splat(exact::LN2_REST), rest);
    let r = two_sum(r, -product);
    let r = fast_two_sum(r.high, r.low - rest);
    let power = one.scale(k + splat(f64::ROUNDER), k);
    let one_exactly = Double {
        high: one,
        low: zero,
    };
    let e = one_exactly.larger_plus(r.expm1());
    let e = Double {
        high: e.high * power,
        low: e.low * power,
    };

    let mut results = Brackets::zero();
    if WHAT & (LOSS | SUM) != 0 {
        // With y near log1p(e) and v = e^-y - 1: log1p(e) = y + log1p(d),
        // d = (1 + e) (1 + v) - 1 = (e + v) + e v, below 2^-38 y.
        let y = log1p(e.high);
        let half = Double {
            high: y * splat(-0.5),
            low: zero,
        };
        let half = half.expm1();
        let two = Double {
            high: splat(2.0),
            low: zero,
        };
        let v = half.times(two.larger_plus(half));
        let product = e.times(v);
        let sum = two_sum(e.high, v.high);
        let d = two_sum(sum.high, product.high);
        let d_low = d.low + (sum.low + (e.low + v.low) + product.low);
        let d_high = d.high + d_low;
        let d_low = (d.high - d_high) + d_low;
        let d_low = (d_high * d_high).fma(splat(-0.5), d_low);
        let tail = fast_two_sum(y, d_high);
        let tail = Double {
            high: tail.high,
            low: tail.low + d_low,
        };

        let base = z.max_or(zero);
        let product = t * z;
        let linear = base - product;
        let linear = Double {
            high: linear,
            low: (base - linear) - product,
        };
        results.loss = Double::bracket(linear, tail, tail.high);
    }
    if WHAT & (GRADIENT | HESSIAN) != 0 {
        let sum = one_exactly.larger_plus(e);
        let high = e.high / sum.high;
        let residual = high.neg_fma(sum.high, e.high);
        let residual = high.neg_fma(sum.low, residual + e.low);
        let q = fast_two_sum(high, residual * (one - high));

        if WHAT & GRADIENT != 0 {
            let positive = z.xor_bits(splat(-0.0)).and_bits(splat(-0.0));
            let step = z.select_negative(zero, one);
            let linear = step - t;
            let linear = Double {
                high: linear,
                low: (step - linear) - t,
            };
            let small = Double {
                high: q.high.xor_bits(positive),
                low: q.low.xor_bits(positive),
            };
            // At z = 0 all is exact.
            let size = W::select(z.equal(zero), zero, q.high);
            results.gradient = Double::bracket(linear, small, size);
        }
        if WHAT & HESSIAN != 0 {
            let square = q.times(q);
            let minus_square = Double {
                high: -square.high,
                low: -square.low,
            };
            results.hessian = Double::bracket(q, minus_square, q.high);
        }
    }
    results
}

/// An integer times 2^-384, below 2^128; the limbs from the lowest on.
#[derive(Clone, Copy, PartialEq)]
struct Fixed([u64; 8]);

impl Fixed {
    const LIMBS: usize = 8;
    const FRACTION_LIMBS: usize = 6;
    const FRACTION_BITS: i32 = 384;
    const ZERO: Self = Self([0; 8]);
    const ONE: Self = Self([0, 0, 0, 0, 0, 0, 1, 0]);
    /// 2 atanh(1/3).
    const LN_2: Self = {
        let mut power = Self::ONE.divided_by(3);
        let mut sum = power;
        let mut n = 3;
        while n < 260 {
            power = power.divided_by(9);
            sum = sum.plus(power.divided_by(n));
            n += 2;
        }
        sum.plus(sum)
    };

    const fn plus(self, other: Self) -> Self {
        let mut sum = [0; Self::LIMBS];
        let mut carry = 0;
        let mut i = 0;
        while i < Self::LIMBS {
            let limb = self.0[i] as u128 + other.0[i] as u128 + carry;
            sum[i] = limb as u64;
            carry = limb >> 64;
            i += 1;
        }
        Self(sum)
    }

    /// For other <= self.
    fn minus(self, other: Self) -> Self {
        let mut complement = other;
        for limb in &mut complement.0 {
            *limb = !*limb;
        }
        self.plus(complement).plus(Self([1, 0, 0, 0, 0, 0, 0, 0]))
    }

    fn less(self, other: Self) -> bool {
        self.0.iter().rev().lt(other.0.iter().rev())
    }

    const fn divided_by(self, divisor: u64) -> Self {
        if divisor == 0 {
            return Self::ZERO; // never; else a division could panic
        }
        let mut quotient = [0; Self::LIMBS];
        let mut rest = 0;
        let mut i = Self::LIMBS;
        while i > 0 {
            i -= 1;
            let part = (rest << 64) | self.0[i] as u128;
            quotient[i] = (part / divisor as u128) as u64;
            rest = part % divisor as u128;
        }
        Self(quotient)
    }

    fn times(self, other: Self) -> Self {
        let mut product = [0_u64; 2 * Self::LIMBS];
        for (i, &a) in self.0.iter().enumerate() {
            let mut carry = 0;
            for (to, &b) in product[i..].iter_mut().zip(&other.0) {
                let limb = u128::from(a) * u128::from(b) + u128::from(*to) + carry;
                *to = limb as u64;
                carry = limb >> 64;
            }
            if let Some(to) = product.get_mut(i + Self::LIMBS) {
                *to = carry as u64;
            }
        }
        let mut result = Self::ZERO;
        for (to, &from) in result.0.iter_mut().zip(&product[Self::FRACTION_LIMBS..]) {
            *to = from;
        }
        result
    }

    /// self / other, bit by bit, for self < other < 2^127.
    fn over(self, other: Self) -> Self {
        let (mut quotient, mut rest) = (Self::ZERO, self);
        for _ in 0..Self::FRACTION_BITS {
            quotient = quotient.plus(quotient);
            rest = rest.plus(rest);
            if !rest.less(other) {
                rest = rest.minus(other);
                quotient.0[0] |= 1;
            }
        }
        quotient
    }

    /// The bits of `mantissa` from the place `place` on, counted from the lowest.
    fn placed(mantissa: u64, place: usize) -> Self {
        let mut result = Self::ZERO;
        let wide = u128::from(mantissa) << (place % 64);
        for (limb, part) in [
            (place / 64, wide as u64),
            (place / 64 + 1, (wide >> 64) as u64),
        ] {
            if let Some(to) = result.0.get_mut(limb) {
                *to = part;
            }
        }
        result
    }

    /// A finite, non-negative number.
    fn of(value: f32) -> Self {
        let bits = value.to_bits();
        let (field, fraction) = (bits >> 23 & 0xff, bits & 0x7f_ffff);
        let normal = u32::from(field != 0);
        let place = Self::FRACTION_BITS - 149 + field.saturating_sub(1) as i32;
        Self::placed(u64::from(fraction | normal << 23), place as usize)
    }

    fn halved(self, times: u32) -> Self {
        let (limbs, bits) = ((times / 64) as usize, times % 64);
        let mut result = Self::ZERO;
        for (i, to) in result.0.iter_mut().enumerate() {
            let limb = |at: usize| self.0.get(at).copied().unwrap_or(0);
            let wide = u128::from(limb(i + limbs)) | u128::from(limb(i + limbs + 1)) << 64;
            *to = (wide >> bits) as u64;
        }
        result
    }

    /// The nearest `f32`, ties to even.
    fn to_f32(self) -> f32 {
        let Some(top) = self.0.iter().rposition(|&limb| limb != 0) else {
            return 0.0;
        };
        let highest = top as i32 * 64 + 63 - self.0[top].leading_zeros() as i32;
        // The places of the last bit kept, and of 2^-149.
        let last = (highest - 23).max(Self::FRACTION_BITS - 149);
        let kept = self.halved(last as u32).0[0];
        let rest = self.minus(Self::placed(kept, last as usize));
        let half = Self::placed(1, last as usize - 1);
        let up = half.less(rest) || rest == half && kept & 1 == 1;
        let scale = f64::from_bits(((1023 + last - Self::FRACTION_BITS) as u64) << 52);
        ((kept + u64::from(up)) as f64 * scale) as f32
    }

    /// e^-self for self <= `FARTHEST`.
    fn exp_of_minus(self) -> Self {
        let (mut multiple, mut k) = (Self::ZERO, 0);
        while multiple.less(self) {
            multiple = multiple.plus(Self::LN_2);
            k += 1;
        }
        let r = multiple.minus(self);
        let (mut term, mut sum) = (Self::ONE, Self::ONE);
        for n in 1..128 {
            term = term.times(r).divided_by(n);
            sum = sum.plus(term);
        }
        sum.halved(k)
    }

    /// ln(1 + self) = 2 atanh(self / (2 + self)) for self <= 1.
    fn log1p(self) -> Self {
        let x = self.over(Self::ONE.plus(Self::ONE).plus(self));
        let square = x.times(x);
        let (mut power, mut sum) = (x, x);
        for n in (3..260).step_by(2) {
            power = power.times(square);
            sum = sum.plus(power.divided_by(n));
        }
        sum.plus(sum)
    }

    /// The difference's sign and magnitude.
    fn difference(self, other: Self) -> (bool, Self) {
        if self.less(other) {
            (true, other.minus(self))
        } else {
            (false, self.minus(other))
        }
    }
}

/// The third step, on one element with finite z and t in [0, 1].
struct Certain {
    z: f32,
    t: Fixed,
    q: Fixed,
    e: Fixed,
}

impl Certain {
    fn new(z: f32, t: f32) -> Self {
        let e = Fixed::of(z.abs().min(FARTHEST as f32)).exp_of_minus();
        Self {
            z,
            t: Fixed::of(t),
            q: e.over(Fixed::ONE.plus(e)),
            e,
        }
    }

    fn loss(&self) -> f32 {
        let a = Fixed::of(self.z.abs());
        let product = self.t.times(a);
        let linear = if self.z < 0.0 {
            product
        } else {
            a.minus(product)
        };
        linear.plus(self.e.log1p()).to_f32()
    }

    fn gradient(&self) -> f32 {
        if self.z.abs() < f32::from_bits((127 - 40) << 23) && self.t == Fixed::of(0.5) {
            // z/4 - z^3/48 + ...: less than z/4 by less than an `f64` shows.
            let quarter = f64::from(self.z.abs()) * 0.25;
            let below = f64::from_bits(quarter.to_bits().saturating_sub(1)) as f32;
            return if self.z < 0.0 { -below } else { below };
        }
        let (negative, magnitude) = if self.z < 0.0 {
            self.q.difference(self.t)
        } else {
            Fixed::ONE.minus(self.t).difference(self.q)
        };
        let rounded = magnitude.to_f32();
        if negative { -rounded } else { rounded }
    }

    fn hessian(&self) -> f32 {
        self.q.minus(self.q.times(self.q)).to_f32()
    }
}

/// The second and third steps on the lanes that need them. `WHAT` is `LOSS` or
/// `REST`: where targets are at the stationary point, the gradient alone is undecided.
struct Resolve<'a, T, const WHAT: u8> {
    z: &'a [T],
    t: &'a [T],
    undecided: &'a [T],
    loss: &'a mut [T],
    gradient: &'a mut [T],
    hessian: &'a mut [T],
}

/// Writes the lower bounds to `to`; where the upper ones differ, what `certain` says.
#[inline(always)]
fn settle<L: Lane>(
    bracket: Bracket<L>,
    to: &mut [L::Real],
    certain: impl Fn(usize) -> Option<f32>,
) {
    let width = L::WIDTH;
    bracket.lower.store(to);
    let differs = bracket.lower.xor_bits(bracket.upper);
    if !differs.exceeds_bits(splat(L::Real::ZERO)) {
        return;
    }
    let mut bits = [L::Real::ZERO; MAX_WIDTH];
    differs.store(&mut bits);
    for (i, (to, bits)) in to.iter_mut().zip(bits).take(width).enumerate() {
        if bits.pattern() != 0
            && let Some(value) = certain(i)
        {
            *to = L::Real::of_f64(f64::from(value));
        }
    }
}

/// The third step for one element, if its inputs are ordinary.
#[cold]
#[inline(never)]
fn certain(z: f64, t: f64, what: u8) -> Option<f32> {
    let (z, t) = (z as f32, t as f32);
    if !z.is_finite() || !(0.0..=1.0).contains(&t) {
        return None;
    }
    let point = Certain::new(z, t);
    Some(match what {
        GRADIENT => point.gradient(),
        HESSIAN => point.hessian(),
        _ => point.loss(),
    })
}

impl<T: Constants, const WHAT: u8> Job for Resolve<'_, T, WHAT> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, _: I) {
        let width = <T::Lane<I>>::WIDTH;
        let zero = splat::<T::Lane<I>>(T::ZERO);
        let (mut z, mut t) = (self.z.chunks_exact(width), self.t.chunks_exact(width));
        let mut undecided = self.undecided.chunks_exact(width);
        let mut at = 0;
        // Zipped, they divide by `width` where that is not inlined.
        while let (Some(z), Some(t), Some(undecided)) = (z.next(), t.next(), undecided.next()) {
            let lane = at..at + width;
            at += width;
            if !<T::Lane<I>>::load(undecided).exceeds_bits(zero) {
                continue;
            }
            let (z_halves, t_halves) =
                (<T::Lane<I>>::load_widened(z), <T::Lane<I>>::load_widened(t));
            let low = careful::<_, WHAT>(z_halves.0, t_halves.0);
            let high = if <T::Lane<I>>::HALVES == 2 {
                careful::<_, WHAT>(z_halves.1, t_halves.1)
            } else {
                low
            };
            let results = Brackets::<T::Lane<I>>::narrow(low, high);
            let element =
                |what: u8| move |i: usize| certain(z.get(i)?.as_f64(), t.get(i)?.as_f64(), what);
            if WHAT == LOSS
                && let Some(to) = self.loss.get_mut(lane.clone())
            {
                settle(results.loss, to, element(LOSS));
            }
            if WHAT == REST
                && let Some(to) = self.gradient.get_mut(lane.clone())
            {
                settle(results.gradient, to, element(GRADIENT));
            }
            if WHAT == REST
                && let Some(to) = self.hessian.get_mut(lane)
            {
                settle(results.hessian, to, element(HESSIAN));
            }
        }
    }
}

/// The correctly rounded loss, gradient and Hessian: those of them that `WHAT`,
/// the walk's, asks for.
#[derive(Clone, Copy)]
pub(crate) struct Exact<const WHAT: u8>;

const REST: u8 = GRADIENT | HESSIAN;

impl<const WHAT: u8> Exact<WHAT> {
    /// Stores the lanes, has the undecided ones computed anew, and loads them.
    #[inline(always)]
    fn resolve<L: Lane>(
        z: L,
        t: L,
        (loss_undecided, rest_undecided): (L, L),
        point: &mut Point<L>,
    ) {
        let zero = splat::<L>(L::Real::ZERO);
        let stored = |lane: L| {
            let mut elements = [L::Real::ZERO; MAX_WIDTH];
            lane.store(&mut elements);
            elements
        };
        let (z_stored, t_stored) = (stored(z), stored(t));
        let z_stored = z_stored.get(..L::WIDTH).unwrap_or(&[]);
        if WHAT & (LOSS | SUM) != 0 && loss_undecided.exceeds_bits(zero) {
            let mut loss = stored(point.loss);
            z.apart(Resolve::<_, LOSS> {
                z: z_stored,
                t: &t_stored,
                undecided: &stored(loss_undecided),
                loss: &mut loss,
                gradient: &mut [],
                hessian: &mut [],
            });
            point.loss = L::load(&loss);
        }
        if WHAT & REST != 0 && rest_undecided.exceeds_bits(zero) {
            let (mut gradient, mut hessian) = (stored(point.gradient), stored(point.hessian));
            z.apart(Resolve::<_, REST> {
                z: z_stored,
                t: &t_stored,
                undecided: &stored(rest_undecided),
                loss: &mut [],
                gradient: &mut gradient,
                hessian: &mut hessian,
            });
            point.gradient = L::load(&gradient);
            point.hessian = L::load(&hessian);
        }
    }
}

impl<T: Constants, const WHAT: u8> Pointwise<T> for Exact<WHAT> {
    const READS_TARGET: bool = true;
    const OPTIONS: bool = false;

    #[inline(always)]
    fn finish<L: Lane<Real = T>, const FULL: bool>(&self, z: L, t: L, _: Begun<L>) -> Point<L> {
        if T::FRACTION_BITS != f32::FRACTION_BITS {
            // `Bce::exact` exists for f32 alone; this is never reached.
            return Plain.at::<L, FULL>(z, t);
        }
        let (z_halves, t_halves) = (z.widen(), t.widen());
        let low = quick::<_, WHAT, FULL>(z_halves.0, t_halves.0);
        let high = if L::HALVES == 2 {
            quick::<_, WHAT, FULL>(z_halves.1, t_halves.1)
        } else {
            low
        };
        let results = Brackets::<L>::narrow(low, high);
        let zero = splat::<L>(T::ZERO);
        let mut point = Point {
            loss: results.loss.lower,
            gradient: results.gradient.lower,
            hessian: results.hessian.lower,
        };
        let (mut loss, mut rest) = results.differs();
        if FULL {
            let finite = splat::<L>(T::INFINITY).greater(z.abs());
            loss = L::select(finite, loss, zero);
            rest = L::select(finite, rest, zero);
        }
        if loss.or_bits(rest).exceeds_bits(zero) {
            Self::resolve(z, t, (loss, rest), &mut point);
        }
        if FULL {
            let one = splat::<L>(T::ONE);
            let minus_a = z.or_bits(splat(T::SIGN_BIT));
            let infinite = minus_a.equal(-splat::<L>(T::INFINITY));
            let factor = z.select_negative(t, one - t);
            let step = z.select_negative(zero, one);
            point = Point {
                loss: limit::<L, FULL>(minus_a, factor, point.loss),
                gradient: L::select(infinite, step - t, point.gradient),
                hessian: L::select(infinite, zero, point.hessian),
            };
            point = Point {
                loss: nan_like::<L, FULL>(z, point.loss),
                gradient: nan_like::<L, FULL>(z, point.gradient),
                hessian: nan_like::<L, FULL>(z, point.hessian),
            };
        }
        point
    }
}

/// `Exact` at the target 0 or, with the sign of the loss changed, 1.
#[derive(Clone, Copy)]
struct OfLogit<const WHAT: u8> {
    at_one: bool,
}

impl<T: Constants, const WHAT: u8> Pointwise<T> for OfLogit<WHAT> {
    const READS_TARGET: bool = false;
    const OPTIONS: bool = false;

    #[inline(always)]
    fn finish<L: Lane<Real = T>, const FULL: bool>(&self, z: L, _: L, _: Begun<L>) -> Point<L> {
        let target = if self.at_one { T::ONE } else { T::ZERO };
        let mut point = Exact::<WHAT>.at::<L, FULL>(z, splat(target));
        if self.at_one {
            point.loss = -point.loss;
        }
        if WHAT == GRADIENT {
            point.loss = point.gradient;
        }
        point
    }
}

#[inline(always)]
fn walk<const WHAT: u8>(call: Call<'_, f32>) -> Result<(), Error> {
    call.walk_or::<_, _, WHAT>(Exact::<WHAT>, Exact::<{ LOSS | REST }>)
}

/// The operation `what` of [`Bce::exact`](crate::Bce::exact).
pub(crate) fn run(what: u8, call: Call<'_, f32>) -> Result<(), Error> {
    const SUM_GRADIENT: u8 = SUM | GRADIENT;
    const MEAN_GRADIENT: u8 = SUM | GRADIENT | DIVIDE;
    const GRADIENT_HESSIAN: u8 = GRADIENT | HESSIAN;
    const SUM_GRADIENT_HESSIAN: u8 = SUM | GRADIENT | HESSIAN;
    match what {
        LOSS => walk::<LOSS>(call),
        SUM => walk::<SUM>(call),
        GRADIENT => walk::<GRADIENT>(call),
        SUM_GRADIENT => walk::<SUM_GRADIENT>(call),
        MEAN_GRADIENT => walk::<MEAN_GRADIENT>(call),
        GRADIENT_HESSIAN => walk::<GRADIENT_HESSIAN>(call),
        SUM_GRADIENT_HESSIAN => walk::<SUM_GRADIENT_HESSIAN>(call),
        _ => f32::check(call),
    }
}

/// sigma(z) = 1/(1 + e^-z), correctly rounded.
///
/// # Errors
/// [`Error::LengthMismatch`], before anything is written.
///
/// ```
/// let mut p = [0.0; 3];
/// soft_bce::exact::sigmoid(&[0.0, 1.0, f32::INFINITY], &mut p)?;
/// assert_eq!(p, [0.5, 0.731_058_6, 1.0]);
/// # Ok::<(), soft_bce::Error>(())
/// ```
pub fn sigmoid(z: &[f32], out: &mut [f32]) -> Result<(), Error> {
    map(
        |call| call.walk::<_, LOSS>(OfLogit::<GRADIENT> { at_one: false }),
        z,
        out,
    )
}

/// ln sigma(z) = -softplus(-z), correctly rounded.
///
/// # Errors
/// [`Error::LengthMismatch`], before anything is written.
///
/// ```
/// let mut y = [0.0; 2];
/// soft_bce::exact::log_sigmoid(&[0.0, -1000.0], &mut y)?;
/// assert_eq!(y, [-std::f32::consts::LN_2, -1000.0]);
/// # Ok::<(), soft_bce::Error>(())
/// ```
pub fn log_sigmoid(z: &[f32], out: &mut [f32]) -> Result<(), Error> {
    map(
        |call| call.walk::<_, LOSS>(OfLogit::<LOSS> { at_one: true }),
        z,
        out,
    )
}

/// softplus(z) = ln(1 + e^z), correctly rounded.
///
/// # Errors
/// [`Error::LengthMismatch`], before anything is written.
///
/// ```
/// let mut y = [0.0; 2];
/// soft_bce::exact::softplus(&[0.0, -200.0], &mut y)?;
/// assert_eq!(y, [std::f32::consts::LN_2, 0.0]);
/// # Ok::<(), soft_bce::Error>(())
/// ```
pub fn softplus(z: &[f32], out: &mut [f32]) -> Result<(), Error> {
    map(
        |call| call.walk::<_, LOSS>(OfLogit::<LOSS> { at_one: false }),
        z,
        out,
    )
}
