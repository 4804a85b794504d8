//! The fast references: f64 for f32 results, double-double for f64 results.
//!
//! They judge most cases; whatever they cannot judge, or find near its budget, goes to MPFR. The
//! formulas are written once over [`Number`]; `tests/` compares both references with MPFR.

use crate::format::Format;
use crate::mpfr::{Function, Options};
use multiversion::multiversion;
use rug::Float;
use std::ops::{Add, Div, Mul, Neg, Sub};
use std::sync::LazyLock;

/// The elements of a batch. The slices have one length.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a, F> {
    /// Logits, or probabilities for logit.
    pub z: &'a [F],
    /// Targets.
    pub t: &'a [F],
    /// Weights; empty for none.
    pub weights: &'a [F],
    /// What the function under test returned.
    pub computed: &'a [F],
}

/// A format with a fast reference.
pub trait Fast: Format {
    /// The reference's error, relative to the scale that measures the ULP, is below this.
    const REFERENCE_ERROR: f64;

    /// Writes each element's error in ULP: NaN where the reference cannot tell.
    fn errors(function: Function, options: Options, batch: Batch<Self>, errors: &mut [f64]);

    /// Writes 0 where the result is the correctly rounded one and NaN where the reference cannot tell.
    fn misroundings(function: Function, options: Options, batch: Batch<Self>, errors: &mut [f64]);

    /// How many elements the first step of the exact mode is expected to leave to its slower steps:
    /// those within 2^-39 of a midpoint, relative to the result (gradient and sigmoid: to the result
    /// plus the smaller of s and 1 - s). It is the same criterion on a closer value, so that single
    /// elements may differ, but hardly their number.
    fn near_midpoints(function: Function, batch: Batch<Self>) -> u64;
}

impl Fast for f32 {
    const REFERENCE_ERROR: f64 = 1.0 / (1_u64 << 48) as f64;

    fn errors(function: Function, options: Options, batch: Batch<Self>, errors: &mut [f64]) {
        errors_f32(function, options, batch, errors);
    }
    fn misroundings(function: Function, options: Options, batch: Batch<Self>, errors: &mut [f64]) {
        misroundings_f32(function, options, batch, errors);
        if !options.excess && errors.iter().any(|error| error.is_nan()) {
            retry_in_double_double(function, options, batch, errors);
        }
    }
    fn near_midpoints(function: Function, batch: Batch<Self>) -> u64 {
        near_midpoints_f32(function, batch)
    }
}

impl Fast for f64 {
    const REFERENCE_ERROR: f64 = 1.0 / (1_u128 << 96) as f64;

    fn errors(function: Function, options: Options, batch: Batch<Self>, errors: &mut [f64]) {
        errors_f64(function, options, batch, errors);
    }
    /// There is no exact mode for f64: MPFR decides all.
    fn misroundings(_: Function, _: Options, _: Batch<Self>, errors: &mut [f64]) {
        errors.fill(f64::NAN);
    }
    fn near_midpoints(_: Function, _: Batch<Self>) -> u64 {
        0
    }
}

#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+fma", "x86_64+avx2+fma"))]
fn errors_f32(function: Function, options: Options, batch: Batch<f32>, errors: &mut [f64]) {
    run::<f32, f64, ErrorsOf>(function, options, batch, errors);
}

#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+fma", "x86_64+avx2+fma"))]
fn misroundings_f32(function: Function, options: Options, batch: Batch<f32>, errors: &mut [f64]) {
    run::<f32, f64, MisroundingsOf>(function, options, batch, errors);
}

#[multiversion(targets("x86_64+avx2+fma"))]
fn errors_f64(function: Function, options: Options, batch: Batch<f64>, errors: &mut [f64]) {
    run::<f64, DoubleDouble, ErrorsOf>(function, options, batch, errors);
}

/// For the f32 results that f64 could not decide.
fn retry_in_double_double(
    function: Function,
    options: Options,
    batch: Batch<f32>,
    errors: &mut [f64],
) {
    let open: Vec<usize> = (0..errors.len()).filter(|&i| errors[i].is_nan()).collect();
    let pick = |from: &[f32]| {
        open.iter()
            .filter_map(|&i| from.get(i).copied())
            .collect::<Vec<f32>>()
    };
    let (z, t, weights, computed) = (
        pick(batch.z),
        pick(batch.t),
        pick(batch.weights),
        pick(batch.computed),
    );
    let batch = Batch {
        z: &z,
        t: &t,
        weights: &weights,
        computed: &computed,
    };
    let mut closer = vec![0.0; open.len()];
    misroundings_closely(function, options, batch, &mut closer);
    for (i, error) in open.into_iter().zip(closer) {
        errors[i] = error;
    }
}

#[multiversion(targets("x86_64+avx2+fma"))]
fn misroundings_closely(
    function: Function,
    options: Options,
    batch: Batch<f32>,
    errors: &mut [f64],
) {
    run::<f32, DoubleDouble, MisroundingsOf>(function, options, batch, errors);
}

#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+fma", "x86_64+avx2+fma"))]
fn near_midpoints_f32(function: Function, batch: Batch<f32>) -> u64 {
    match function {
        Function::Loss => near_midpoints_of::<Loss>(batch),
        Function::Gradient => near_midpoints_of::<Gradient>(batch),
        Function::Hessian => near_midpoints_of::<Hessian>(batch),
        Function::Sigmoid => near_midpoints_of::<Sigmoid>(batch),
        Function::LogSigmoid => near_midpoints_of::<LogSigmoid>(batch),
        Function::Softplus => near_midpoints_of::<Softplus>(batch),
        Function::Logit => 0,
    }
}

/// The arithmetic of a reference.
pub trait Number:
    Copy
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
{
    /// Twice the bound of the relative error of every formula here.
    const UNIT_ERROR: f64;

    /// An f64, exactly.
    fn new(x: f64) -> Self;
    /// The nearest f64.
    fn to_f64(self) -> f64;
    /// The part that `to_f64` leaves.
    fn rest(self) -> f64;
    /// 1 - x, exactly in double-double.
    fn one_minus(x: f64) -> Self;
    /// (exp(-x) * unit, unit) for x >= 0; unit is a power of two, 1 but where the result would be subnormal.
    fn exp_minus(x: f64) -> (Self, f64);
    /// ln(1 + e) for e in [0, 1].
    fn log1p(e: Self) -> Self;
    /// ln(p / (1 - p)) for p in (0, 1).
    fn logit(p: f64) -> Self;
    /// x * unit, for a power of two that [`Number::exp_minus`] gave.
    fn scaled(self, unit: f64) -> Self;
}

/// The pieces that the formulas share, the last three multiplied by `unit`.
struct Pieces<N> {
    up: bool,
    unit: f64,
    /// 1 / (1 + e), e = exp(-|z|).
    damp: N,
    magnitude: N,
    log: N,
    /// e / (1 + e).
    tail: N,
}

/// The factors of softplus(z) and softplus(-z), and their sum.
struct Coefficients<N> {
    negative: N,
    positive: N,
    sum: N,
}

/// A value multiplied by `unit`, and the magnitude that measures its ULP.
struct Estimate {
    value: f64,
    rest: f64,
    scale: f64,
    unit: f64,
    signed_zero: bool,
}

trait Formula {
    /// Whether a zero has to have the sign of the true value; else it is +0.
    const SIGNED_ZERO: bool = true;
    /// Whether it is a difference of sigmoid and target, the smaller of the two tails being rounded.
    const OF_SIGMOID: bool = false;

    fn apply<N: Number>(pieces: &Pieces<N>, coefficients: &Coefficients<N>) -> (N, Option<N>);
}

struct Loss;
struct Gradient;
struct Hessian;
struct Sigmoid;
struct LogSigmoid;
struct Softplus;

impl Formula for Loss {
    #[inline(always)]
    fn apply<N: Number>(p: &Pieces<N>, k: &Coefficients<N>) -> (N, Option<N>) {
        let slope = if p.up { k.negative } else { k.positive };
        (slope * p.magnitude + k.sum * p.log, None)
    }
}
impl Formula for Gradient {
    const SIGNED_ZERO: bool = false;
    const OF_SIGMOID: bool = true;
    #[inline(always)]
    fn apply<N: Number>(p: &Pieces<N>, k: &Coefficients<N>) -> (N, Option<N>) {
        let tail = k.sum * p.tail;
        let value = if p.up {
            k.negative.scaled(p.unit) - tail
        } else {
            tail - k.positive.scaled(p.unit)
        };
        let rising = if p.up {
            (k.sum * p.damp).scaled(p.unit)
        } else {
            tail
        };
        let falling = k.positive.scaled(p.unit);
        // A plain target is exact, even on a binade edge.
        let exact = k.sum.to_f64() == 1.0 && k.sum.rest() == 0.0;
        let (rising, falling) = (
            strict(rising),
            if exact { falling } else { strict(falling) },
        );
        let larger = if rising.to_f64() > falling.to_f64() {
            rising
        } else {
            falling
        };
        let hard = k.negative.to_f64() == 0.0 || k.positive.to_f64() == 0.0;
        // One term only for a hard label: written so that it cannot cancel.
        let negative_only = if p.up {
            (k.sum * p.damp).scaled(p.unit)
        } else {
            tail
        };
        let positive_only = if p.up {
            -tail
        } else {
            -(k.sum * p.damp).scaled(p.unit)
        };
        let value = if k.positive.to_f64() == 0.0 {
            negative_only
        } else if k.negative.to_f64() == 0.0 {
            positive_only
        } else {
            value
        };
        (value, Some(if hard { strict(value) } else { larger }))
    }
}
impl Formula for Hessian {
    #[inline(always)]
    fn apply<N: Number>(p: &Pieces<N>, k: &Coefficients<N>) -> (N, Option<N>) {
        (k.sum * (p.tail * p.damp), None)
    }
}
impl Formula for Sigmoid {
    const OF_SIGMOID: bool = true;
    #[inline(always)]
    fn apply<N: Number>(p: &Pieces<N>, _: &Coefficients<N>) -> (N, Option<N>) {
        (if p.up { p.damp.scaled(p.unit) } else { p.tail }, None)
    }
}
impl Formula for LogSigmoid {
    #[inline(always)]
    fn apply<N: Number>(p: &Pieces<N>, _: &Coefficients<N>) -> (N, Option<N>) {
        (-if p.up { p.log } else { p.magnitude + p.log }, None)
    }
}
impl Formula for Softplus {
    #[inline(always)]
    fn apply<N: Number>(p: &Pieces<N>, _: &Coefficients<N>) -> (N, Option<N>) {
        (if p.up { p.magnitude + p.log } else { p.log }, None)
    }
}

/// What is written for an element.
trait Verdict {
    fn judge<F: Format, N: Number>(computed: F, estimate: &Estimate) -> f64;
}

struct ErrorsOf;
struct MisroundingsOf;

impl Verdict for ErrorsOf {
    #[inline(always)]
    fn judge<F: Format, N: Number>(computed: F, estimate: &Estimate) -> f64 {
        let c = computed.to_f64();
        let scale = estimate.scale.abs();
        let exponent = ((scale.to_bits() >> 52) as i64 & 0x7ff) - 1023;
        let unit_exponent = ((estimate.unit.to_bits() >> 52) as i64) - 1023;
        let lowest = i64::from(F::MIN_EXPONENT) + unit_exponent;
        let clamped = if exponent < lowest { lowest } else { exponent };
        let clamped = if clamped > i64::from(F::MAX_EXPONENT) {
            i64::from(F::MAX_EXPONENT)
        } else {
            clamped
        };
        let per_ulp = f64::from_bits(((i64::from(F::PRECISION) - 1 - clamped + 1023) as u64) << 52);
        let difference = (c * estimate.unit - estimate.value) - estimate.rest;
        let error = difference.abs() * per_ulp;
        let negative = estimate.signed_zero && estimate.value.is_sign_negative();
        let wrong_zero = c == 0.0 && c.is_sign_negative() != negative;
        if wrong_zero { f64::NAN } else { error }
    }
}

impl Verdict for MisroundingsOf {
    #[inline(always)]
    fn judge<F: Format, N: Number>(computed: F, estimate: &Estimate) -> f64 {
        let down = 1.0 / estimate.unit;
        let margin = estimate.scale.abs() * N::UNIT_ERROR;
        let below = F::from_f64(sum_to_odd(estimate.value, estimate.rest - margin) * down);
        let above = F::from_f64(sum_to_odd(estimate.value, estimate.rest + margin) * down);
        let right = below.to_bits() == computed.to_bits() && above.to_bits() == computed.to_bits();
        if right { 0.0 } else { f64::NAN }
    }
}

/// The sum rounded to odd, so that rounding it again to f32 is as if rounding once.
#[inline(always)]
fn sum_to_odd(a: f64, b: f64) -> f64 {
    let sum = two_sum(a, b);
    let odd = sum.low == 0.0 || sum.high.to_bits() & 1 == 1;
    let outwards = (sum.low > 0.0) == (sum.high > 0.0);
    let neighbour = f64::from_bits(if outwards {
        sum.high.to_bits().wrapping_add(1)
    } else {
        sum.high.to_bits().wrapping_sub(1)
    });
    if odd { sum.high } else { neighbour }
}

#[inline(always)]
fn run<F: Format, N: Number, V: Verdict>(
    function: Function,
    options: Options,
    batch: Batch<F>,
    errors: &mut [f64],
) {
    match function {
        Function::Loss if options.excess => errors.fill(f64::NAN),
        Function::Loss => run_formula::<F, N, V, Loss>(options, batch, errors),
        Function::Gradient => run_formula::<F, N, V, Gradient>(options, batch, errors),
        Function::Hessian => run_formula::<F, N, V, Hessian>(options, batch, errors),
        Function::Sigmoid => run_formula::<F, N, V, Sigmoid>(Options::PLAIN, batch, errors),
        Function::LogSigmoid => run_formula::<F, N, V, LogSigmoid>(Options::PLAIN, batch, errors),
        Function::Softplus => run_formula::<F, N, V, Softplus>(Options::PLAIN, batch, errors),
        Function::Logit => {
            for ((error, p), computed) in errors.iter_mut().zip(batch.z).zip(batch.computed) {
                let value = N::logit(p.to_f64());
                *error = V::judge::<F, N>(*computed, &guarded::<N>(value, strict(value), 1.0));
            }
        }
    }
}

#[inline(always)]
fn run_formula<F: Format, N: Number, V: Verdict, M: Formula>(
    options: Options,
    batch: Batch<F>,
    errors: &mut [f64],
) {
    let length = errors.len();
    let (z, t, computed) = (
        &batch.z[..length],
        &batch.t[..length],
        &batch.computed[..length],
    );
    if options == Options::PLAIN && batch.weights.is_empty() {
        for i in 0..length {
            let k = plain(t[i].to_f64());
            errors[i] = V::judge::<F, N>(computed[i], &estimate::<N, M>(z[i].to_f64(), &k));
        }
    } else {
        let smoothing = options.label_smoothing;
        let (kept, moved) = (N::one_minus(smoothing), N::new(smoothing / 2.0));
        let lowest = 2.0_f64.powi(F::MIN_EXPONENT + 3).max(LEAST_JUDGED);
        let farthest = -lowest.ln();
        for i in 0..length {
            let (z, target) = (z[i].to_f64(), t[i].to_f64());
            let weight = batch.weights.get(i).map_or(1.0, |weight| weight.to_f64());
            let share = (kept * N::new(target) + moved) * N::new(options.pos_weight);
            let positive = share * N::new(weight);
            let negative = (kept * N::one_minus(target) + moved) * N::new(weight);
            let k = Coefficients {
                negative,
                positive,
                sum: negative + positive,
            };
            let estimate = estimate::<N, M>(z, &k);
            // The scale is another where a part of the result is below the normal range.
            let ordinary = z.abs() < farthest
                && (share.to_f64() == 0.0 || share.to_f64() > lowest)
                && (smoothing == 0.0 || smoothing > LEAST_JUDGED)
                && (weight == 0.0 || weight > LEAST_JUDGED)
                && estimate.scale.abs() > lowest * weight;
            errors[i] = if ordinary {
                V::judge::<F, N>(computed[i], &estimate)
            } else {
                f64::NAN
            };
        }
    }
}

/// Below this the error terms of products could be subnormal, hence inexact.
const LEAST_JUDGED: f64 = 1e-270;

/// Towards zero, so that a true value just below a binade edge is judged by the finer ULP.
#[inline(always)]
fn strict<N: Number>(scale: N) -> N {
    scale * N::new(1.0 - 4.0 * f64::EPSILON)
}

#[inline(always)]
fn pieces<N: Number>(z: f64) -> Pieces<N> {
    let (e, unit) = N::exp_minus(z.abs());
    // Where the unit is not 1, e is below every bit of the 1 it would be added to.
    let small = unit != 1.0;
    let damp = if small {
        N::new(1.0)
    } else {
        N::new(1.0) / (N::new(1.0) + e)
    };
    Pieces {
        up: z > 0.0,
        unit,
        damp,
        magnitude: N::new(z.abs()).scaled(unit),
        log: if small { e } else { N::log1p(e) },
        tail: e * damp,
    }
}

/// The factors of an element without options.
#[inline(always)]
fn plain<N: Number>(target: f64) -> Coefficients<N> {
    Coefficients {
        negative: N::one_minus(target),
        positive: N::new(target),
        sum: N::new(1.0),
    }
}

#[inline(always)]
fn near_midpoints_of<M: Formula>(batch: Batch<f32>) -> u64 {
    // The bound of the first step of `soft_bce`'s exact functions.
    const BOUND: f64 = 1.0 / (1_u64 << 39) as f64;
    let mut count = 0;
    for (&z, &t) in batch.z.iter().zip(batch.t) {
        let pieces = pieces::<f64>(f64::from(z));
        let (value, _) = M::apply(&pieces, &plain(f64::from(t)));
        let size = value.abs() + if M::OF_SIGMOID { pieces.tail } else { 0.0 };
        let (below, above) = ((value - BOUND * size) as f32, (value + BOUND * size) as f32);
        let open = z.is_finite() && below.to_bits() != above.to_bits();
        count += u64::from(open);
    }
    count
}

#[inline(always)]
fn estimate<N: Number, M: Formula>(z: f64, k: &Coefficients<N>) -> Estimate {
    let pieces = pieces::<N>(z);
    let unit = pieces.unit;
    let (value, scale) = M::apply(&pieces, k);
    Estimate {
        signed_zero: M::SIGNED_ZERO,
        ..guarded::<N>(value, scale.unwrap_or_else(|| strict(value)), unit)
    }
}

#[inline(always)]
fn guarded<N: Number>(value: N, scale: N, unit: f64) -> Estimate {
    let safe = scale.to_f64().abs() > LEAST_JUDGED;
    Estimate {
        value: if safe { value.to_f64() } else { f64::NAN },
        rest: value.rest(),
        scale: scale.to_f64(),
        unit,
        signed_zero: true,
    }
}

impl Number for f64 {
    const UNIT_ERROR: f64 = 1.0 / (1_u64 << 47) as f64;

    #[inline(always)]
    fn new(x: f64) -> Self {
        x
    }
    #[inline(always)]
    fn to_f64(self) -> f64 {
        self
    }
    #[inline(always)]
    fn rest(self) -> f64 {
        0.0
    }
    #[inline(always)]
    fn one_minus(x: f64) -> Self {
        1.0 - x
    }
    /// Taylor to degree 13 on |r| <= ln2/2, where the remainder is 2^-57.
    #[inline(always)]
    fn exp_minus(x: f64) -> (Self, f64) {
        // f32 results are nothing from |z| = 120 on; the clamp keeps 2^k normal and the guard quiet.
        let x = if x > 600.0 { 600.0 } else { x };
        const MAGIC: f64 = 6755399441055744.0; // 1.5 * 2^52: rounds to an integer in the low bits
        let shifted = x.mul_add(-std::f64::consts::LOG2_E, MAGIC);
        let k = shifted - MAGIC;
        let r = k.mul_add(-std::f64::consts::LN_2, -x);
        let r = k.mul_add(-LN2_LOW, r);
        let mut p = INVERSE_FACTORIAL[13];
        for coefficient in INVERSE_FACTORIAL[..13].iter().rev() {
            p = p.mul_add(r, *coefficient);
        }
        let two_to_k = f64::from_bits(shifted.to_bits().wrapping_add(1023) << 52);
        (p * two_to_k, 1.0)
    }
    /// 2 atanh(u) by its series, with 1 + e halved above sqrt 2 so that |u| <= 0.172.
    #[inline(always)]
    fn log1p(e: Self) -> Self {
        let large = e > 0.414;
        let numerator = if large { e - 1.0 } else { e };
        let denominator = if large { e + 3.0 } else { e + 2.0 };
        let u = numerator / denominator;
        let w = u * u;
        let mut p = 1.0 / 21.0;
        for odd in [19.0, 17.0, 15.0, 13.0, 11.0, 9.0, 7.0, 5.0, 3.0] {
            p = w.mul_add(p, 1.0 / odd);
        }
        let twice = u + u;
        let log = (twice * w).mul_add(p, twice);
        log + if large { std::f64::consts::LN_2 } else { 0.0 }
    }
    #[inline(always)]
    fn logit(p: f64) -> Self {
        if (0.25..=0.75).contains(&p) {
            2.0 * (2.0 * p - 1.0).atanh()
        } else {
            p.ln() - (-p).ln_1p()
        }
    }
    #[inline(always)]
    fn scaled(self, _: f64) -> Self {
        self
    }
}

/// ln 2 less its nearest f64.
const LN2_LOW: f64 = 2.319_046_813_846_299_6e-17;

const INVERSE_FACTORIAL: [f64; 14] = {
    let mut table = [1.0; 14];
    let mut i = 2;
    while i < 14 {
        // i! is exact up to 18!, so that each entry is rounded once.
        let mut factorial = 1.0;
        let mut j = 2;
        while j <= i {
            factorial *= j as f64;
            j += 1;
        }
        table[i] = 1.0 / factorial;
        i += 1;
    }
    table
};

/// An unevaluated sum of two f64, |low| <= ulp(high) / 2. The algorithms are those of Joldes, Muller
/// and Popescu, "Tight and rigorous error bounds for basic building blocks of double-word arithmetic".
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DoubleDouble {
    high: f64,
    low: f64,
}

#[inline(always)]
fn two_sum(a: f64, b: f64) -> DoubleDouble {
    let high = a + b;
    let b_part = high - a;
    DoubleDouble {
        high,
        low: (a - (high - b_part)) + (b - b_part),
    }
}

#[inline(always)]
fn fast_two_sum(a: f64, b: f64) -> DoubleDouble {
    let high = a + b;
    DoubleDouble {
        high,
        low: b - (high - a),
    }
}

#[inline(always)]
fn two_product(a: f64, b: f64) -> DoubleDouble {
    let high = a * b;
    DoubleDouble {
        high,
        low: a.mul_add(b, -high),
    }
}

impl Add for DoubleDouble {
    type Output = Self;
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        let high = two_sum(self.high, other.high);
        let low = two_sum(self.low, other.low);
        let sum = fast_two_sum(high.high, high.low + low.high);
        fast_two_sum(sum.high, low.low + sum.low)
    }
}
impl Sub for DoubleDouble {
    type Output = Self;
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        self + -other
    }
}
impl Neg for DoubleDouble {
    type Output = Self;
    #[inline(always)]
    fn neg(self) -> Self {
        Self {
            high: -self.high,
            low: -self.low,
        }
    }
}
impl Mul for DoubleDouble {
    type Output = Self;
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        let product = two_product(self.high, other.high);
        let cross = self.high.mul_add(
            other.low,
            self.low.mul_add(other.high, self.low * other.low),
        );
        fast_two_sum(product.high, product.low + cross)
    }
}
impl Div for DoubleDouble {
    type Output = Self;
    #[inline(always)]
    fn div(self, other: Self) -> Self {
        let first = self.high / other.high;
        let rest = self - other * Self::new(first);
        let second = rest.high / other.high;
        let rest = rest - other * Self::new(second);
        let third = rest.high / other.high;
        fast_two_sum(first, second) + Self::new(third)
    }
}

struct Tables {
    /// ln 2 / 64 in three parts.
    step: [f64; 3],
    /// 2^(i/64).
    powers: [DoubleDouble; 64],
    /// ln(1 + i/128).
    logs: [DoubleDouble; 129],
    inverse_factorials: [DoubleDouble; 12],
    /// 1 / (2i + 1).
    inverse_odds: [DoubleDouble; 16],
}

static TABLES: LazyLock<Tables> = LazyLock::new(|| {
    let number = |x: f64| Float::with_val(300, x);
    let double = |x: Float| {
        let high = x.to_f64();
        DoubleDouble {
            high,
            low: (x - high).to_f64(),
        }
    };
    let step = number(2.0).ln() / 64u32;
    let middle = number(0.0) + &step - step.to_f64();
    let last = number(0.0) + &middle - middle.to_f64();
    Tables {
        step: [step.to_f64(), middle.to_f64(), last.to_f64()],
        powers: std::array::from_fn(|i| double((number(i as f64) / 64u32).exp2())),
        logs: std::array::from_fn(|i| double((number(i as f64) / 128u32).ln_1p())),
        inverse_factorials: std::array::from_fn(|i| {
            double(1 / number((1..=i).map(|j| j as f64).product()))
        }),
        inverse_odds: std::array::from_fn(|i| double(1 / number((2 * i + 1) as f64))),
    }
});

impl Number for DoubleDouble {
    const UNIT_ERROR: f64 = 1.0 / (1_u128 << 95) as f64;

    #[inline(always)]
    fn new(x: f64) -> Self {
        Self { high: x, low: 0.0 }
    }
    #[inline(always)]
    fn to_f64(self) -> f64 {
        self.high
    }
    #[inline(always)]
    fn rest(self) -> f64 {
        self.low
    }
    #[inline(always)]
    fn one_minus(x: f64) -> Self {
        two_sum(1.0, -x)
    }
    /// 2^(-n/64) from a table times Taylor to degree 11 on |r| <= ln2/128.
    #[inline(always)]
    fn exp_minus(x: f64) -> (Self, f64) {
        if x > 900.0 {
            // Nothing, even in units of 2^-256; or NaN, which has to stay.
            let nothing = if x < 1e4 { 2.0_f64.powi(256) } else { 1.0 };
            return (
                Self::new(0.0 * if x.is_finite() { 1.0 } else { f64::NAN }),
                nothing,
            );
        }
        let tables = &*TABLES;
        let n = (x * (64.0 * std::f64::consts::LOG2_E)).round_ties_even();
        let mut r = Self::new(-x);
        for part in tables.step {
            r = r + two_product(n, part);
        }
        // Degrees 6 to 11 in f64: they are 2^-54 of the whole.
        let mut tail = tables.inverse_factorials[11].high;
        for coefficient in tables.inverse_factorials[6..11].iter().rev() {
            tail = tail.mul_add(r.high, coefficient.high);
        }
        let mut p = Self::new(tail);
        for coefficient in tables.inverse_factorials[..6].iter().rev() {
            p = p * r + *coefficient;
        }
        let steps = -(n as i64);
        let product = p * tables.powers[steps.rem_euclid(64) as usize];
        let unit = if x > 600.0 { 2.0_f64.powi(256) } else { 1.0 };
        let two_to_k = f64::from_bits(
            ((steps.div_euclid(64) + 1023 + if x > 600.0 { 256 } else { 0 }) as u64) << 52,
        );
        (
            Self {
                high: product.high * two_to_k,
                low: product.low * two_to_k,
            },
            unit,
        )
    }
    /// ln(1 + i/128) from a table plus 2 atanh(u), u <= 2^-8.
    #[inline(always)]
    fn log1p(e: Self) -> Self {
        let tables = &*TABLES;
        let i = (e.high * 128.0).floor();
        if !(0.0..=128.0).contains(&i) {
            return Self::new(f64::NAN);
        }
        let numerator = e - Self::new(i / 128.0);
        let u = numerator / (numerator + Self::new(2.0 + i / 64.0));
        tables.logs[i as usize] + twice_atanh(u)
    }
    /// Where atanh's series is slow, one Newton step on exp from the f64 result.
    #[inline(always)]
    fn logit(p: f64) -> Self {
        let u = 2.0 * p - 1.0;
        if u.abs() < 1.0 / 256.0 {
            return twice_atanh(Self::new(u));
        }
        let (smaller, larger) = if p < 0.5 {
            (p, Self::one_minus(p))
        } else {
            (1.0 - p, Self::new(p))
        };
        let start = -<f64 as Number>::logit(smaller);
        let (e, _) = Self::exp_minus(start);
        let ratio = Self::new(smaller) / larger / e;
        let excess = ratio - Self::new(1.0);
        // ln(1 + d) = d - d^2/2 + ..., d about 2^-44 at most.
        let correction = excess - excess * excess * Self::new(0.5);
        let magnitude = Self::new(start) - correction;
        if smaller < 1e-260 {
            Self::new(f64::NAN)
        } else if p < 0.5 {
            -magnitude
        } else {
            magnitude
        }
    }
    #[inline(always)]
    fn scaled(self, unit: f64) -> Self {
        Self {
            high: self.high * unit,
            low: self.low * unit,
        }
    }
}

/// 2 atanh(u) for |u| <= 2^-8.
#[inline(always)]
fn twice_atanh(u: DoubleDouble) -> DoubleDouble {
    let odds = &TABLES.inverse_odds;
    let w = u * u;
    let mut tail = odds[7].high;
    for coefficient in [odds[6].high, odds[5].high, odds[4].high, odds[3].high] {
        tail = tail.mul_add(w.high, coefficient);
    }
    let mut p = DoubleDouble::new(tail);
    for coefficient in [odds[2], odds[1], odds[0]] {
        p = p * w + coefficient;
    }
    let half = u * p;
    DoubleDouble {
        high: half.high * 2.0,
        low: half.low * 2.0,
    }
}
