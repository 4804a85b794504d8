//! The correctly rounded `f32` functions: every result is the formula's true
//! value, rounded once, to nearest even.
//!
//! Three steps, each with an error bound B: a result v stands if v - B and
//! v + B round to the same `f32`, subnormal or not; else the next step decides.
//!
//! 1. `f64` lanes, with near = z < 0 ? t : 1 - t and a = |z|: loss = near a + log1p(e), no
//!    term of which is negative, gradient = +-(near - q) and Hessian = q - q^2. Sollya
//!    certifies 2^-40.23 for the polynomial of e and 2^-41.24 for that of log1p; e enters q,
//!    q - q^2 and log1p(e) with at most its own relative error, r = -a - k ln 2 is off by less
//!    than 2^-46, and a dozen roundings of 2^-53 fit in the rest of B = 1.25e-12 v (gradient:
//!    2^-40 (near + q)). About one element in 2^14 goes on.
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
use crate::kernel::{Begun, ExpNeg, Point, Pointwise, Wanted};
use crate::kernel::{horner_abreast, limit, nan_like, splat};
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
}

impl<L: Lane> Bracket<L> {
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn narrow(low: Bracket<L::Wide>, high: Bracket<L::Wide>) -> Self {
        Self {
            lower: L::narrow(low.lower, high.lower),
            upper: L::narrow(low.upper, high.upper),
        }
    }
}

#[cfg_attr(not(debug_assertions), inline(always))]
fn minus_magnitude<W: Lane<Real = f64>, const CLAMP: bool>(z: W) -> W {
    let minus_a = z.or_bits(W::splat_kept(-0.0));
    if !CLAMP {
        return minus_a;
    }
    let lowest = splat::<W>(-FARTHEST);
    W::select(lowest.greater(minus_a), lowest, minus_a)
}

/// 1.5 2^52.
const ROUNDER: f64 = 6_755_399_441_055_744.0;

/// k + `ROUNDER` and k = x/ln 2, rounded to an integer.
#[cfg_attr(not(debug_assertions), inline(always))]
fn nearest_power<W: Lane<Real = f64>>(x: W) -> (W, W) {
    let rounder = W::splat_kept(ROUNDER);
    let rounded = x.fma(W::splat_kept(exact::LOG2_E), rounder);
    (rounded, rounded - rounder)
}

/// `horner_abreast` of the halves of an `L`, side by side.
#[cfg_attr(not(debug_assertions), inline(always))]
fn horner_2<L: Lane, W: Lane>(coefficients: &[W::Real], [x, y]: [W; 2]) -> [W; 2] {
    if L::HALVES == 1 {
        return [horner_abreast(coefficients, x); 2];
    }
    let mut sums: [W; 2] = [splat(W::Real::ZERO); 2];
    let mut first = true;
    for &c in coefficients.iter().rev() {
        sums = if first {
            [W::splat_kept(c); 2]
        } else {
            let [a, b] = sums;
            let c = W::splat_kept(c);
            W::abreast_2(a.fma_near(x, c), b.fma_near(y, c)).into()
        };
        first = false;
    }
    sums
}

/// log1p(e), where q = e/(1 + e).
#[cfg_attr(not(debug_assertions), inline(always))]
fn log1p<L: Lane, W: Lane<Real = f64>>([e, f]: [W; 2], [q, r]: [W; 2]) -> [W; 2] {
    let w = e - q;
    let half = W::splat_kept(0.5);
    if L::HALVES == 1 {
        let a = horner_abreast(&exact::LOG1P, w).fma(e + q, half);
        return [w.neg_fma(a, e); 2];
    }
    let x = f - r;
    let [a, b] = horner_2::<L, W>(&exact::LOG1P, [w, x]);
    let (a, b) = (a.fma(e + q, half), b.fma(f + r, half));
    [w.neg_fma(a, e), x.neg_fma(b, f)]
}

/// The longest part of the first step, but for the division.
#[cfg_attr(not(debug_assertions), inline(always))]
fn begin<L: Lane, const FULL: bool>(halves: (L::Wide, L::Wide)) -> [Begun<L::Wide>; 2] {
    let two = L::HALVES == 2;
    let (y, z) = halves;
    let x = minus_magnitude::<_, FULL>(y);
    let w = if two {
        minus_magnitude::<_, FULL>(z)
    } else {
        x
    };
    let (p, k) = nearest_power(x);
    let (q, l) = if two { nearest_power(w) } else { (p, k) };
    let ln2 = L::Wide::splat_kept(exact::LN2);
    let r = k.neg_fma(ln2, x);
    let s = if two { l.neg_fma(ln2, w) } else { r };
    let [e, f] = horner_2::<L, _>(&exact::EXP, [r, s]);
    let mut low = Begun::nothing();
    (low.z, low.e) = (y, e.scale(p, k));
    let mut high = low;
    if two {
        (high.z, high.e) = (z, f.scale(q, l));
    }
    [low, high]
}

/// The first step, for half of the elements of a lane.
#[derive(Clone, Copy)]
struct Quick<W> {
    minus_a: W,
    near: W,
    e: W,
    q: W,
}

impl<W: Lane<Real = f64>> Quick<W> {
    /// Of loss and Hessian, relative.
    const BOUND: f64 = 1.25e-12;
    /// The same in units of the last place, and one more.
    const BOUND_UNITS: u64 = 11_260;
    /// Of the gradient, relative to near + q.
    const GRADIENT_BOUND: f64 = f64::from_bits((1023 - 40) << 52);

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn new(Begun { z, e, q }: Begun<W>, t: W) -> Self {
        Self {
            minus_a: z.or_bits(W::splat_kept(-0.0)),
            near: z.select_negative(t, W::splat_kept(1.0) - t),
            e,
            q,
        }
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn losses<L: Lane>([low, high]: [Self; 2]) -> [W; 2] {
        let [x, y] = log1p::<L, W>([low.e, high.e], [low.q, high.q]);
        let loss = low.near.neg_fma(low.minus_a, x);
        if L::HALVES == 1 {
            return [loss; 2];
        }
        [loss, high.near.neg_fma(high.minus_a, y)]
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn hessian(self) -> W {
        self.q.neg_fma(self.q, self.q)
    }

    /// Of the gradient where z >= 0, of minus the gradient where z < 0.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn gradient(self) -> Bracket<W> {
        Bracket::around(self.near - self.q, Self::GRADIENT_BOUND, self.near + self.q)
    }
}

/// A lane whose bit patterns are above `decided` where a result may be misrounded.
#[derive(Clone, Copy)]
struct Undecided<L: Lane> {
    lane: L,
    decided: L,
}

impl<L: Lane> Undecided<L> {
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn differ<const FULL: bool>(z: L, bracket: Bracket<L>) -> Self {
        let zero = splat::<L>(L::Real::ZERO);
        let lane = bracket.lower.xor_bits(bracket.upper);
        Self {
            lane: if FULL {
                // Limits are known.
                L::select(splat::<L>(L::Real::INFINITY).greater(z.abs()), lane, zero)
            } else {
                lane
            },
            decided: zero,
        }
    }

    /// For positive results with `Quick::BOUND`: without `FULL` they are normal, and undecided
    /// near the midpoint between two `f32`, whose 29 bits beyond those of an `f32` are 2^28.
    /// Elements are not in their own places.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn positive<const FULL: bool>(z: L, low: L::Wide, high: L::Wide) -> Self {
        if FULL {
            let bound = Quick::<L::Wide>::BOUND;
            let low = Bracket::around(low, bound, low);
            let high = Bracket::around(high, bound, high);
            return Self::differ::<FULL>(z, Bracket::narrow(low, high));
        }
        const FIRST: u64 = (1 << 28) + Quick::<f64>::BOUND_UNITS;
        // The undecided become the largest patterns. Registers are for the `f64` lanes' constants.
        let shift = L::splat_anew(L::Real::of_pattern((1 << 29) - 1 - FIRST));
        let other_bits = L::splat_anew(L::Real::of_pattern(0xe000_0000));
        Self {
            lane: L::low_words(low, high).add_bits(shift).or_bits(other_bits),
            decided: L::splat_anew(L::Real::of_pattern(
                0xffff_ffff - 2 * Quick::<f64>::BOUND_UNITS - 1,
            )),
        }
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn any(self) -> bool {
        self.lane.exceeds_bits(self.decided)
    }

    /// The lane with zero in place of what is decided.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn or_zero(self) -> L {
        self.lane.max_bits(self.decided).xor_bits(self.decided)
    }
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
    Bracket {
        lower: Double {
            high: sum.high,
            low: low - bound,
        }
        .to_odd(),
        upper: Double {
            high: sum.high,
            low: low + bound,
        }
        .to_odd(),
    }
}

/// The second step: e^-|z|.
#[cfg_attr(not(debug_assertions), inline(always))]
fn careful_exp<W: Lane<Real = f64>>(z: W) -> Double<W> {
    let one = Double::of(splat::<W>(1.0));
    let x = minus_magnitude::<W, true>(z);
    let (rounded, k) = nearest_power(x);
    let r = k.neg_fma_cancelling(splat(double::LN2_HI), x);
    // k LN2_LO is split exactly; LN2_REST is below 2^-102.
    let product = k * splat(double::LN2_LO);
    let rest = k.fma_cancelling(splat(double::LN2_LO), -product);
    let rest = k.fma(splat(exact::LN2_REST), rest);
    let r = two_sum(r, -product);
    let r = fast_two_sum(r.high, r.low - rest);
    let power = one.high.scale(rounded, k);
    let e = one.larger_plus(r.expm1());
    Double {
        high: e.high * power,
        low: e.low * power,
    }
}

/// The second step: the loss.
#[cfg_attr(not(debug_assertions), inline(always))]
fn careful_loss<W: Lane<Real = f64>>(z: W, t: W) -> Bracket<W> {
    let (zero, one) = (splat::<W>(0.0), splat::<W>(1.0));
    let e = careful_exp(z);
    // With y near log1p(e) and v = e^-y - 1: log1p(e) = y + log1p(d),
    // d = (1 + e) (1 + v) - 1 = (e + v) + e v, below 2^-38 y.
    let [y, _] = log1p::<W, W>([e.high; 2], [e.high / (one + e.high); 2]);
    let half = Double::of(y * splat(-0.5)).expm1();
    let v = half.times(Double::of(splat(2.0)).larger_plus(half));
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
    bracket(linear, tail, tail.high)
}

/// The second step: q.
#[cfg_attr(not(debug_assertions), inline(always))]
fn careful_q<W: Lane<Real = f64>>(z: W) -> Double<W> {
    let one = splat::<W>(1.0);
    let e = careful_exp(z);
    let sum = Double::of(one).larger_plus(e);
    let high = e.high / sum.high;
    let residual = high.neg_fma_cancelling(sum.high, e.high);
    let residual = high.neg_fma(sum.low, residual + e.low);
    fast_two_sum(high, residual * (one - high))
}

/// The second step: the gradient.
#[cfg_attr(not(debug_assertions), inline(always))]
fn careful_gradient<W: Lane<Real = f64>>(z: W, t: W, q: Double<W>) -> Bracket<W> {
    let (zero, one) = (splat::<W>(0.0), splat::<W>(1.0));
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
    let bracket = bracket(linear, small, size);
    Bracket {
        lower: unless_tiny(z, t, bracket.lower),
        upper: unless_tiny(z, t, bracket.upper),
    }
}

/// `bound` of the gradient but at t = 1/2 near z = 0, where it is z/4 - z^3/48 + ...: less
/// than z/4 by less than an `f64` shows. Not a closure: those are not always inlined.
#[cfg_attr(not(debug_assertions), inline(always))]
fn unless_tiny<W: Lane<Real = f64>>(z: W, t: W, bound: W) -> W {
    let tiny = splat::<W>(f64::from_bits((1023 - 40) << 52));
    let below = (z * splat(0.25)).sub_bits(splat(f64::from_bits(1)));
    let at_half = W::select(t.equal(splat(0.5)), below, bound);
    let near_origin = W::select(tiny.greater(z.abs()), at_half, bound);
    W::select(z.equal(splat(0.0)), bound, near_origin)
}

/// The second step: the Hessian.
#[cfg_attr(not(debug_assertions), inline(always))]
fn careful_hessian<W: Lane<Real = f64>>(q: Double<W>) -> Bracket<W> {
    let square = q.times(q);
    let minus_square = Double {
        high: -square.high,
        low: -square.low,
    };
    bracket(q, minus_square, q.high)
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

/// The second and third steps on the vectors that need them, for the loss or for the
/// derivatives: where targets are at the stationary point, the gradient alone is undecided.
/// Two vectors at a time: one would wait for its own results.
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
        if I::FAST {
            self.run_in::<T::FullLane<I>>();
        } else {
            self.run_in::<T::Lane<I>>();
        }
    }
}

impl<T: Float, const LOSS: bool> Resolve<'_, T, LOSS> {
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn run_in<L: Lane<Real = T>>(self) {
        let width = L::WIDTH;
        let zero = splat::<L>(T::ZERO);
        let (mut z, mut t) = (self.z.chunks(width), self.t.chunks(width));
        let mut undecided = self.undecided.chunks(width);
        let mut at = 0;
        // Zipped, they divide by `width` where that is not inlined.
        while let (Some(z), Some(t), Some(undecided)) = (z.next(), t.next(), undecided.next()) {
            let chunk = at..at + z.len();
            at += width;
            if !L::load(undecided).exceeds_bits(zero) {
                continue;
            }
            let (z_halves, t_halves) = (L::load_widened(z), L::load_widened(t));
            let two = L::HALVES == 2;
            let element = |what: Wanted| {
                move |i: usize| certain(z.get(i)?.as_f64(), t.get(i)?.as_f64(), what)
            };
            if LOSS {
                let low = careful_loss(z_halves.0, t_halves.0);
                let high = if two {
                    careful_loss(z_halves.1, t_halves.1)
                } else {
                    low
                };
                if let Some(to) = self.loss.get_mut(chunk) {
                    let bracket = Bracket::narrow(low, high);
                    settle::<L>(bracket, to, element(Wanted::LOSS));
                }
                continue;
            }
            let low = careful_q(z_halves.0);
            let high = if two { careful_q(z_halves.1) } else { low };
            if let Some(to) = self.gradient.get_mut(chunk.clone()) {
                let bracket = Bracket::narrow(
                    careful_gradient(z_halves.0, t_halves.0, low),
                    careful_gradient(z_halves.1, t_halves.1, high),
                );
                settle::<L>(bracket, to, element(Wanted::GRADIENT));
            }
            if let Some(to) = self.hessian.get_mut(chunk) {
                let bracket = Bracket::narrow(careful_hessian(low), careful_hessian(high));
                settle::<L>(bracket, to, element(Wanted::HESSIAN));
            }
        }
    }
}

/// A lane's elements. Not a closure: those are not always inlined.
#[cfg_attr(not(debug_assertions), inline(always))]
fn stored<L: Lane>(lane: L) -> [L::Real; MAX_WIDTH] {
    let mut elements = [L::Real::ZERO; MAX_WIDTH];
    lane.store(&mut elements);
    elements
}

/// The correctly rounded loss, gradient and Hessian.
#[derive(Clone, Copy)]
pub(crate) struct Exact;

impl Exact {
    /// Stores the lanes, has the undecided vectors computed anew, and loads them.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn resolve<L: Lane, const LOSS: bool>(
        (z, t): (L, L),
        undecided: L,
        wanted: Wanted,
        point: &mut Point<L>,
    ) {
        let (z_stored, t_stored) = (stored(z), stored(t));
        let (mut loss, mut gradient, mut hessian);
        let mut resolve = Resolve::<_, LOSS> {
            z: z_stored.get(..L::WIDTH).unwrap_or(&[]),
            t: &t_stored,
            undecided: &stored(undecided),
            loss: &mut [],
            gradient: &mut [],
            hessian: &mut [],
        };
        if LOSS {
            loss = stored(point.loss);
            resolve.loss = &mut loss;
            z.run_outlined(resolve);
            point.loss = L::load(&loss);
        } else {
            (gradient, hessian) = (stored(point.gradient), stored(point.hessian));
            resolve.gradient = &mut gradient;
            if wanted.has(Wanted::HESSIAN) {
                resolve.hessian = &mut hessian;
            }
            z.run_outlined(resolve);
            point.gradient = L::load(&gradient);
            point.hessian = L::load(&hessian);
        }
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn halves<L: Lane>(t: L, [low, high]: [Begun<L::Wide>; 2]) -> [Quick<L::Wide>; 2] {
        let (t, u) = t.widen();
        let low = Quick::new(low, t);
        if L::HALVES == 1 {
            return [low; 2];
        }
        [low, Quick::new(high, u)]
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn loss<L: Lane, const FULL: bool>(z: L, halves: [Quick<L::Wide>; 2]) -> (L, Undecided<L>) {
        let [low, high] = Quick::losses::<L>(halves);
        let undecided = Undecided::positive::<FULL>(z, low, high);
        (L::narrow(low, high), undecided)
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn gradient<L: Lane, const FULL: bool>(
        z: L,
        [low, high]: [Quick<L::Wide>; 2],
    ) -> (L, Undecided<L>) {
        let low = low.gradient();
        let high = if L::HALVES == 2 { high.gradient() } else { low };
        let bracket = Bracket::<L>::narrow(low, high);
        let sign = z.and_bits(L::splat_anew(L::Real::SIGN_BIT));
        let undecided = Undecided::differ::<FULL>(z, bracket);
        (bracket.lower.xor_bits(sign), undecided)
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn hessian<L: Lane, const FULL: bool>(
        z: L,
        [low, high]: [Quick<L::Wide>; 2],
    ) -> (L, Undecided<L>) {
        let low = low.hessian();
        let high = if L::HALVES == 2 { high.hessian() } else { low };
        let undecided = Undecided::positive::<FULL>(z, low, high);
        (L::narrow(low, high), undecided)
    }
}

impl<T: Float> Pointwise<T> for Exact {
    const RARE: bool = true;
    const OF_EXP: bool = false;
    const IN_WINDOW: bool = true;
    const FAST_REMAINDER: bool = false;
    const ABREAST: bool = false;
    const MAIN_LOOP: bool = true;
    const PLAIN_LOOPS: bool = false;
    const LOSSES_APART: bool = false;
    const BEGINS: bool = true;

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn finish<L: Lane<Real = T>, const FULL: bool>(
        &self,
        z: L,
        t: L,
        _: ExpNeg<L>,
        wanted: Wanted,
    ) -> Point<L> {
        let (zero, one) = (splat::<L>(T::ZERO), splat::<L>(T::ONE));
        let minus_a = z.or_bits(splat(T::SIGN_BIT));
        let [low, high] = begin::<L, FULL>(z.widen());
        let low = low.divide();
        let high = if L::HALVES == 2 { high.divide() } else { low };
        let halves = Self::halves(t, [low, high]);
        let mut point = Point::zero();
        if wanted.losses() {
            let (loss, undecided) = Self::loss::<L, FULL>(z, halves);
            point.loss = loss;
            if undecided.any() {
                Self::resolve::<_, true>((z, t), undecided.or_zero(), wanted, &mut point);
            }
            let factor = z.select_negative(t, one - t);
            let loss = limit::<L, FULL>(minus_a, factor, point.loss);
            point.loss = nan_like::<L, FULL>(z, loss);
        }
        if wanted.derivatives() {
            let gradient;
            (point.gradient, gradient) = Self::gradient::<L, FULL>(z, halves);
            let mut hessian = gradient;
            if wanted.has(Wanted::HESSIAN) {
                (point.hessian, hessian) = Self::hessian::<L, FULL>(z, halves);
            }
            if gradient.any() || hessian.any() {
                let undecided = gradient.or_zero().or_bits(hessian.or_zero());
                Self::resolve::<_, false>((z, t), undecided, wanted, &mut point);
            }
            if FULL {
                let infinite = minus_a.equal(-splat::<L>(T::INFINITY));
                let step = z.select_negative(zero, one);
                let gradient = L::select(infinite, step - t, point.gradient);
                point.gradient = nan_like::<L, FULL>(z, gradient);
                let hessian = L::select(infinite, zero, point.hessian);
                point.hessian = nan_like::<L, FULL>(z, hessian);
            }
        }
        point
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn keep<L: Lane<Real = T>>(wanted: Wanted) {
        for &c in &exact::EXP {
            L::Wide::keep(c);
        }
        if wanted.losses() {
            for &c in &exact::LOG1P {
                L::Wide::keep(c);
            }
            L::Wide::keep(0.5);
        }
        for c in [1.0, -0.0, ROUNDER, exact::LOG2_E, exact::LN2] {
            L::Wide::keep(c);
        }
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn begin<L: Lane<Real = T>>(z: &[T]) -> [Begun<L::Wide>; 2] {
        begin::<L, false>(L::load_widened(z))
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn finish_begun<L: Lane<Real = T>>(
        z: L,
        t: L,
        begun: [Begun<L::Wide>; 2],
        wanted: Wanted,
    ) -> (Point<L>, [bool; 2]) {
        let halves = Self::halves(t, begun);
        let mut point = Point::zero();
        let mut again = [false; 2];
        if wanted.losses() {
            let undecided;
            (point.loss, undecided) = Self::loss::<L, false>(z, halves);
            again[0] = undecided.any();
        }
        if wanted.has(Wanted::GRADIENT) {
            let undecided;
            (point.gradient, undecided) = Self::gradient::<L, false>(z, halves);
            again[1] = undecided.any();
        }
        if wanted.has(Wanted::HESSIAN) {
            let undecided;
            (point.hessian, undecided) = Self::hessian::<L, false>(z, halves);
            again[1] |= undecided.any();
        }
        (point, again)
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn again<I: Isa, const LOSS: bool>(isa: I, z: &[T], t: &[T], outputs: [&mut [T]; 3]) {
        let [loss, gradient, hessian] = outputs;
        isa.run(Resolve::<_, LOSS> {
            z,
            t,
            undecided: &[T::ONE; MAX_WIDTH],
            loss,
            gradient,
            hessian,
        });
    }
}
