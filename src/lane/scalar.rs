//! One element at a time: the definition that every other backend must equal.

use wide::f64x4;

use super::emulated;
use super::fma::{emulated_f32, fma_f64};
use super::pair::Pair;
use super::{FIRMWARE, Float, Fma, Isa, Job, Lane, Rows};

/// The scalar backend; every machine has it.
#[derive(Clone, Copy)]
pub(crate) struct Scalar;

impl Isa for Scalar {
    type F32 = f32;
    type F64 = f64;
    type OneF32 = f32;
    type OneF64 = f64;
    type GroupF32 = FullF32;
    type FullF32 = FullF32;
    type GroupF64 = f64;
    type FinishF64 = f64;
    type FullF64 = FullF64;
    type RowF32 = Pair<Pair<Pair<Pair<f32>>>>;
    type RowF64 = Pair<Pair<Pair<Pair<f64>>>>;
    const FAST: bool = false;

    #[inline(never)]
    fn run<J: Job>(self, job: J) -> J::Output {
        job.run(self)
    }
}

cfg_if::cfg_if! {
    if #[cfg(any(debug_assertions, target_arch = "arm", target_arch = "riscv32"))] {
        /// Flash or stack matter more.
        type FullF32 = f32;
        type FullF64 = f64;
    } else {
        /// Compilers make vectors of the four where fma is emulated: less than half the time.
        type FullF32 = Pair<Pair<f32>>;
        type FullF64 = Pair<Pair<f64>>;
    }
}

/// Whether the target has the instruction.
const HARDWARE_FMA: bool = cfg!(any(
    all(
        any(target_arch = "x86", target_arch = "x86_64"),
        target_feature = "fma"
    ),
    target_arch = "aarch64",
));

/// a * b + c rounded once.
#[cfg_attr(not(debug_assertions), inline(always))]
pub(crate) fn fma_f32(a: f32, b: f32, c: f32) -> f32 {
    cfg_if::cfg_if! {
        if #[cfg(any(
            all(any(target_arch = "x86", target_arch = "x86_64"), target_feature = "fma"),
            target_arch = "aarch64",
        ))] {
            libm::fmaf(a, b, c)
        } else if #[cfg(all(
            target_arch = "arm",
            target_abi = "eabihf",
            not(target_has_atomic = "64"),
        ))] {
            super::arm::fma_f32(a, b, c)
        } else {
            // As in `emulated::fma_f32`; without a unit for `f64` the call costs least.
            let sum = f64::from(a) * f64::from(b) + f64::from(c);
            let midpoint = sum.to_bits() as u32 & ((1 << 29) - 1) == 1 << 28;
            let tiny = (c.to_bits() << 1).wrapping_sub(1) < (2 << 24) - 1;
            if FIRMWARE || midpoint || tiny {
                emulated_f32(a, b, c)
            } else {
                sum as f32
            }
        }
    }
}

/// `fma_f32` of four, with one branch: else compilers would not make vectors of them.
#[cfg_attr(not(debug_assertions), inline(always))]
fn fma_f32_4(kind: Fma, a: [f32; 4], b: [f32; 4], c: [f32; 4]) -> [f32; 4] {
    /// Each for itself.
    #[cold]
    #[inline(never)]
    fn each(a: [f32; 4], b: [f32; 4], mut c: [f32; 4]) -> [f32; 4] {
        for ((a, b), c) in a.into_iter().zip(b).zip(&mut c) {
            *c = emulated_f32(a, b, *c);
        }
        c
    }
    let mut sums = [0.0; 4];
    let mut doubtful = 0;
    for (((a, b), c), sum) in a.into_iter().zip(b).zip(c).zip(&mut sums) {
        *sum = f64::from(a) * f64::from(b) + f64::from(c);
        let midpoint = sum.to_bits() as u32 & ((1 << 29) - 1) == 1 << 28;
        let tiny = kind == Fma::Any && (c.to_bits() << 1).wrapping_sub(1) < (2 << 24) - 1;
        doubtful |= u32::from(midpoint) | u32::from(tiny);
    }
    if doubtful != 0 {
        return each(a, b, c);
    }
    sums.map(|sum| sum as f32)
}

/// `Lane::fma_cancelling`: where fma is emulated in `f64` the sum is exact there.
#[cfg_attr(not(debug_assertions), inline(always))]
fn fma_cancelling_f32(a: f32, b: f32, c: f32) -> f32 {
    if HARDWARE_FMA || FIRMWARE {
        fma_f32(a, b, c)
    } else {
        (f64::from(a) * f64::from(b) + f64::from(c)) as f32
    }
}

#[cfg_attr(not(debug_assertions), inline(always))]
fn select_negative<T: Float>(of: T, negative: T, nonnegative: T) -> T {
    if of.pattern() >= T::SIGN_BIT.pattern() {
        negative
    } else {
        nonnegative
    }
}

/// One macro, because the element types differ in names alone: `$lane` is the number itself or a
/// type around it.
macro_rules! scalar_lane {
    ($lane:ty, $real:ident, $bits:ident, $wide:ty, $isa:expr, $fma:ident, $fma_cancelling:ident, $select_negative:ident, $fraction:literal, own: { $($own:item)* }) => {
        impl Lane for $lane {
            type Real = $real;
            type Mask = bool;
            type Wide = $wide;
            type Single = Self;
            const WIDTH: usize = 1;

            $($own)*

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
                value.into()
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn of_single(single: Self) -> Self {
                single
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn load(from: &[$real]) -> Self {
                from.first().copied().unwrap_or(0.0).into()
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn store(self, to: &mut [$real]) {
                if let Some(first) = to.first_mut() {
                    *first = self.into();
                }
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn fma(self, factor: Self, addend: Self) -> Self {
                $fma(self, factor, addend)
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn fma_cancelling(self, factor: Self, addend: Self) -> Self {
                $fma_cancelling(self, factor, addend)
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn neg_fma_cancelling(self, factor: Self, addend: Self) -> Self {
                (-self).fma_cancelling(factor, addend)
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn abs(self) -> Self {
                <$lane>::from_bits(self.to_bits() & ($bits::MAX >> 1))
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn max_or(self, other: Self) -> Self {
                if self > other { self } else { other }
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn greater(self, other: Self) -> bool {
                self > other
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn equal(self, other: Self) -> bool {
                self == other
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn select(mask: bool, yes: Self, no: Self) -> Self {
                if mask { yes } else { no }
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn first(count: usize) -> bool {
                count > 0
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn select_negative(self, negative: Self, nonnegative: Self) -> Self {
                $select_negative(self, negative, nonnegative)
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn add_bits(self, other: Self) -> Self {
                <$lane>::from_bits(self.to_bits().wrapping_add(other.to_bits()))
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn sub_bits(self, other: Self) -> Self {
                <$lane>::from_bits(self.to_bits().wrapping_sub(other.to_bits()))
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn low_bits_to_exponent(self) -> Self {
                <$lane>::from_bits(self.to_bits() << $fraction)
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn exp_table(self) -> Self {
                crate::lane::of_exp_table($real::from(self)).into()
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn eighths_to_exponent(self) -> Self {
                <$lane>::from_bits(self.to_bits() << ($fraction - 3))
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn exponent_to_low_bits(self) -> Self {
                <$lane>::from_bits(self.to_bits() >> $fraction)
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn and_bits(self, other: Self) -> Self {
                <$lane>::from_bits(self.to_bits() & other.to_bits())
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn or_bits(self, other: Self) -> Self {
                <$lane>::from_bits(self.to_bits() | other.to_bits())
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn xor_bits(self, other: Self) -> Self {
                <$lane>::from_bits(self.to_bits() ^ other.to_bits())
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn max_bits(self, other: Self) -> Self {
                <$lane>::from_bits(self.to_bits().max(other.to_bits()))
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn min_bits(self, other: Self) -> Self {
                <$lane>::from_bits(self.to_bits().min(other.to_bits()))
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn reduce_max_bits(self) -> u64 {
                u64::from(self.to_bits())
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn reduce_min_bits(self) -> u64 {
                u64::from(self.to_bits())
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn widen(self) -> ($wide, $wide) {
                (f64::from($real::from(self)).into(), 0.0.into())
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn narrow(low: $wide, _high: $wide) -> Self {
                (f64::from(low) as $real).into()
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn low_words(low: $wide, _high: $wide) -> Self {
                <$lane>::from_bits(low.to_bits() as u32 as $bits)
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn run_outlined<J: Job>(self, job: J) -> J::Output {
                $isa.run(job)
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn reduce_exact_sum(self) -> $real {
                self.into()
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn sum_rows<R: Rows<Self>>(mut rows: R) -> Self {
                rows.next_row()
            }
        }
    };
}

scalar_lane!(
    f32,
    f32,
    u32,
    f64,
    Scalar,
    fma_f32,
    fma_cancelling_f32,
    select_negative,
    23,
    own: {
        const FOURS: bool = !HARDWARE_FMA && !FIRMWARE;
        #[cfg_attr(not(debug_assertions), inline(always))]
        fn fma_4(kind: Fma, a: [f32; 4], b: [f32; 4], c: [f32; 4]) -> [f32; 4] {
            match kind {
                Fma::Any | Fma::Near => fma_f32_4(kind, a, b, c),
                Fma::Cancelling => core::array::from_fn(|i| a[i].fma_cancelling(b[i], c[i])),
                Fma::NegInteger => core::array::from_fn(|i| (-a[i]).fma_cancelling(b[i], c[i])),
            }
        }
    }
);
scalar_lane!(
    f64,
    f64,
    u64,
    f64,
    Scalar,
    fma_f64,
    fma_f64,
    select_negative,
    52,
    own: {
        const FOURS: bool = !HARDWARE_FMA && !FIRMWARE;
        #[cfg_attr(not(debug_assertions), inline(always))]
        fn fma_of_exact(self, factor: Self, addend: Self) -> Self {
            if HARDWARE_FMA {
                self.fma(factor, addend)
            } else {
                self * factor + addend
            }
        }
        #[cfg_attr(not(debug_assertions), inline(always))]
        fn fma_4(kind: Fma, a: [f64; 4], b: [f64; 4], c: [f64; 4]) -> [f64; 4] {
            let [a, b, c] = [a, b, c].map(f64x4::new);
            match kind {
                Fma::Any => emulated::fma_f64(a, b, c),
                Fma::Near => emulated::fma_near_f64(a, b, c),
                Fma::Cancelling => emulated::fma_cancelling_f64(a, b, c),
                Fma::NegInteger => emulated::neg_fma_integer_f64(a, b, c),
            }
            .to_array()
        }
    }
);

#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
pub(super) use scalar_lane;
