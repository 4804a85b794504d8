//! The vocabulary of the kernel: `Float` (an element type), `Lane` (a vector of
//! them) and `Isa` (an instruction set, with a lane for each element type).
//!
//! # Laws
//!
//! The same bits on every machine follow from these, and only from these:
//!
//! 1. `+ - * /`, [`Lane::fma`] and [`Lane::narrow`] are one IEEE 754 operation
//!    each, rounded to nearest even; nothing is contracted, reassociated or
//!    approximated.
//! 2. Every other operation is exact: moves, comparisons, integer operations on
//!    the bit patterns, widening to `f64`.
//! 3. Where IEEE 754 leaves a choice (NaN payloads; the sign of a zero or the
//!    NaN chosen by a maximum) the operation says which, or the kernel never
//!    depends on it.
//! 4. A lane's result depends on the same lane of its operands alone, but for the order of
//!    [`Lane::low_words`], on which the kernel never depends.
//!
//! `tests/backends.rs` holds every backend against `Scalar`.

// Cortex-M with an FPU: of all hard-float Arm targets, those without 64-bit atomics.
#[cfg(all(
    target_arch = "arm",
    target_abi = "eabihf",
    not(target_has_atomic = "64")
))]
mod arm;
mod emulated;
mod fma;
mod pair;
pub(crate) mod portable;
pub(crate) mod scalar;
#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
pub(crate) mod x86;

use core::ops::{Add, Div, Mul, Neg, Sub};

use crate::coeffs::{double, single};

/// Microcontrollers, where `Scalar` is all there is: flash and stack matter more
/// than a second kernel and blocks of losses.
pub(crate) const FIRMWARE: bool = cfg!(any(target_arch = "arm", target_arch = "riscv32"));

/// The widest lane's elements.
pub(crate) const MAX_WIDTH: usize = 64;

/// A span's size: 2 KiB keep all buffers of a call in the first-level cache.
pub(crate) const SPAN_BYTES: usize = if FIRMWARE { 64 } else { 2048 };

/// How much farther than its least address a buffer may begin.
pub(crate) const SPAN_ROOM: usize = if FIRMWARE { 0 } else { SPAN_BYTES / 2 };

/// Begins at a cache line.
#[derive(Clone, Copy)]
#[repr(align(64))]
pub struct Aligned<A>(pub(crate) A);

impl<A: AsMut<[T]>, T> AsMut<[T]> for Aligned<A> {
    fn as_mut(&mut self) -> &mut [T] {
        self.0.as_mut()
    }
}

/// Rows of a block of the linear head: 16 or more of them on a microcontroller.
const ROW_BLOCK_BYTES: usize = if FIRMWARE { 128 } else { 1024 };
/// The same of the narrowest type.
#[cfg(feature = "linear")]
pub(crate) const MAX_ROWS: usize = ROW_BLOCK_BYTES / 4;

/// What the kernel needs to know about an element type. Not nameable outside the crate.
#[doc(hidden)]
pub trait Float: Copy + PartialOrd + Default + Send + Sync + 'static {
    /// The lane that holds this type on the instruction set `I`.
    type Lane<I: Isa>: Lane<Real = Self, Single = Self::Lane<I>, Wide = I::F64>;
    /// The one that is best for one element.
    type OneLane<I: Isa>: Lane<Real = Self, Single = Self::OneLane<I>>;
    /// As many of them side by side as hide the latency.
    type GroupLane<I: Isa>: Lane<Real = Self, Single = Self::Lane<I>>;
    /// The same for what follows from e^-|z|, which needs more registers: a divisor of its width.
    type FinishLane<I: Isa>: Lane<Real = Self, Single = Self::Lane<I>>;
    /// The same for the full kernel, which is longer.
    type FullLane<I: Isa>: Lane<Real = Self, Single = Self::Lane<I>>;
    /// Sixteen elements: the partial sums of a row of a matrix.
    type RowLane<I: Isa>: Lane<Real = Self, Single = Self::Lane<I>>;
    /// A buffer for one span, which stays in the first-level cache.
    type Span: AsMut<[Self]>;
    const SPAN: Self::Span;
    /// The same for a span's e^-|z|, with room to choose where it begins.
    type ExpSpan: AsMut<[Self]>;
    const EXP_SPAN: Self::ExpSpan;
    const SPAN_LOG2: i32;
    /// A buffer with an element for each row of a block, or for copies of inputs.
    type Rows: AsRef<[Self]> + AsMut<[Self]>;
    const ROWS: Self::Rows;

    const ZERO: Self;
    const HALF: Self;
    const ONE: Self;
    const MAX: Self;
    const INFINITY: Self;
    const NAN: Self;
    const SIGN_BIT: Self;
    /// log2(e) or, where `COMPENSATED`, 8 log2(e): x in steps of e^x's reduction.
    const INVERSE_STEP: Self;
    /// The step, ln 2 or ln(2)/8, in two parts: n times the first is taken off exactly, from |x| = 1/8 on.
    const STEP_HI: Self;
    const STEP_LO: Self;
    /// `ROUNDER`, or one more where `ROUNDER` `STEP_LO` is `STEP_HI` + s, by which `EXP_TABLE` is off the powers of 2.
    const ROUNDER_OF_HI: Self;
    /// 2^(j/8) e^s less j/8 of a binade in the pattern, where `COMPENSATED`.
    const EXP_TABLE: [Self; 8];
    /// ln 2 in two parts of which the first has trailing zeros.
    const LN2_HI: Self;
    const LN2_LO: Self;
    /// Adding it to a number below 2^(p-2) rounds that number to an integer,
    /// which then stands in the low bits of the sum.
    const ROUNDER: Self;
    const EXP: &'static [Self];
    /// The factor C of `ExpNeg`'s e, 1 where `COMPENSATED`, and 1/C.
    const EXP_SCALE: Self;
    const EXP_UNSCALE: Self;
    const LOG1P: &'static [Self];
    /// Whether e/(1+e) is corrected for the last rounding of e and for that of
    /// 1 + e: sigmoid's error in `f64` falls from 2.4 to 1.0 ULP.
    const COMPENSATED: bool;
    /// Up to here the fast kernel holds: e^-a times 1/2, or times the unit of
    /// the last place where `COMPENSATED`, is normal.
    const FAST_LIMIT: Self;
    /// Up to here no part of an emulated FMA is subnormal, if `COMPENSATED`.
    const EMULATED_LIMIT: Self;
    /// Less than e^-`FAST_LIMIT`, and the same holds of it.
    const LEAST_FAST: Self;
    /// Nothing beside 1, and normal times `LEAST_FAST`, if `COMPENSATED`.
    const LEAST_HALF: Self;
    /// Nothing beside e or what it lacks, if `COMPENSATED`, and normal.
    const LEAST_LOW: Self;
    /// See `ExpTerms::hessian`.
    const HESSIAN_CORRECTION: Self;
    /// Beyond, e^-a rounds to 0.
    const ZERO_LIMIT: Self;
    /// A power of two 2^S by which subnormals are held scaled, and the number
    /// whose unit in the last place is the smallest subnormal times 2^S.
    const SUBNORMAL_SHIFT: u64;
    const SUBNORMAL_ROUNDER: Self;
    /// 2^-`SUBNORMAL_SHIFT`.
    const SUBNORMAL_UNSCALE: Self;
    /// See `span_sum::Window`.
    const WINDOW_LIMIT: Self;
    /// At most the same, and the parts of losses that `Vectors` adds up are exact up to here.
    const SHORT_SUM_LIMIT: Self;
    const WINDOW_UNIT: i32;
    const WINDOW_LOW_UNIT: i32;
    const WINDOW_ADDITIONS: usize;
    const LN: &'static [Self];
    const ATANH: &'static [Self];
    const QUARTER: Self;
    const MIN_POSITIVE: Self;
    const SQRT_HALF: Self;
    /// A factor that makes every subnormal normal, and its exponent.
    const SUBNORMAL_SCALE: Self;
    const SUBNORMAL_SCALE_LOG2: Self;
    /// 2^(fraction bits), alone and plus the exponent's bias.
    const TWO_TO_PRECISION: Self;
    const TWO_TO_PRECISION_AND_BIAS: Self;
    /// The fraction field's mask.
    const FRACTION: Self;

    const FRACTION_BITS: i32;
    const MAX_EXPONENT: i32;
    /// The binary exponent of a non-negative number, by its pattern; beyond
    /// `MAX_EXPONENT` if not finite.
    fn exponent(pattern: u64) -> i32;

    fn of_f64(value: f64) -> Self;
    fn as_f64(self) -> f64;
    fn pattern(self) -> u64;
    fn of_pattern(pattern: u64) -> Self;
}

impl Float for f32 {
    type Lane<I: Isa> = I::F32;
    type OneLane<I: Isa> = I::OneF32;
    type GroupLane<I: Isa> = I::GroupF32;
    type FinishLane<I: Isa> = I::GroupF32;
    type FullLane<I: Isa> = I::FullF32;
    type RowLane<I: Isa> = I::RowF32;
    type Span = Aligned<[Self; SPAN_BYTES / size_of::<Self>()]>;
    const SPAN: Self::Span = Aligned([0.0; SPAN_BYTES / size_of::<Self>()]);
    type ExpSpan = Aligned<[Self; (SPAN_BYTES + SPAN_ROOM) / size_of::<Self>()]>;
    const EXP_SPAN: Self::ExpSpan = Aligned([0.0; (SPAN_BYTES + SPAN_ROOM) / size_of::<Self>()]);
    const SPAN_LOG2: i32 = (SPAN_BYTES / size_of::<Self>()).ilog2() as i32;
    type Rows = [Self; ROW_BLOCK_BYTES / size_of::<Self>()];
    const ROWS: Self::Rows = [0.0; ROW_BLOCK_BYTES / size_of::<Self>()];

    const ZERO: Self = 0.0;
    const HALF: Self = 0.5;
    const ONE: Self = 1.0;
    const MAX: Self = f32::MAX;
    const INFINITY: Self = f32::INFINITY;
    const NAN: Self = f32::NAN;
    const SIGN_BIT: Self = -0.0;
    const INVERSE_STEP: Self = single::LOG2_E;
    const STEP_HI: Self = single::LN2_HI;
    const STEP_LO: Self = single::LN2_LO;
    const ROUNDER_OF_HI: Self = Self::ROUNDER;
    const EXP_TABLE: [Self; 8] = [1.0; 8];
    const LN2_HI: Self = single::LN2_HI;
    const LN2_LO: Self = single::LN2_LO;
    const ROUNDER: Self = 12_582_912.0; // 1.5 * 2^23
    const EXP: &'static [Self] = &single::EXP;
    const EXP_SCALE: Self = single::EXP_SCALE;
    const EXP_UNSCALE: Self = single::LOG1P[0];
    const LOG1P: &'static [Self] = &single::LOG1P;
    const COMPENSATED: bool = false;
    const FAST_LIMIT: Self = 86.5;
    const EMULATED_LIMIT: Self = Self::FAST_LIMIT;
    const LEAST_FAST: Self = f32::from_bits((127 - 125) << 23 | 1 << 20);
    const LEAST_HALF: Self = 0.0;
    const LEAST_LOW: Self = 0.0;
    const HESSIAN_CORRECTION: Self = 0.359375;
    const ZERO_LIMIT: Self = 104.0;
    const SUBNORMAL_SHIFT: u64 = 64;
    const SUBNORMAL_ROUNDER: Self = f32::from_bits((127 - 62) << 23); // 2^(-149 + 64 + 23)
    const SUBNORMAL_UNSCALE: Self = f32::from_bits((127 - 64) << 23);
    // e^-13 > 2^-19, and 37 (13 + ln 2) < 2^9.
    const WINDOW_LIMIT: Self = 13.0;
    // e^-11.75 > 2^-17, and 512 (11.75 + ln 2) < 2^13: 53 bits from 2^-40 on.
    const SHORT_SUM_LIMIT: Self = 11.75;
    const WINDOW_UNIT: i32 = -19 - 23;
    const WINDOW_LOW_UNIT: i32 = 0;
    const WINDOW_ADDITIONS: usize = 37;
    const LN: &'static [Self] = &single::LN;
    const ATANH: &'static [Self] = &single::ATANH;
    const QUARTER: Self = 0.25;
    const MIN_POSITIVE: Self = f32::MIN_POSITIVE;
    const SQRT_HALF: Self = core::f32::consts::FRAC_1_SQRT_2;
    const SUBNORMAL_SCALE: Self = 16_777_216.0;
    const SUBNORMAL_SCALE_LOG2: Self = 24.0;
    const TWO_TO_PRECISION: Self = 8_388_608.0;
    const TWO_TO_PRECISION_AND_BIAS: Self = 8_388_735.0;
    const FRACTION: Self = f32::from_bits((1 << 23) - 1);

    const FRACTION_BITS: i32 = 23;
    const MAX_EXPONENT: i32 = 127;
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn exponent(pattern: u64) -> i32 {
        ((pattern >> 23) as i32).max(1) - 127
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn of_f64(value: f64) -> Self {
        value as f32
    }
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn as_f64(self) -> f64 {
        f64::from(self)
    }
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn pattern(self) -> u64 {
        u64::from(f32::to_bits(self))
    }
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn of_pattern(pattern: u64) -> Self {
        f32::from_bits(pattern as u32)
    }
}

impl Float for f64 {
    type Lane<I: Isa> = I::F64;
    type OneLane<I: Isa> = I::OneF64;
    type GroupLane<I: Isa> = I::GroupF64;
    type FinishLane<I: Isa> = I::FinishF64;
    type FullLane<I: Isa> = I::FullF64;
    type RowLane<I: Isa> = I::RowF64;
    type Span = Aligned<[Self; SPAN_BYTES / size_of::<Self>()]>;
    const SPAN: Self::Span = Aligned([0.0; SPAN_BYTES / size_of::<Self>()]);
    type ExpSpan = Aligned<[Self; (2 * SPAN_BYTES + SPAN_ROOM) / size_of::<Self>()]>;
    const EXP_SPAN: Self::ExpSpan =
        Aligned([0.0; (2 * SPAN_BYTES + SPAN_ROOM) / size_of::<Self>()]);
    const SPAN_LOG2: i32 = (SPAN_BYTES / size_of::<Self>()).ilog2() as i32;
    type Rows = [Self; ROW_BLOCK_BYTES / size_of::<Self>()];
    const ROWS: Self::Rows = [0.0; ROW_BLOCK_BYTES / size_of::<Self>()];

    const ZERO: Self = 0.0;
    const HALF: Self = 0.5;
    const ONE: Self = 1.0;
    const MAX: Self = f64::MAX;
    const INFINITY: Self = f64::INFINITY;
    const NAN: Self = f64::NAN;
    const SIGN_BIT: Self = -0.0;
    const INVERSE_STEP: Self = double::INVERSE_STEP;
    const STEP_HI: Self = double::STEP_HI;
    const STEP_LO: Self = double::STEP_LO;
    const ROUNDER_OF_HI: Self = double::ROUNDER + 1.0;
    const EXP_TABLE: [Self; 8] = double::EXP_TABLE;
    const LN2_HI: Self = double::LN2_HI;
    const LN2_LO: Self = double::LN2_LO;
    const ROUNDER: Self = double::ROUNDER;
    const EXP: &'static [Self] = &double::EXP;
    const EXP_SCALE: Self = 1.0;
    const EXP_UNSCALE: Self = 1.0;
    const LOG1P: &'static [Self] = &double::LOG1P;
    const COMPENSATED: bool = true;
    const FAST_LIMIT: Self = 640.0;
    const EMULATED_LIMIT: Self = 200.0;
    const LEAST_FAST: Self = f64::from_bits((1023 - 924) << 52);
    const LEAST_HALF: Self = f64::from_bits((1023 - 90) << 52);
    const LEAST_LOW: Self = f64::from_bits((1023 - 1000) << 52);
    const HESSIAN_CORRECTION: Self = 0.0;
    const ZERO_LIMIT: Self = 745.5;
    const SUBNORMAL_SHIFT: u64 = 128;
    const SUBNORMAL_ROUNDER: Self = f64::from_bits((1023 - 894) << 52); // 2^(-1074 + 128 + 52)
    const SUBNORMAL_UNSCALE: Self = f64::from_bits((1023 - 128) << 52);
    // e^-24.9 > 2^-36, and 32 (24.9 + ln 2) < 2^10; what 2^-41 leaves is at most 2^-42.
    const WINDOW_LIMIT: Self = 24.9;
    // e^-15.3 > 2^-23: multiples of 2^-75, and 256 (15.3 + ln 2) < 2^12: 53 bits from 2^-41 on.
    const SHORT_SUM_LIMIT: Self = 15.3;
    const WINDOW_UNIT: i32 = -41;
    const WINDOW_LOW_UNIT: i32 = -36 - 52;
    const WINDOW_ADDITIONS: usize = 32;
    const LN: &'static [Self] = &double::LN;
    const ATANH: &'static [Self] = &double::ATANH;
    const QUARTER: Self = 0.25;
    const MIN_POSITIVE: Self = f64::MIN_POSITIVE;
    const SQRT_HALF: Self = core::f64::consts::FRAC_1_SQRT_2;
    const SUBNORMAL_SCALE: Self = 9_007_199_254_740_992.0;
    const SUBNORMAL_SCALE_LOG2: Self = 53.0;
    const TWO_TO_PRECISION: Self = 4_503_599_627_370_496.0;
    const TWO_TO_PRECISION_AND_BIAS: Self = 4_503_599_627_371_519.0;
    const FRACTION: Self = f64::from_bits((1 << 52) - 1);

    const FRACTION_BITS: i32 = 52;
    const MAX_EXPONENT: i32 = 1023;
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn exponent(pattern: u64) -> i32 {
        ((pattern >> 52) as i32).max(1) - 1023
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn of_f64(value: f64) -> Self {
        value
    }
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn as_f64(self) -> f64 {
        self
    }
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn pattern(self) -> u64 {
        f64::to_bits(self)
    }
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn of_pattern(pattern: u64) -> Self {
        f64::from_bits(pattern)
    }
}

/// What is known of an fma: `Lane::fma`, `Lane::fma_near`, and so on.
#[derive(Clone, Copy, PartialEq)]
pub enum Fma {
    Any,
    Near,
    Cancelling,
    NegInteger,
}

impl Fma {
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn of<L: Lane>(self, a: L, b: L, c: L) -> L {
        match self {
            Self::Any => a.fma(b, c),
            Self::Near => a.fma_near(b, c),
            Self::Cancelling => a.fma_cancelling(b, c),
            Self::NegInteger => a.neg_fma_integer(b, c),
        }
    }
}

/// A vector of `WIDTH` elements. See the module's laws.
pub trait Lane:
    Copy
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
{
    type Real: Float;
    type Mask: Copy;
    /// `f64` lanes that hold `widen`ed elements.
    type Wide: Lane<Real = f64>;
    /// One vector register; this lane itself, unless it consists of several.
    type Single: Lane<Real = Self::Real>;
    const WIDTH: usize;

    /// Whether `max_bits` is one operation.
    const MAX_BITS_IS_ONE: bool = Self::Real::FRACTION_BITS < 52;

    /// The larger patterns of `so_far` and of each of this lane's registers.
    fn max_bits_into(self, so_far: Self::Single) -> Self::Single;
    /// The smaller ones.
    fn min_bits_into(self, so_far: Self::Single) -> Self::Single;
    /// The larger patterns, but maybe for their lower halves: cheaper on AVX2.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn max_upper_into(self, so_far: Self::Single) -> Self::Single {
        self.max_bits_into(so_far)
    }
    /// Whether a pattern that went into `max_upper_into` is above that of `limit`, a splat. May be
    /// true where one is the same but for its lower half.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn may_exceed(self, limit: Self) -> bool {
        self.exceeds_bits(limit)
    }
    /// The bits that are set in `so_far` or in any of this lane's registers.
    fn or_bits_into(self, so_far: Self::Single) -> Self::Single;
    fn splat(value: Self::Real) -> Self;
    /// `splat` of a constant that had better stay in a register, or on the stack, while a loop runs.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn splat_kept(value: Self::Real) -> Self {
        Self::splat(value)
    }
    /// `splat` of one that had better not, where others do.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn splat_anew(value: Self::Real) -> Self {
        Self::splat(value)
    }
    /// Makes a `splat_kept` in front of a loop: compilers leave it in a body that may end before it needs it.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn keep(_value: Self::Real) {}
    /// The elements of one register, and zeros behind them.
    fn of_single(single: Self::Single) -> Self;
    /// The first `WIDTH` elements; where there are fewer, those and then zeros.
    fn load(from: &[Self::Real]) -> Self;
    /// `load` of one to `WIDTH` elements.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn load_part(from: &[Self::Real]) -> Self {
        Self::load(from)
    }
    /// Writes the first `WIDTH` elements, or as many as there are.
    fn store(self, to: &mut [Self::Real]);
    /// `store` of what was selected, in part from what is there: compilers would make one under a mask of it, which
    /// takes some CPUs as long as a loop's other operations.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn store_blended(self, to: &mut [Self::Real]) {
        let (all, ..) = Self::abreast_4(self, self, self, self);
        all.store(to);
    }
    /// As `store`, past the caches where the address is aligned.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn stream(self, to: &mut [Self::Real]) {
        self.store(to);
    }

    /// self * factor + addend, rounded once.
    fn fma(self, factor: Self, addend: Self) -> Self;
    /// Whether `fma_4` is faster than `fma` four times.
    const FOURS: bool = false;
    /// `fma` of a pair.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn fma_2(kind: Fma, a: [Self; 2], b: [Self; 2], c: [Self; 2]) -> [Self; 2] {
        let ([p, q], [r, s], [t, u]) = (a, b, c);
        [kind.of(p, r, t), kind.of(q, s, u)]
    }
    /// `fma` of a pair of pairs.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn fma_4(kind: Fma, a: [Self; 4], b: [Self; 4], c: [Self; 4]) -> [Self; 4] {
        let ([p, q, r, s], [t, u, v, w], [x, y, z, m]) = (a, b, c);
        [
            kind.of(p, t, x),
            kind.of(q, u, y),
            kind.of(r, v, z),
            kind.of(s, w, m),
        ]
    }
    /// addend - self * factor, rounded once.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn neg_fma(self, factor: Self, addend: Self) -> Self {
        (-self).fma(factor, addend)
    }
    /// `fma` where the caller knows that minus the product is within a factor of 2 of the
    /// addend, or the addend 0, or the product exact: cheaper where fma is emulated.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn fma_cancelling(self, factor: Self, addend: Self) -> Self {
        self.fma(factor, addend)
    }
    /// The same of `neg_fma`.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn neg_fma_cancelling(self, factor: Self, addend: Self) -> Self {
        self.neg_fma(factor, addend)
    }
    /// `fma`, cheaper where it is emulated: of `f64` where the caller knows that the product is at most the
    /// addend, whose magnitude, if not 0, is from 2^-960 to 2^1000, and no factor is subnormal; of `f32` where
    /// the result is exact or normal.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn fma_near(self, factor: Self, addend: Self) -> Self {
        self.fma(factor, addend)
    }
    /// The same of `neg_fma`.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn neg_fma_near(self, factor: Self, addend: Self) -> Self {
        self.neg_fma(factor, addend)
    }
    /// `neg_fma_cancelling` of an integer below 2^20; of `f32` where the result is exact.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn neg_fma_integer(self, factor: Self, addend: Self) -> Self {
        self.neg_fma_cancelling(factor, addend)
    }
    /// `fma` where the caller knows that the product is exact.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn fma_of_exact(self, factor: Self, addend: Self) -> Self {
        self.fma(factor, addend)
    }
    /// self * factor + `ROUNDER`, rounded once, and that less `ROUNDER_OF_HI`, where the product is below 2^20.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn round_product(self, factor: Self) -> (Self, Self) {
        let rounder = Self::splat(Self::Real::ROUNDER);
        let rounded = self.fma(factor, rounder);
        (rounded, rounded - Self::splat(Self::Real::ROUNDER_OF_HI))
    }
    /// Whether a lane has a `round_product` of its own.
    const ROUNDS: bool = false;
    fn abs(self) -> Self;
    /// The same values, none of which is computed further before all are as far as this.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn abreast(self) -> Self {
        self
    }
    /// `abreast` of a pair.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn abreast_2(a: Self, b: Self) -> (Self, Self) {
        (a, b)
    }
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn abreast_4(a: Self, b: Self, c: Self, d: Self) -> (Self, Self, Self, Self) {
        (a, b, c, d)
    }
    /// self > other ? self : other; other where either is NaN.
    fn max_or(self, other: Self) -> Self;
    /// self < other ? self : other; other where either is NaN.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn min_or(self, other: Self) -> Self {
        Self::select(other.greater(self), self, other)
    }

    /// False where either is NaN.
    fn greater(self, other: Self) -> Self::Mask;
    fn equal(self, other: Self) -> Self::Mask;
    fn select(mask: Self::Mask, yes: Self, no: Self) -> Self;
    /// True in the first `count` lanes.
    fn first(count: usize) -> Self::Mask;
    /// By the sign bit of `self`, zeros and NaN included.
    fn select_negative(self, negative: Self, nonnegative: Self) -> Self;

    /// 0 where the sign bit is set, else 1.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn step(self) -> Self {
        self.select_negative(Self::splat(Self::Real::ZERO), Self::splat(Self::Real::ONE))
    }

    /// The sign of -self, for the functions below: its sign bit, else 0, or what a lane puts in its place.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn sign_of_minus(self) -> Self {
        self.xor_bits(self.or_bits(Self::splat(Self::Real::SIGN_BIT)))
    }
    /// A number that has no sign with that of `sign`, a `sign_of_minus`.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn with_sign(self, sign: Self) -> Self {
        self.xor_bits(sign)
    }
    /// addend + `with_sign`.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn add_with_sign(self, sign: Self, addend: Self) -> Self {
        addend + self.with_sign(sign)
    }

    /// `step`, and `self` where its sign bit is not set, else 0.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn step_and_positive(self) -> (Self, Self) {
        (self.step(), self.max_or(Self::splat(Self::Real::ZERO)))
    }
    /// `add_with_sign` of `of.sign_of_minus()`, for where operations of any kind count.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn add_with_sign_of_minus(self, of: Self, addend: Self) -> Self {
        self.add_with_sign(of.sign_of_minus(), addend)
    }

    // Bit patterns as unsigned integers, wrapping.
    fn add_bits(self, other: Self) -> Self;
    fn sub_bits(self, other: Self) -> Self;
    /// Shift left by the fraction's width: the low bits become the exponent field.
    fn low_bits_to_exponent(self) -> Self;
    /// Shift left by three less: an integer's eighths become the exponent, the rest the upper fraction.
    fn eighths_to_exponent(self) -> Self;
    /// Shift right by the fraction's width.
    fn exponent_to_low_bits(self) -> Self;
    fn and_bits(self, other: Self) -> Self;
    fn or_bits(self, other: Self) -> Self;
    fn xor_bits(self, other: Self) -> Self;
    fn max_bits(self, other: Self) -> Self;
    fn min_bits(self, other: Self) -> Self;
    fn reduce_max_bits(self) -> u64;
    fn reduce_min_bits(self) -> u64;
    /// The patterns' sum as signed integers.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn reduce_add_bits(self) -> i64 {
        let mut lanes = [Self::Real::ZERO; 16];
        self.store(&mut lanes);
        let add = |sum: i64, lane: Self::Real| sum.wrapping_add(lane.pattern() as i64);
        lanes.into_iter().fold(0, add)
    }
    /// Whether any element's pattern is above that of `limit`, a splat.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn exceeds_bits(self, limit: Self) -> bool {
        self.reduce_max_bits() > limit.reduce_max_bits()
    }

    /// p * 2^k, where `rounded` is k + `ROUNDER`, `exponent` is k, p is in
    /// (1/2, 2) and the result is normal; any number otherwise.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn scale(self, rounded: Self, exponent: Self) -> Self {
        let _ = exponent;
        self.add_bits(rounded.low_bits_to_exponent())
    }

    /// Those of `EXP_TABLE` that the lowest three bits say.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn exp_table(self) -> Self {
        let mut lanes = [Self::Real::ZERO; 16];
        self.store(&mut lanes);
        for lane in &mut lanes {
            *lane = of_exp_table(*lane);
        }
        Self::load(&lanes)
    }

    /// The elements as `f64`: the lower half and the upper half. `f64` lanes
    /// and lanes of one element return themselves and zero.
    fn widen(self) -> (Self::Wide, Self::Wide);
    /// `widen` of `load` where there are `WIDTH` elements.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn load_widened(from: &[Self::Real]) -> (Self::Wide, Self::Wide) {
        Self::load(from).widen()
    }
    /// `widen` times 2^-`SPREAD_LOG2`, in an order of the lane's own, of elements that have no sign.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn spread(self) -> (Self::Wide, Self::Wide) {
        self.widen()
    }
    /// `spread` of `load` where there are `WIDTH` elements.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn load_spread(from: &[Self::Real]) -> (Self::Wide, Self::Wide) {
        Self::load_widened(from)
    }
    const SPREAD_LOG2: i32 = 0;
    /// The inverse of `widen`: each element rounded to nearest even.
    fn narrow(low: Self::Wide, high: Self::Wide) -> Self;
    /// The lower 32 bits of the patterns of both, in an order of the lane's own.
    fn low_words(low: Self::Wide, high: Self::Wide) -> Self;
    /// `Isa::run` on this lane's instruction set.
    fn run_outlined<J: Job>(self, job: J) -> J::Output;
    /// How many of the two lanes of `widen` hold elements.
    const HALVES: usize = if Self::Wide::WIDTH < Self::WIDTH {
        2
    } else {
        1
    };
    /// Sum over the lanes; the caller knows that every order of it is exact.
    fn reduce_exact_sum(self) -> Self::Real;
    /// Element i is the sum of row i, of a fixed shape: halves are added (element k
    /// and k + `WIDTH`/2), then halves of that, to the last.
    fn sum_rows<R: Rows<Self>>(rows: R) -> Self::Single;
}

/// `Lane::exp_table` of one element.
#[cfg_attr(not(debug_assertions), inline(always))]
fn of_exp_table<T: Float>(element: T) -> T {
    T::EXP_TABLE[(element.pattern() & 7) as usize]
}

/// As many lanes as a register has elements, made one by one, in order.
pub trait Rows<L: Lane> {
    fn next_row(&mut self) -> L;
}

/// An instruction set: a zero-sized proof that the machine has it.
pub trait Isa: Copy {
    type F32: Lane<Real = f32, Wide = Self::F64, Single = Self::F32>;
    type F64: Lane<Real = f64, Wide = Self::F64, Single = Self::F64>;
    type OneF32: Lane<Real = f32, Single = Self::OneF32>;
    type OneF64: Lane<Real = f64, Single = Self::OneF64>;
    type GroupF32: Lane<Real = f32, Single = Self::F32>;
    type FullF32: Lane<Real = f32, Single = Self::F32>;
    type GroupF64: Lane<Real = f64, Single = Self::F64>;
    type FinishF64: Lane<Real = f64, Single = Self::F64>;
    type FullF64: Lane<Real = f64, Single = Self::F64>;
    type RowF32: Lane<Real = f32, Single = Self::F32>;
    type RowF64: Lane<Real = f64, Single = Self::F64>;
    /// Whether the fast form of a function is worth its code besides the full one.
    const FAST: bool;
    /// Whether `stream` is more than `store`.
    const STREAMS: bool = false;

    /// Runs the job with this instruction set's code, in a function of its own.
    fn run<J: Job>(self, job: J) -> J::Output;
    /// The same of a job that needs no vector on the stack.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn run_bare<J: Job>(self, job: J) -> J::Output {
        job.run(self)
    }
    /// The same of a job whose slices stay in registers, and with little need of the stack.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn run_short<T: Float, J: ShortJob>(self, z: &[T], t: &[T], output: &mut [T]) -> f64 {
        J::run(self, z, t, output)
    }
    /// Asks for the line `ahead` elements after the start of `of`. Never faults.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn prefetch<T>(self, of: &[T], ahead: usize) {
        let _ = (of, ahead);
    }
    /// The same, to the second-level cache: for what is read when the first one's contents are done with.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn prefetch_later<T>(self, of: &[T], ahead: usize) {
        let _ = (of, ahead);
    }
    /// Orders earlier `stream`s before whatever follows.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn fence(self) {}
    /// Whether large results are always streamed: the CPU's maker is asked, which takes microseconds.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn always_streams(self) -> bool {
        false
    }
}

/// Work that is generic over the instruction set.
pub trait Job {
    type Output;
    fn run<I: Isa>(self, isa: I) -> Self::Output;
}

/// Work on few elements: a struct would be passed in memory.
pub trait ShortJob {
    fn run<I: Isa, T: Float>(isa: I, z: &[T], t: &[T], output: &mut [T]) -> f64;
}
