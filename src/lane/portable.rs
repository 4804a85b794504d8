//! The `Wide` backend: `wide::f32x8` and `wide::f64x4`, SIMD on any target that
//! the `wide` crate knows, without run-time detection.

use super::{Isa, Job, Lane};
use wide::{f32x8, f64x4, u32x8, u64x4};

/// The portable vector backend; every machine has it.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

impl Isa for Portable {
    type F32 = f32x8;
    type F64 = f64x4;
    type WideF32 = f32x8;
    type WideF64 = f64x4;
    type GradientF32 = f32x8;
    type GradientF64 = f64x4;
    type PartF32 = f32x8;
    type PartF64 = f64x4;

    #[inline(always)]
    fn run<J: Job>(self, job: J) -> J::Output {
        job.run(self)
    }
    #[inline(never)]
    fn apart<J: Job>(self, job: J) -> J::Output {
        job.run(self)
    }
}

/// `wide`'s `mul_add` rounds once only where the target has the instruction at
/// compile time; elsewhere each lane takes the scalar definition, in a function
/// of its own: a kernel has thirty of them.
macro_rules! fma_lanes {
    ($a:expr, $b:expr, $c:expr, $vector:ident, $scalar:path) => {{
        cfg_if::cfg_if! {
            if #[cfg(any(
                all(any(target_arch = "x86", target_arch = "x86_64"), target_feature = "avx", target_feature = "fma"),
                all(target_arch = "aarch64", target_feature = "neon"),
            ))] {
                $a.mul_add($b, $c)
            } else {
                #[inline(never)]
                fn emulated(a: &$vector, b: &$vector, c: &$vector) -> $vector {
                    let (a, b, mut c) = (a.to_array(), b.to_array(), c.to_array());
                    for ((a, b), c) in a.iter().zip(&b).zip(&mut c) {
                        *c = $scalar(*a, *b, *c);
                    }
                    $vector::new(c)
                }
                emulated(&$a, &$b, &$c)
            }
        }
    }};
}

/// One macro, because the two element types differ in names alone.
macro_rules! portable_lane {
    ($vector:ident, $bits:ident, $real:ident, $unsigned:ident, $width:literal, $fraction:literal,
     $fma:path, $lanes:expr, |$wide:ident| $widen:expr, |$low:ident, $high:ident| $narrow:expr) => {
        impl Lane for $vector {
            type Real = $real;
            type Mask = $vector;
            type Wide = f64x4;
            type Single = Self;
            const WIDTH: usize = $width;

            #[inline(always)]
            fn max_bits_into(self, so_far: Self) -> Self {
                so_far.max_bits(self)
            }
            #[inline(always)]
            fn min_bits_into(self, so_far: Self) -> Self {
                so_far.min_bits(self)
            }
            #[inline(always)]
            fn splat(value: $real) -> Self {
                $vector::splat(value)
            }
            #[inline(always)]
            fn load(from: &[$real]) -> Self {
                if let Some(full) = from.first_chunk::<$width>() {
                    return $vector::new(*full);
                }
                let mut padded = [0.0; $width];
                for (to, from) in padded.iter_mut().zip(from) {
                    *to = *from;
                }
                $vector::new(padded)
            }
            #[inline(always)]
            fn store(self, to: &mut [$real]) {
                if let Some(full) = to.first_chunk_mut::<$width>() {
                    *full = self.to_array();
                    return;
                }
                for (to, from) in to.iter_mut().zip(self.to_array()) {
                    *to = from;
                }
            }
            #[inline(always)]
            fn fma(self, factor: Self, addend: Self) -> Self {
                fma_lanes!(self, factor, addend, $vector, $fma)
            }
            #[inline(always)]
            fn abs(self) -> Self {
                $vector::from_bits(self.to_bits() & $bits::splat($unsigned::MAX >> 1))
            }
            #[inline(always)]
            fn max_or(self, other: Self) -> Self {
                self.simd_gt(other).bitselect(self, other)
            }
            #[inline(always)]
            fn greater(self, other: Self) -> Self {
                self.simd_gt(other)
            }
            #[inline(always)]
            fn equal(self, other: Self) -> Self {
                self.simd_eq(other)
            }
            #[inline(always)]
            fn select(mask: Self, yes: Self, no: Self) -> Self {
                mask.bitselect(yes, no)
            }
            #[inline(always)]
            fn any(mask: Self) -> bool {
                mask.any()
            }
            #[inline(always)]
            fn first(count: usize) -> Self {
                $vector::splat(count as $real).simd_gt($vector::new($lanes))
            }
            #[inline(always)]
            fn select_negative(self, negative: Self, nonnegative: Self) -> Self {
                let sign = self.to_bits().unbounded_shr_scalar($unsigned::BITS - 1);
                let mask = $bits::splat(0) - sign;
                $vector::from_bits(mask.bitselect(negative.to_bits(), nonnegative.to_bits()))
            }
            #[inline(always)]
            fn add_bits(self, other: Self) -> Self {
                $vector::from_bits(self.to_bits() + other.to_bits())
            }
            #[inline(always)]
            fn sub_bits(self, other: Self) -> Self {
                $vector::from_bits(self.to_bits() - other.to_bits())
            }
            #[inline(always)]
            fn low_bits_to_exponent(self) -> Self {
                $vector::from_bits(self.to_bits().unbounded_shl_scalar($fraction))
            }
            #[inline(always)]
            fn exponent_to_low_bits(self) -> Self {
                $vector::from_bits(self.to_bits().unbounded_shr_scalar($fraction))
            }
            #[inline(always)]
            fn and_bits(self, other: Self) -> Self {
                $vector::from_bits(self.to_bits() & other.to_bits())
            }
            #[inline(always)]
            fn or_bits(self, other: Self) -> Self {
                $vector::from_bits(self.to_bits() | other.to_bits())
            }
            #[inline(always)]
            fn xor_bits(self, other: Self) -> Self {
                $vector::from_bits(self.to_bits() ^ other.to_bits())
            }
            #[inline(always)]
            fn max_bits(self, other: Self) -> Self {
                $vector::from_bits(self.to_bits().max(other.to_bits()))
            }
            #[inline(always)]
            fn min_bits(self, other: Self) -> Self {
                $vector::from_bits(self.to_bits().min(other.to_bits()))
            }
            #[inline(always)]
            fn reduce_max_bits(self) -> u64 {
                u64::from(self.to_bits().reduce_max())
            }
            #[inline(always)]
            fn reduce_min_bits(self) -> u64 {
                u64::from(self.to_bits().reduce_min())
            }
            #[inline(always)]
            fn widen(self) -> (f64x4, f64x4) {
                let $wide = self;
                $widen
            }
            #[inline(always)]
            fn narrow($low: f64x4, $high: f64x4) -> Self {
                $narrow
            }
            #[inline(always)]
            fn apart<J: Job>(self, job: J) -> J::Output {
                Portable.apart(job)
            }
            #[inline(always)]
            fn reduce_exact_sum(self) -> $real {
                self.to_array().iter().sum()
            }
        }
    };
}

portable_lane!(
    f32x8,
    u32x8,
    f32,
    u32,
    8,
    23,
    super::scalar::fma_by_f64,
    [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0],
    |v| {
        let [a, b, c, d, e, f, g, h] = v.to_array().map(f64::from);
        (f64x4::new([a, b, c, d]), f64x4::new([e, f, g, h]))
    },
    |low, high| {
        let [a, b, c, d] = low.to_array().map(|v| v as f32);
        let [e, f, g, h] = high.to_array().map(|v| v as f32);
        f32x8::new([a, b, c, d, e, f, g, h])
    }
);
portable_lane!(
    f64x4,
    u64x4,
    f64,
    u64,
    4,
    52,
    super::scalar::fma_f64,
    [0.0, 1.0, 2.0, 3.0],
    |v| (v, f64x4::splat(0.0)),
    |low, _high| low
);
