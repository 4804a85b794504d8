//! The correctly rounded `f32` functions: every result is the formula's true
//! value, rounded once, to nearest even.
//!
//! Three steps, each with an error bound B: a result v stands if v - B and
//! v + B round to the same `f32`, subnormal or not; else the next step decides.
//!
//! 1. `f64` lanes, B = 2^-39 v (gradient: 2^-39 (q + |v|)): Sollya certifies
//!    2^-39.67 for the polynomial of e and 2^-40.82 for that of log1p; e enters
//!    q, q - q^2 and log1p(e) with at most its own relative error, and some ten
//!    roundings of 2^-53 fit in the rest. About one element in 2^14 goes on.
//! 2. Double-double lanes, with B = 2^-68 of what is not exact: t z, 1 - t and
//!    their sums are kept exactly, so that a linear part which is itself half-way
//!    between two `f32` is decided by the sign of the rest, however small.
//! 3. Integers with 384 bits of fraction, of which all errors together reach less
//!    than 32. 2^-150 <= e where a result can depend on more than the sign of e:
//!    that leaves 200 correct bits of e.
//!
//! That these bits decide every case is not proven, but a loss or a gradient would
//! have to come that close to a midpoint: by chance in one of 2^170 pairs that reach
//! the third step. No result is a midpoint or 0 exactly, so that no precision would do,
//! but the gradient at z = 0, which is 1/2 - t: elsewhere e^z is transcendental,
//! and so is ln(1 + e^z) (Lindemann and Weierstrass).

use crate::coeffs::{double, exact};
use crate::kernel::double::{Double, fast_two_sum, two_sum};
use crate::kernel::fixed::Fixed;
use crate::kernel::{ExpNeg, Point, Pointwise, Wanted, horner, limit, nan_like, splat};
use crate::lane::{Float, Isa, Job, Lane, MAX_WIDTH};

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
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn around(value: W, relative: f64, size: W) -> Self {
        Self {
            lower: size.fma(splat(-relative), value),
            upper: size.fma(splat(relative), value),
        }
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
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
    #[cfg_attr(not(debug_assertions), inline(always))]
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
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn differs(&self) -> (L, L) {
        let differs = |of: Bracket<L>| of.lower.xor_bits(of.upper);
        (
            differs(self.loss),
            differs(self.gradient).or_bits(differs(self.hessian)),
        )
    }

    /// From those of the two halves of an element lane.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn narrow(low: Brackets<L::Wide>, high: Brackets<L::Wide>) -> Self {
        Self {
            loss: Bracket::narrow(low.loss, high.loss),
            gradient: Bracket::narrow(low.gradient, high.gradient),
            hessian: Bracket::narrow(low.hessian, high.hessian),
        }
    }
}

#[cfg_attr(not(debug_assertions), inline(always))]
fn minus_magnitude<W: Lane<Real = f64>, const CLAMP: bool>(z: W) -> W {
    let minus_a = z.or_bits(splat(-0.0));
    if !CLAMP {
        return minus_a;
    }
    let lowest = splat::<W>(-FARTHEST);
    W::select(lowest.greater(minus_a), lowest, minus_a)
}

/// k + `ROUNDER`, k, and x - k ln 2 without the parts of ln 2 beyond `LN2_HI`: exact.
#[cfg_attr(not(debug_assertions), inline(always))]
fn reduce<W: Lane<Real = f64>>(x: W) -> (W, W, W) {
    let rounder = splat(f64::ROUNDER);
    let rounded = x.fma(splat(double::LOG2_E), rounder);
    let k = rounded - rounder;
    (rounded, k, k.neg_fma_cancelling(splat(double::LN2_HI), x))
}

#[cfg_attr(not(debug_assertions), inline(always))]
fn log1p<W: Lane<Real = f64>>(e: W) -> W {
    (horner(&exact::LOG1P, e) * e).fma(e, e)
}

/// The first step.
#[cfg_attr(not(debug_assertions), inline(always))]
fn quick<W: Lane<Real = f64>, const FULL: bool>(z: W, t: W, wanted: Wanted) -> Brackets<W> {
    const BOUND: f64 = f64::from_bits((1023 - 39) << 52);
    let (zero, one) = (splat::<W>(0.0), splat::<W>(1.0));
    let (rounded, k, r) = reduce(minus_magnitude::<W, FULL>(z));
    let r = k.neg_fma(splat(double::LN2_LO), r);
    let p = horner(&exact::EXP, r).fma(r, one).fma(r, one);
    let e = p.scale(rounded, k);

    let mut results = Brackets::zero();
    if wanted.losses() {
        let loss = t.neg_fma(z, z.max_or(zero)) + log1p(e);
        results.loss = Bracket::around(loss, BOUND, loss);
    }
    if wanted.derivatives() {
        let q = e / (one + e);
        let signed_q = q.xor_bits(z.and_bits(splat(-0.0)));
        let gradient = (z.select_negative(zero, one) - t) - signed_q;
        results.gradient = Bracket::around(gradient, BOUND, gradient.abs() + q);
        if wanted.has(Wanted::HESSIAN) {
            let hessian = q.neg_fma(q, q);
            results.hessian = Bracket::around(hessian, BOUND, hessian);
        }
    }
    results
}

/// linear + small, where `linear` is exact and `small` is known but for
/// 2^-68 of `size`.
#[cfg_attr(not(debug_assertions), inline(always))]
fn bracket<W: Lane<Real = f64>>(linear: Double<W>, small: Double<W>, size: W) -> Bracket<W> {
    const BOUND: f64 = f64::from_bits((1023 - 68) << 52);
    const LAST_PLACES: f64 = f64::from_bits((1023 - 50) << 52);
    let sum = two_sum(linear.high, small.high);
    let low = sum.low + (linear.low + small.low);
    // What the additions of the low parts may have rounded away.
    let rounded = (low.abs() + linear.low.abs()) * splat(LAST_PLACES);
    let bound = size.fma(splat(BOUND), rounded);
    let at = |low| {
        Double {
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

/// The second step.
#[cfg_attr(not(debug_assertions), inline(always))]
fn careful<W: Lane<Real = f64>, const LOSS: bool>(z: W, t: W) -> Brackets<W> {
    let (zero, one) = (splat::<W>(0.0), splat::<W>(1.0));
    let (_, k, r) = reduce(minus_magnitude::<W, true>(z));
    // k LN2_LO is split exactly; LN2_REST is below 2^-102.
    let product = k * splat(double::LN2_LO);
    let rest = k.fma_cancelling(splat(double::LN2_LO), -product);
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
    if LOSS {
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
        results.loss = bracket(linear, tail, tail.high);
    }
    if !LOSS {
        let sum = one_exactly.larger_plus(e);
        let high = e.high / sum.high;
        let residual = high.neg_fma_cancelling(sum.high, e.high);
        let residual = high.neg_fma(sum.low, residual + e.low);
        let q = fast_two_sum(high, residual * (one - high));

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
        results.gradient = bracket(linear, small, size);

        let square = q.times(q);
        let minus_square = Double {
            high: -square.high,
            low: -square.low,
        };
        results.hessian = bracket(q, minus_square, q.high);
    }
    results
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

/// The second and third steps on the lanes that need them, for the loss or for the
/// derivatives: where targets are at the stationary point, the gradient alone is undecided.
struct Resolve<'a, T, const LOSS: bool> {
    z: &'a [T],
    t: &'a [T],
    undecided: &'a [T],
    loss: &'a mut [T],
    gradient: &'a mut [T],
    hessian: &'a mut [T],
}

/// Writes the lower bounds to `to`; where the upper ones differ, what `certain` says.
#[cfg_attr(not(debug_assertions), inline(always))]
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
fn certain(z: f64, t: f64, wanted: Wanted) -> Option<f32> {
    let (z, t) = (z as f32, t as f32);
    if !z.is_finite() || !(0.0..=1.0).contains(&t) {
        return None;
    }
    let point = Certain::new(z, t);
    Some(match wanted {
        Wanted::GRADIENT => point.gradient(),
        Wanted::HESSIAN => point.hessian(),
        _ => point.loss(),
    })
}

impl<T: Float, const LOSS: bool> Job for Resolve<'_, T, LOSS> {
    type Output = ();

    #[cfg_attr(not(debug_assertions), inline(always))]
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
            let low = careful::<_, LOSS>(z_halves.0, t_halves.0);
            let high = if <T::Lane<I>>::HALVES == 2 {
                careful::<_, LOSS>(z_halves.1, t_halves.1)
            } else {
                low
            };
            let results = Brackets::<T::Lane<I>>::narrow(low, high);
            let element = |what: Wanted| {
                move |i: usize| certain(z.get(i)?.as_f64(), t.get(i)?.as_f64(), what)
            };
            if LOSS && let Some(to) = self.loss.get_mut(lane.clone()) {
                settle(results.loss, to, element(Wanted::LOSS));
            }
            if !LOSS && let Some(to) = self.gradient.get_mut(lane.clone()) {
                settle(results.gradient, to, element(Wanted::GRADIENT));
            }
            if !LOSS && let Some(to) = self.hessian.get_mut(lane) {
                settle(results.hessian, to, element(Wanted::HESSIAN));
            }
        }
    }
}

/// The correctly rounded loss, gradient and Hessian.
#[derive(Clone, Copy)]
pub(crate) struct Exact;

impl Exact {
    /// Stores the lanes, has the undecided ones computed anew, and loads them.
    #[cfg_attr(not(debug_assertions), inline(always))]
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
        if loss_undecided.exceeds_bits(zero) {
            let mut loss = stored(point.loss);
            z.run_outlined(Resolve::<_, true> {
                z: z_stored,
                t: &t_stored,
                undecided: &stored(loss_undecided),
                loss: &mut loss,
                gradient: &mut [],
                hessian: &mut [],
            });
            point.loss = L::load(&loss);
        }
        if rest_undecided.exceeds_bits(zero) {
            let (mut gradient, mut hessian) = (stored(point.gradient), stored(point.hessian));
            z.run_outlined(Resolve::<_, false> {
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

impl<T: Float> Pointwise<T> for Exact {
    const RARE: bool = true;
    const OF_EXP: bool = false;
    const IN_WINDOW: bool = true;
    const FAST_REMAINDER: bool = false;
    const MAIN_LOOP: bool = true;

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn finish<L: Lane<Real = T>, const FULL: bool>(
        &self,
        z: L,
        t: L,
        _: ExpNeg<L>,
        wanted: Wanted,
    ) -> Point<L> {
        let (z_halves, t_halves) = (z.widen(), t.widen());
        let low = quick::<_, FULL>(z_halves.0, t_halves.0, wanted);
        let high = if L::HALVES == 2 {
            quick::<_, FULL>(z_halves.1, t_halves.1, wanted)
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
