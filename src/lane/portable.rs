//! The `Wide` backend: `wide::f32x8` and `wide::f64x4`, SIMD on any target that
//! the `wide` crate knows, without run-time detection.

use wide::{f32x8, f64x4, u32x8, u64x4};

use super::emulated::{self, Doubled, Vector};
use super::pair::Pair;
use super::{Float, Isa, Job, Lane, Rows, of_exp_table};

/// The portable vector backend; every machine has it.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

impl Isa for Portable {
    type F32 = Doubled;
    type F64 = f64x4;
    type OneF32 = Doubled;
    type OneF64 = f64x4;
    type GroupF32 = GroupF32;
    type FullF32 = Doubled;
    type GroupF64 = Pair<f64x4>;
    type FinishF64 = Pair<f64x4>;
    type FullF64 = FullF64;
    type RowF32 = Pair<Doubled>;
    type RowF64 = Pair<Pair<f64x4>>;
    const FAST: bool = HARDWARE_FMA;

    #[inline(never)]
    fn run<J: Job>(self, job: J) -> J::Output {
        job.run(self)
    }
}

#[cfg(debug_assertions)]
type FullF64 = f64x4;
#[cfg(not(debug_assertions))]
type FullF64 = Pair<f64x4>;

cfg_if::cfg_if! {
    if #[cfg(any(
        debug_assertions,
        all(any(target_arch = "x86", target_arch = "x86_64"), target_feature = "avx", target_feature = "fma"),
        all(target_arch = "aarch64", target_feature = "neon"),
    ))] {
        type GroupF32 = Doubled;
    } else {
        /// Emulated, one chain is longer than a CPU looks past.
        type GroupF32 = Pair<Doubled>;
    }
}

/// Whether `wide`'s `mul_add` is one instruction.
const HARDWARE_FMA: bool = cfg!(any(
    all(
        any(target_arch = "x86", target_arch = "x86_64"),
        target_feature = "avx",
        target_feature = "fma"
    ),
    all(target_arch = "aarch64", target_feature = "neon"),
));

/// Out of line, as is `store_part`: a kernel has many of them.
#[inline(never)]
fn padded<T: Float, const WIDTH: usize>(from: &[T]) -> [T; WIDTH] {
    let mut padded = [T::ZERO; WIDTH];
    for (to, from) in padded.iter_mut().zip(from) {
        *to = *from;
    }
    padded
}

#[inline(never)]
fn store_part<T: Float, const WIDTH: usize>(from: [T; WIDTH], to: &mut [T]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = from;
    }
}

/// One macro, because the two element types differ in names alone.
macro_rules! portable_lane {
    ($lane:ident, $vector:ident, $bits:ident, $real:ident, $unsigned:ident, $width:literal, $fraction:literal,
     $fma:ident, $fma_cancelling:ident, $fma_near:ident,
     $neg_fma_integer:ident, $round_product:ident, $lanes:expr,
     |$wide:ident| $widen:expr, |$low:ident, $high:ident| $narrow:expr, $low_words:expr) => {
        impl Lane for $lane {
            type Real = $real;
            type Mask = $vector;
            type Wide = f64x4;
            type Single = Self;
            const WIDTH: usize = $width;

            #[cfg_attr(not(debug_assertions), inline(always))]
            fn or_bits_into(self, so_far: Self) -> Self {
                so_far.or_bits(self)
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn max_bits_into(self, so_far: Self) -> Self {
                so_far.max_bits(self)
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn min_bits_into(self, so_far: Self) -> Self {
                so_far.min_bits(self)
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn splat(value: $real) -> Self {
                Self::of($vector::splat(value))
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn of_single(single: Self) -> Self {
                single
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn load(from: &[$real]) -> Self {
                if let Some(full) = from.first_chunk::<$width>() {
                    return Self::of($vector::new(*full));
                }
                Self::of($vector::new(padded(from)))
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn store(self, to: &mut [$real]) {
                if let Some(full) = to.first_chunk_mut::<$width>() {
                    *full = self.vector().to_array();
                    return;
                }
                store_part(self.vector().to_array(), to);
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn fma(self, factor: Self, addend: Self) -> Self {
                if HARDWARE_FMA {
                    Self::of(self.vector().mul_add(factor.vector(), addend.vector()))
                } else {
                    emulated::$fma(self, factor, addend)
                }
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn fma_cancelling(self, factor: Self, addend: Self) -> Self {
                if HARDWARE_FMA {
                    self.fma(factor, addend)
                } else {
                    emulated::$fma_cancelling(self, factor, addend)
                }
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn neg_fma_cancelling(self, factor: Self, addend: Self) -> Self {
                (-self).fma_cancelling(factor, addend)
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn fma_near(self, factor: Self, addend: Self) -> Self {
                if HARDWARE_FMA {
                    self.fma(factor, addend)
                } else {
                    emulated::$fma_near(self, factor, addend)
                }
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn neg_fma_near(self, factor: Self, addend: Self) -> Self {
                (-self).fma_near(factor, addend)
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn neg_fma_integer(self, factor: Self, addend: Self) -> Self {
                if HARDWARE_FMA {
                    (-self).fma(factor, addend)
                } else {
                    emulated::$neg_fma_integer(self, factor, addend)
                }
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn fma_of_exact(self, factor: Self, addend: Self) -> Self {
                if HARDWARE_FMA {
                    self.fma(factor, addend)
                } else {
                    self * factor + addend
                }
            }
            const ROUNDS: bool = !HARDWARE_FMA;
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn round_product(self, factor: Self) -> (Self, Self) {
                if HARDWARE_FMA {
                    let rounder = Self::splat(Self::Real::ROUNDER);
                    let rounded = self.fma(factor, rounder);
                    (rounded, rounded - Self::splat(Self::Real::ROUNDER_OF_HI))
                } else {
                    emulated::$round_product(self, factor)
                }
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn abs(self) -> Self {
                Self::of($vector::from_bits(
                    self.vector().to_bits() & $bits::splat($unsigned::MAX >> 1),
                ))
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn max_or(self, other: Self) -> Self {
                Self::select(self.greater(other), self, other)
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn greater(self, other: Self) -> $vector {
                self.vector().simd_gt(other.vector())
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn equal(self, other: Self) -> $vector {
                self.vector().simd_eq(other.vector())
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn select(mask: $vector, yes: Self, no: Self) -> Self {
                Self::of(mask.bitselect(yes.vector(), no.vector()))
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn first(count: usize) -> $vector {
                $vector::splat(count as $real).simd_gt($vector::new($lanes))
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn select_negative(self, negative: Self, nonnegative: Self) -> Self {
                let sign = self
                    .vector()
                    .to_bits()
                    .unbounded_shr_scalar($unsigned::BITS - 1);
                let mask = $bits::splat(0) - sign;
                Self::select($vector::from_bits(mask), negative, nonnegative)
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn add_bits(self, other: Self) -> Self {
                Self::of($vector::from_bits(
                    self.vector().to_bits() + other.vector().to_bits(),
                ))
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn sub_bits(self, other: Self) -> Self {
                Self::of($vector::from_bits(
                    self.vector().to_bits() - other.vector().to_bits(),
                ))
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn low_bits_to_exponent(self) -> Self {
                Self::of($vector::from_bits(
                    self.vector().to_bits().unbounded_shl_scalar($fraction),
                ))
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn exp_table(self) -> Self {
                Self::of($vector::new(self.vector().to_array().map(of_exp_table)))
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn eighths_to_exponent(self) -> Self {
                Self::of($vector::from_bits(
                    self.vector().to_bits().unbounded_shl_scalar($fraction - 3),
                ))
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn exponent_to_low_bits(self) -> Self {
                Self::of($vector::from_bits(
                    self.vector().to_bits().unbounded_shr_scalar($fraction),
                ))
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn and_bits(self, other: Self) -> Self {
                Self::of($vector::from_bits(
                    self.vector().to_bits() & other.vector().to_bits(),
                ))
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn or_bits(self, other: Self) -> Self {
                Self::of($vector::from_bits(
                    self.vector().to_bits() | other.vector().to_bits(),
                ))
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn xor_bits(self, other: Self) -> Self {
                Self::of($vector::from_bits(
                    self.vector().to_bits() ^ other.vector().to_bits(),
                ))
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn max_bits(self, other: Self) -> Self {
                Self::of($vector::from_bits(
                    self.vector().to_bits().max(other.vector().to_bits()),
                ))
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn min_bits(self, other: Self) -> Self {
                Self::of($vector::from_bits(
                    self.vector().to_bits().min(other.vector().to_bits()),
                ))
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn reduce_max_bits(self) -> u64 {
                u64::from(self.vector().to_bits().reduce_max())
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn reduce_min_bits(self) -> u64 {
                u64::from(self.vector().to_bits().reduce_min())
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn widen(self) -> (f64x4, f64x4) {
                let $wide = self;
                $widen
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn narrow($low: f64x4, $high: f64x4) -> Self {
                $narrow
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn low_words(low: f64x4, high: f64x4) -> Self {
                $low_words(low, high)
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn run_outlined<J: Job>(self, job: J) -> J::Output {
                Portable.run(job)
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn reduce_exact_sum(self) -> $real {
                self.vector().to_array().iter().sum()
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn sum_rows<R: Rows<Self>>(mut rows: R) -> Self {
                let mut lanes = [$vector::splat(0.0); $width];
                for lane in &mut lanes {
                    *lane = rows.next_row().vector();
                }
                // Now vector k holds element k of every row.
                let mut lanes = $vector::transpose(lanes);
                let mut left = $width / 2;
                while left > 0 {
                    let (low, high) = lanes.split_at_mut(left);
                    for (low, high) in low.iter_mut().zip(high) {
                        *low += *high;
                    }
                    left /= 2;
                }
                Self::of(lanes[0])
            }
        }
    };
}

portable_lane!(
    Doubled,
    f32x8,
    u32x8,
    f32,
    u32,
    8,
    23,
    fma_f32,
    fma_cancelling_f32,
    fma_near_f32,
    neg_fma_integer_f32,
    round_product_f32,
    [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0],
    |v| v.doubles(),
    |low, high| {
        let [a, b, c, d] = low.to_array().map(|v| v as f32);
        let [e, f, g, h] = high.to_array().map(|v| v as f32);
        Doubled::of(f32x8::new([a, b, c, d, e, f, g, h]))
    },
    |low: f64x4, high: f64x4| {
        let word = |v: f64| f32::from_bits(v.to_bits() as u32);
        let [a, b, c, d] = low.to_array().map(word);
        let [e, f, g, h] = high.to_array().map(word);
        Doubled::of(f32x8::new([a, b, c, d, e, f, g, h]))
    }
);
portable_lane!(
    f64x4,
    f64x4,
    u64x4,
    f64,
    u64,
    4,
    52,
    fma_f64,
    fma_cancelling_f64,
    fma_near_f64,
    neg_fma_integer_f64,
    round_product_f64,
    [0.0, 1.0, 2.0, 3.0],
    |v| (v, f64x4::splat(0.0)),
    |low, _high| low,
    |low: f64x4, _high| f64x4::from_bits(low.to_bits() & u64x4::splat(0xffff_ffff))
);
