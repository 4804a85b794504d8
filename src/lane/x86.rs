//! AVX2 + FMA and AVX-512 (F, DQ, VL): primitive operations only.
//!
//! # Why the `unsafe` here holds
//!
//! * An `Avx2` or `Avx512` value exists only if `detect` saw the CPU's and the
//!   operating system's support. Lanes are named only through `I: Isa` in code
//!   that holds an `I`, inside the `#[target_feature]` function of `Isa::run`.
//!   So every intrinsic runs on a CPU that has it.
//! * Full loads and stores happen behind a check of the slice's length; partial
//!   ones are masked to that length, and masked-off elements are not accessed.
//! * No operation needs alignment, except streaming stores, which check it.
#![allow(unsafe_code)]

#[cfg(target_arch = "x86")]
use core::arch::x86::*;
#[cfg(target_arch = "x86_64")]
use core::arch::x86_64::*;
use core::ops::{Add, Div, Mul, Neg, Sub};
use core::sync::atomic::{AtomicU8, Ordering};

use super::pair::Pair;
use super::scalar::scalar_lane;
use super::{Aligned, Float, Isa, Job, Lane, Rows, ShortJob};

/// Proof that AVX2 and FMA may be used.
#[derive(Clone, Copy)]
pub(crate) struct Avx2(());

/// Proof that AVX-512 F, DQ and VL (and AVX2, FMA) may be used.
#[derive(Clone, Copy)]
pub(crate) struct Avx512(());

/// The same as `Avx2`, with lanes of one element: constants are operands in memory as they are,
/// where vectors need an instruction that spreads each.
#[derive(Clone, Copy)]
pub(crate) struct OneElement(());

/// What the CPU has and the operating system keeps across context switches.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Baseline,
    Avx2,
    Avx512,
}

/// The cached answer of `ask`, plus 1; racing threads store the same value.
static LEVEL: AtomicU8 = AtomicU8::new(0);

#[cfg_attr(not(debug_assertions), inline(always))]
fn level() -> Level {
    #[cold]
    fn first_time() -> Level {
        let level = ask();
        LEVEL.store(1 + level as u8, Ordering::Relaxed);
        level
    }
    match LEVEL.load(Ordering::Relaxed) {
        0 => first_time(),
        1 => Level::Baseline,
        2 => Level::Avx2,
        _ => Level::Avx512,
    }
}

/// The first word of "GenuineIntel".
#[cold]
#[inline(never)]
fn is_intel() -> bool {
    __cpuid(0).ebx == u32::from_le_bytes(*b"Genu")
}

/// CPUID (leaves 1 and 7) and XCR0; Intel SDM vol. 1, 14.3 and 15.2.
fn ask() -> Level {
    const OSXSAVE_AVX_FMA: u32 = 1 << 27 | 1 << 28 | 1 << 12;
    const AVX2: u32 = 1 << 5;
    const AVX512_F_DQ_VL: u32 = 1 << 16 | 1 << 17 | 1 << 31;
    const XMM_YMM: u64 = 0b110;
    const XMM_YMM_ZMM: u64 = 0b1110_0110;

    #[target_feature(enable = "xsave")]
    fn xcr0() -> u64 {
        // SAFETY: `xsave` is enabled here, and the caller saw OSXSAVE.
        unsafe { _xgetbv(0) }
    }

    if cfg!(miri) || __cpuid(0).eax < 7 {
        return Level::Baseline;
    }
    if __cpuid(1).ecx & OSXSAVE_AVX_FMA != OSXSAVE_AVX_FMA {
        return Level::Baseline;
    }
    // SAFETY: OSXSAVE says that XGETBV exists and is enabled.
    let enabled = unsafe { xcr0() };
    let features = __cpuid_count(7, 0).ebx;
    if enabled & XMM_YMM != XMM_YMM || features & AVX2 == 0 {
        return Level::Baseline;
    }
    if enabled & XMM_YMM_ZMM != XMM_YMM_ZMM || features & AVX512_F_DQ_VL != AVX512_F_DQ_VL {
        return Level::Avx2;
    }
    Level::Avx512
}

impl Avx2 {
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn detect() -> Option<Self> {
        (level() >= Level::Avx2).then_some(Self(()))
    }
    /// The same without asking: nothing where nobody has asked yet.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn detected() -> Option<Self> {
        (LEVEL.load(Ordering::Relaxed) > Level::Avx2 as u8).then_some(Self(()))
    }
}

impl OneElement {
    /// Where `Avx2::detected` is something.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn detected() -> Option<Self> {
        Avx2::detected().map(|Avx2(())| Self(()))
    }
}

impl Avx512 {
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn detect() -> Option<Self> {
        (level() >= Level::Avx512).then_some(Self(()))
    }
    /// The same without asking: nothing where nobody has asked yet.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn detected() -> Option<Self> {
        (LEVEL.load(Ordering::Relaxed) > Level::Avx512 as u8).then_some(Self(()))
    }
}

cfg_if::cfg_if! {
    if #[cfg(debug_assertions)] {
        // Unoptimised, every operation of a lane takes stack: one vector at a time.
        type Group<L> = L;
        type Half<L> = L;
        type Full<L> = L;
    } else {
        type Group<L> = Pair<Pair<L, true>, true>;
        type Half<L> = Pair<L, true>;
        type Full<L> = Pair<L>;
    }
}

macro_rules! isa {
    ($token:ident, $features:literal, $single:ty, $double:ty, $finish_double:ty, $row_single:ty, $row_double:ty, $streams:literal) => {
        impl Isa for $token {
            type F32 = $single;
            type F64 = $double;
            type OneF32 = One<f32>;
            type OneF64 = One<f64>;
            type GroupF32 = Group<$single>;
            type FullF32 = Full<$single>;
            type GroupF64 = Group<$double>;
            type FinishF64 = $finish_double;
            type FullF64 = Full<$double>;
            type RowF32 = $row_single;
            type RowF64 = $row_double;
            const FAST: bool = true;
            const STREAMS: bool = $streams;

            #[cfg_attr(not(debug_assertions), inline(always))]
            fn run<J: Job>(self, job: J) -> J::Output {
                #[target_feature(enable = $features)]
                #[inline(never)]
                fn with_features<J: Job>(isa: $token, job: J) -> J::Output {
                    // A local that begins at a cache line has the frame aligned. LLVM would learn too
                    // late of vectors that it spills: in slots aligned to 16 bytes some cross a line
                    // and, depending on where the stack is, a page, at up to 2.6 times the time.
                    let anchor = Aligned([0_u8; 64]);
                    // SAFETY: no instruction.
                    unsafe {
                        core::arch::asm!("/* {0} */", in(reg) &anchor, options(nostack, preserves_flags));
                    }
                    job.run(isa)
                }
                // SAFETY: the token proves that the features are there.
                unsafe { with_features(self, job) }
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn run_short<T: Float, J: ShortJob>(
                self,
                z: &[T],
                t: &[T],
                output: &mut [T],
            ) -> f64 {
                #[target_feature(enable = $features)]
                #[inline(never)]
                fn with_features<T: Float, J: ShortJob>(
                    isa: $token,
                    z: &[T],
                    t: &[T],
                    output: &mut [T],
                ) -> f64 {
                    J::run(isa, z, t, output)
                }
                // SAFETY: the token proves that the features are there.
                unsafe { with_features::<T, J>(self, z, t, output) }
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn run_bare<J: Job>(self, job: J) -> J::Output {
                #[target_feature(enable = $features)]
                #[inline(never)]
                fn with_features<J: Job>(isa: $token, job: J) -> J::Output {
                    job.run(isa)
                }
                // SAFETY: the token proves that the features are there.
                unsafe { with_features(self, job) }
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn prefetch<T>(self, of: &[T], ahead: usize) {
                // SAFETY: a prefetch reads nothing and never faults, whatever the address.
                unsafe { _mm_prefetch::<_MM_HINT_T0>(of.as_ptr().wrapping_add(ahead).cast()) }
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn prefetch_later<T>(self, of: &[T], ahead: usize) {
                // SAFETY: as above.
                unsafe { _mm_prefetch::<_MM_HINT_T1>(of.as_ptr().wrapping_add(ahead).cast()) }
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn fence(self) {
                // SAFETY: SSE is part of every machine with AVX.
                unsafe { _mm_sfence() }
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn always_streams(self) -> bool {
                is_intel()
            }
        }
    };
}

isa!(
    Avx2,
    "avx2,fma",
    F32x8,
    F64x4,
    Group<F64x4>,
    Pair<F32x8>,
    Pair<Pair<F64x4>>,
    true
);
isa!(
    OneElement,
    "avx2,fma",
    One<f32>,
    One<f64>,
    One<f64>,
    Pair<Pair<Pair<Pair<One<f32>>>>>,
    Pair<Pair<Pair<Pair<One<f64>>>>>,
    false
);
isa!(
    Avx512,
    "avx512f,avx512dq,avx512vl,avx2,fma",
    F32x16,
    F64x8,
    Half<F64x8>,
    F32x16,
    Pair<F64x8>,
    true
);

/// A lane of one element.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
pub(crate) struct One<T>(T);

impl<T> From<T> for One<T> {
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn from(value: T) -> Self {
        Self(value)
    }
}
impl<T: Neg<Output = T>> Neg for One<T> {
    type Output = Self;
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn neg(self) -> Self {
        Self(-self.0)
    }
}

macro_rules! one_operator {
    ($trait:ident, $method:ident) => {
        impl<T: $trait<Output = T>> $trait for One<T> {
            type Output = Self;
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn $method(self, other: Self) -> Self {
                Self($trait::$method(self.0, other.0))
            }
        }
    };
}
one_operator!(Add, add);
one_operator!(Sub, sub);
one_operator!(Mul, mul);
one_operator!(Div, div);

macro_rules! one {
    ($real:ident, $bits:ident, $set:ident, $get:ident, $fma:ident, $blend:ident, $fraction:literal, own: { $($own:item)* }) => {
        impl From<One<$real>> for $real {
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn from(one: One<$real>) -> Self {
                one.0
            }
        }
        const _: () = {
            type Lane1 = One<$real>;
            impl Lane1 {
                /// `step`, and 1 with the sign of `sign_of_minus`: from memory, one operation each, where bits take
                /// two or three.
                #[cfg_attr(not(debug_assertions), inline(always))]
                fn of_sign(self) -> &'static [$real; 2] {
                    static OF_SIGN: [[$real; 2]; 2] = [[1.0, -1.0], [0.0, 1.0]];
                    &OF_SIGN[(self.to_bits() >> ($bits::BITS - 1)) as usize]
                }
                #[cfg_attr(not(debug_assertions), inline(always))]
                fn to_bits(self) -> $bits {
                    self.0.to_bits()
                }
                #[cfg_attr(not(debug_assertions), inline(always))]
                fn from_bits(bits: $bits) -> Self {
                    Self($real::from_bits(bits))
                }
            }
            // SAFETY of both: see the head of this file.
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn fma(a: Lane1, b: Lane1, c: Lane1) -> Lane1 {
                One(unsafe { $get($fma($set(a.0), $set(b.0), $set(c.0))) })
            }
            // Not `if`, which would be a branch.
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn select_negative(of: Lane1, negative: Lane1, nonnegative: Lane1) -> Lane1 {
                One(unsafe { $get($blend($set(nonnegative.0), $set(negative.0), $set(of.0))) })
            }
            scalar_lane!(
                Lane1,
                $real,
                $bits,
                One<f64>,
                OneElement(()),
                fma,
                fma,
                select_negative,
                $fraction,
                own: {
                    $($own)*
                    #[cfg_attr(not(debug_assertions), inline(always))]
                    fn step(self) -> Self {
                        Self(self.of_sign()[0])
                    }
                    #[cfg_attr(not(debug_assertions), inline(always))]
                    fn sign_of_minus(self) -> Self {
                        Self(self.of_sign()[1])
                    }
                    #[cfg_attr(not(debug_assertions), inline(always))]
                    fn with_sign(self, sign: Self) -> Self {
                        self * sign
                    }
                    #[cfg_attr(not(debug_assertions), inline(always))]
                    fn add_with_sign(self, sign: Self, addend: Self) -> Self {
                        self.fma(sign, addend)
                    }
                }
            );
        };
    };
}
one!(
    f32,
    u32,
    _mm_set_ss,
    _mm_cvtss_f32,
    _mm_fmadd_ss,
    _mm_blendv_ps,
    23,
    own: {
        #[cfg_attr(not(debug_assertions), inline(always))]
        fn scale(self, rounded: Self, _exponent: Self) -> Self {
            Self(unsafe { scale_ss(self.0, rounded.0) })
        }
    }
);
one!(
    f64,
    u64,
    _mm_set_sd,
    _mm_cvtsd_f64,
    _mm_fmadd_sd,
    _mm_blendv_pd,
    52,
    own: {}
);

// Compilers would take integer operations to core registers and back.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn scale_ss(p: f32, rounded: f32) -> f32 {
    let scaled: f32;
    unsafe {
        core::arch::asm!("vpslld {0}, {1}, 23", "vpaddd {0}, {0}, {2}", out(xmm_reg) scaled, in(xmm_reg) rounded, in(xmm_reg) p, options(pure, nomem, nostack, preserves_flags));
    }
    scaled
}

/// The four lanes differ in the names of the intrinsics alone; those that one
/// instruction set lacks are the small functions below.
macro_rules! lane {
    ($lane:ident, $real:ident, $vector:ident, $mask:ty, $width:literal, $wide:ident,
     to_int: $to_int:ident, from_int: $from_int:ident, splat: $splat:ident,
     loadu: $loadu:ident, storeu: $storeu:ident, stream: $stream:ident,
     load_first: $load_first:ident, store_first: $store_first:ident, first: $first:ident,
     add: $add:ident, sub: $sub:ident, mul: $mul:ident, div: $div:ident,
     fma: $fma:ident, neg_fma: $neg_fma:ident, max: $max:ident, min: $min:ident,
     and: $and:ident, or: $or:ident, xor: $xor:ident,
     greater: $greater:ident, equal: $equal:ident, select: $select:ident,
     select_negative: $select_negative:ident,
     add_int: $add_int:ident, sub_int: $sub_int:ident, shl: $shl:ident, shr: $shr:ident,
     max_int: $max_int:ident, min_int: $min_int:ident, reduce_max: $reduce_max:ident, reduce_min: $reduce_min:ident, exceeds: $exceeds:ident, reduce_add: $reduce_add:ident, scale: $scale:ident, abreast: $abreast:ident,
     widen: $widen:ident, load_widened: $load_widened:ident, narrow: $narrow:ident, low_words: $low_words:ident, sum_rows: $sum_rows:ident, isa: $isa:ident, fraction: $fraction:literal, unsigned: $unsigned:ident, own: { $($own:item)* }) => {
        #[derive(Clone, Copy)]
        #[repr(transparent)]
        pub(crate) struct $lane($vector);

        lane!(@operator $lane, Add, add, $add);
        lane!(@operator $lane, Sub, sub, $sub);
        lane!(@operator $lane, Mul, mul, $mul);
        lane!(@operator $lane, Div, div, $div);

        impl Neg for $lane {
            type Output = Self;
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn neg(self) -> Self {
                self.xor_bits(Self::splat(-0.0))
            }
        }

        // SAFETY, for every block below that gives no other: see the head of this file.
        impl Lane for $lane {
            type Real = $real;
            type Mask = $mask;
            type Wide = $wide;
            type Single = Self;
            const WIDTH: usize = $width;

            $($own)*
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn max_bits_into(self, so_far: Self) -> Self {
                so_far.max_bits(self)
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn min_bits_into(self, so_far: Self) -> Self {
                so_far.min_bits(self)
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn or_bits_into(self, so_far: Self) -> Self {
                so_far.or_bits(self)
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn splat(value: $real) -> Self {
                Self(unsafe { $splat(value) })
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn of_single(single: Self) -> Self {
                single
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn load(from: &[$real]) -> Self {
                if from.len() >= $width {
                    // SAFETY: the slice holds `WIDTH` elements.
                    Self(unsafe { $loadu(from.as_ptr()) })
                } else if from.is_empty() {
                    // A masked access to no element of a page that is not there takes an assist.
                    Self::splat(0.0)
                } else {
                    // SAFETY: only the slice's own elements are read.
                    Self(unsafe { $load_first(from.as_ptr(), from.len()) })
                }
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn store(self, to: &mut [$real]) {
                if to.len() >= $width {
                    // SAFETY: the slice holds `WIDTH` elements.
                    unsafe { $storeu(to.as_mut_ptr(), self.0) }
                } else if !to.is_empty() {
                    // SAFETY: only the slice's own elements are written.
                    unsafe { $store_first(to.as_mut_ptr(), to.len(), self.0) }
                }
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn load_part(from: &[$real]) -> Self {
                // SAFETY: only the slice's own elements are read.
                Self(unsafe { $load_first(from.as_ptr(), from.len()) })
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn stream(self, to: &mut [$real]) {
                if to.len() >= $width && to.as_ptr().addr() % size_of::<Self>() == 0 {
                    // SAFETY: the slice holds `WIDTH` elements, aligned to the vector's size.
                    unsafe { $stream(to.as_mut_ptr(), self.0) }
                } else {
                    self.store(to);
                }
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn fma(self, factor: Self, addend: Self) -> Self {
                Self(unsafe { $fma(self.0, factor.0, addend.0) })
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn neg_fma(self, factor: Self, addend: Self) -> Self {
                Self(unsafe { $neg_fma(self.0, factor.0, addend.0) })
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn abreast_4(a: Self, b: Self, c: Self, d: Self) -> (Self, Self, Self, Self) {
                let (a, b, c, d) = unsafe { $abreast(a.0, b.0, c.0, d.0) };
                (Self(a), Self(b), Self(c), Self(d))
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn abs(self) -> Self {
                self.and_bits(Self::splat($real::from_bits($unsigned::MAX >> 1)))
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn max_or(self, other: Self) -> Self {
                Self(unsafe { $max(self.0, other.0) })
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn min_or(self, other: Self) -> Self {
                Self(unsafe { $min(self.0, other.0) })
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn greater(self, other: Self) -> $mask {
                unsafe { $greater(self.0, other.0) }
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn equal(self, other: Self) -> $mask {
                unsafe { $equal(self.0, other.0) }
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn select(mask: $mask, yes: Self, no: Self) -> Self {
                Self(unsafe { $select(mask, yes.0, no.0) })
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn first(count: usize) -> $mask {
                unsafe { $first(count) }
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn select_negative(self, negative: Self, nonnegative: Self) -> Self {
                Self(unsafe { $select_negative(self.0, negative.0, nonnegative.0) })
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn add_bits(self, other: Self) -> Self {
                Self(unsafe { $from_int($add_int($to_int(self.0), $to_int(other.0))) })
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn sub_bits(self, other: Self) -> Self {
                Self(unsafe { $from_int($sub_int($to_int(self.0), $to_int(other.0))) })
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn low_bits_to_exponent(self) -> Self {
                Self(unsafe { $from_int($shl::<$fraction>($to_int(self.0))) })
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn eighths_to_exponent(self) -> Self {
                Self(unsafe { $from_int($shl::<{ $fraction - 3 }>($to_int(self.0))) })
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn exponent_to_low_bits(self) -> Self {
                Self(unsafe { $from_int($shr::<$fraction>($to_int(self.0))) })
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn and_bits(self, other: Self) -> Self {
                Self(unsafe { $and(self.0, other.0) })
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn or_bits(self, other: Self) -> Self {
                Self(unsafe { $or(self.0, other.0) })
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn xor_bits(self, other: Self) -> Self {
                Self(unsafe { $xor(self.0, other.0) })
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn max_bits(self, other: Self) -> Self {
                Self(unsafe { $from_int($max_int($to_int(self.0), $to_int(other.0))) })
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn min_bits(self, other: Self) -> Self {
                Self(unsafe { $from_int($min_int($to_int(self.0), $to_int(other.0))) })
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn reduce_max_bits(self) -> u64 {
                u64::from(unsafe { $reduce_max($to_int(self.0)) })
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn reduce_min_bits(self) -> u64 {
                u64::from(unsafe { $reduce_min($to_int(self.0)) })
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn exceeds_bits(self, limit: Self) -> bool {
                unsafe { $exceeds($to_int(self.0), $to_int(limit.0)) }
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn scale(self, rounded: Self, exponent: Self) -> Self {
                $scale(self, rounded, exponent)
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn widen(self) -> ($wide, $wide) {
                let (low, high) = unsafe { $widen(self.0) };
                ($wide(low), $wide(high))
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn load_widened(from: &[$real]) -> ($wide, $wide) {
                if from.len() < $width {
                    return Self::load(from).widen();
                }
                // SAFETY: the slice holds `WIDTH` elements.
                let (low, high) = unsafe { $load_widened(from.as_ptr()) };
                ($wide(low), $wide(high))
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn narrow(low: $wide, high: $wide) -> Self {
                Self(unsafe { $narrow(low.0, high.0) })
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn low_words(low: $wide, high: $wide) -> Self {
                Self(unsafe { $low_words(low.0, high.0) })
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn run_outlined<J: Job>(self, job: J) -> J::Output {
                // This lane exists only where its instruction set does.
                $isa(()).run(job)
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn reduce_exact_sum(self) -> $real {
                unsafe { $reduce_add(self.0) }
            }
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn sum_rows<R: Rows<Self>>(rows: R) -> Self {
                Self(unsafe { $sum_rows(rows) })
            }
        }
    };
    (@operator $lane:ident, $trait:ident, $method:ident, $intrinsic:ident) => {
        impl $trait for $lane {
            type Output = Self;
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn $method(self, other: Self) -> Self {
                // SAFETY: see the head of this file.
                Self(unsafe { $intrinsic(self.0, other.0) })
            }
        }
    };
}

lane! {
    F32x8, f32, __m256, __m256, 8, F64x4,
    to_int: _mm256_castps_si256, from_int: _mm256_castsi256_ps, splat: _mm256_set1_ps,
    loadu: _mm256_loadu_ps, storeu: _mm256_storeu_ps, stream: _mm256_stream_ps,
    load_first: load_first_ps256, store_first: store_first_ps256, first: first_ps256,
    add: _mm256_add_ps, sub: _mm256_sub_ps, mul: _mm256_mul_ps, div: _mm256_div_ps,
    fma: _mm256_fmadd_ps, neg_fma: _mm256_fnmadd_ps, max: _mm256_max_ps, min: _mm256_min_ps,
    and: _mm256_and_ps, or: _mm256_or_ps, xor: _mm256_xor_ps,
    greater: greater_ps256, equal: equal_ps256, select: select_ps256,
    select_negative: select_negative_ps256,
    add_int: _mm256_add_epi32, sub_int: _mm256_sub_epi32, shl: _mm256_slli_epi32, shr: _mm256_srli_epi32,
    max_int: _mm256_max_epu32, min_int: _mm256_min_epu32,
    reduce_max: reduce_max_epu32_256, reduce_min: reduce_min_epu32_256, exceeds: exceeds_epu32_256, reduce_add: reduce_add_ps256, scale: scale_by_exponent_field, abreast: abreast_ps256,
    widen: widen_ps256, load_widened: load_widened_ps256, narrow: narrow_ps256, low_words: low_words_ps256, sum_rows: sum_rows_ps256, isa: Avx2, fraction: 23, unsigned: u32,
    own: {
        #[cfg_attr(not(debug_assertions), inline(always))]
        fn step_and_positive(self) -> (Self, Self) {
            let (step, positive) = unsafe { step_and_positive_ps256(self.0) };
            (Self(step), Self(positive))
        }
        #[cfg_attr(not(debug_assertions), inline(always))]
        fn add_with_sign_of_minus(self, of: Self, addend: Self) -> Self {
            addend + self.or_bits(Self(unsafe { _mm256_andnot_ps(of.0, _mm256_set1_ps(-0.0)) }))
        }
    }
}
lane! {
    F64x4, f64, __m256d, __m256d, 4, F64x4,
    to_int: _mm256_castpd_si256, from_int: _mm256_castsi256_pd, splat: _mm256_set1_pd,
    loadu: _mm256_loadu_pd, storeu: _mm256_storeu_pd, stream: _mm256_stream_pd,
    load_first: load_first_pd256, store_first: store_first_pd256, first: first_pd256,
    add: _mm256_add_pd, sub: _mm256_sub_pd, mul: _mm256_mul_pd, div: _mm256_div_pd,
    fma: _mm256_fmadd_pd, neg_fma: _mm256_fnmadd_pd, max: _mm256_max_pd, min: _mm256_min_pd,
    and: _mm256_and_pd, or: _mm256_or_pd, xor: _mm256_xor_pd,
    greater: greater_pd256, equal: equal_pd256, select: select_pd256,
    select_negative: select_negative_pd256,
    add_int: _mm256_add_epi64, sub_int: _mm256_sub_epi64, shl: _mm256_slli_epi64, shr: _mm256_srli_epi64,
    max_int: max_epu64_256, min_int: min_epu64_256,
    reduce_max: reduce_max_epu64_256, reduce_min: reduce_min_epu64_256, exceeds: exceeds_epu64_256, reduce_add: reduce_add_pd256, scale: scale_by_exponent_field, abreast: abreast_pd256,
    widen: widen_pd256, load_widened: load_widened_pd256, narrow: narrow_pd256, low_words: low_words_pd256, sum_rows: sum_rows_pd256, isa: Avx2, fraction: 52, unsigned: u64,
    own: {
        #[cfg_attr(not(debug_assertions), inline(always))]
        fn max_upper_into(self, so_far: Self) -> Self {
            Self(unsafe { max_epu32_pd256(self.0, so_far.0) })
        }
        #[cfg_attr(not(debug_assertions), inline(always))]
        fn may_exceed(self, limit: Self) -> bool {
            unsafe { upper_reaches_pd256(self.0, limit.0) }
        }
        #[cfg_attr(not(debug_assertions), inline(always))]
        fn exp_table(self) -> Self {
            Self(unsafe { exp_table_pd256(self.0) })
        }
    }
}
lane! {
    F32x16, f32, __m512, __mmask16, 16, F64x8,
    to_int: _mm512_castps_si512, from_int: _mm512_castsi512_ps, splat: _mm512_set1_ps,
    loadu: _mm512_loadu_ps, storeu: _mm512_storeu_ps, stream: _mm512_stream_ps,
    load_first: load_first_ps512, store_first: store_first_ps512, first: first_16,
    add: _mm512_add_ps, sub: _mm512_sub_ps, mul: _mm512_mul_ps, div: _mm512_div_ps,
    fma: _mm512_fmadd_ps, neg_fma: _mm512_fnmadd_ps, max: _mm512_max_ps, min: _mm512_min_ps,
    and: _mm512_and_ps, or: _mm512_or_ps, xor: _mm512_xor_ps,
    greater: greater_ps512, equal: equal_ps512, select: select_ps512,
    select_negative: select_negative_ps512,
    add_int: _mm512_add_epi32, sub_int: _mm512_sub_epi32, shl: _mm512_slli_epi32, shr: _mm512_srli_epi32,
    max_int: _mm512_max_epu32, min_int: _mm512_min_epu32,
    reduce_max: _mm512_reduce_max_epu32, reduce_min: _mm512_reduce_min_epu32, exceeds: exceeds_epu32_512, reduce_add: _mm512_reduce_add_ps, scale: scale_by_exponent_field, abreast: abreast_ps512,
    widen: widen_ps512, load_widened: load_widened_ps512, narrow: narrow_ps512, low_words: low_words_ps512, sum_rows: sum_rows_ps512, isa: Avx512, fraction: 23, unsigned: u32,
    own: {
        #[cfg_attr(not(debug_assertions), inline(always))]
        fn step_and_positive(self) -> (Self, Self) {
            let (step, positive) = unsafe { step_and_positive_ps512(self.0) };
            (Self(step), Self(positive))
        }
        #[cfg_attr(not(debug_assertions), inline(always))]
        fn add_with_sign_of_minus(self, of: Self, addend: Self) -> Self {
            addend + Self(unsafe { or_sign_of_minus_ps512(self.0, of.0) })
        }
        // An `f64` has the same fields as an `f32` that is shifted by 29 bits, but for 896 more in its exponent's bias.
        const SPREAD_LOG2: i32 = 896;
        #[cfg_attr(not(debug_assertions), inline(always))]
        fn spread(self) -> (F64x8, F64x8) {
            let (even, odd) = unsafe { spread_ps512(self.0) };
            (F64x8(even), F64x8(odd))
        }
        #[cfg_attr(not(debug_assertions), inline(always))]
        fn load_spread(from: &[f32]) -> (F64x8, F64x8) {
            if from.len() < 16 {
                return Self::load(from).spread();
            }
            // SAFETY: the slice holds `WIDTH` elements.
            let (even, odd) = unsafe { load_spread_ps512(from.as_ptr()) };
            (F64x8(even), F64x8(odd))
        }
        #[cfg_attr(not(debug_assertions), inline(always))]
        fn splat_kept(value: f32) -> Self {
            Self(unsafe { splat_kept_ps512(value) })
        }
        #[cfg_attr(not(debug_assertions), inline(always))]
        fn keep(value: f32) {
            unsafe { keep_ps512(value) }
        }
        #[cfg_attr(not(debug_assertions), inline(always))]
        fn step(self) -> Self {
            Self(unsafe { step_ps512(self.0) })
        }
        // These two as they are, so that compilers do not make one operation with three operands of them.
        #[cfg_attr(not(debug_assertions), inline(always))]
        fn sign_of_minus(self) -> Self {
            let sign = Self::splat(-0.0);
            self.and_bits(sign).xor_bits(sign)
        }
        #[cfg_attr(not(debug_assertions), inline(always))]
        fn with_sign(self, sign: Self) -> Self {
            self.add_bits(sign)
        }
    }
}
lane! {
    F64x8, f64, __m512d, __mmask8, 8, F64x8,
    to_int: _mm512_castpd_si512, from_int: _mm512_castsi512_pd, splat: _mm512_set1_pd,
    loadu: _mm512_loadu_pd, storeu: _mm512_storeu_pd, stream: _mm512_stream_pd,
    load_first: load_first_pd512, store_first: store_first_pd512, first: first_8,
    add: _mm512_add_pd, sub: _mm512_sub_pd, mul: _mm512_mul_pd, div: _mm512_div_pd,
    fma: _mm512_fmadd_pd, neg_fma: _mm512_fnmadd_pd, max: _mm512_max_pd, min: _mm512_min_pd,
    and: _mm512_and_pd, or: _mm512_or_pd, xor: _mm512_xor_pd,
    greater: greater_pd512, equal: equal_pd512, select: select_pd512,
    select_negative: select_negative_pd512,
    add_int: _mm512_add_epi64, sub_int: _mm512_sub_epi64, shl: _mm512_slli_epi64, shr: _mm512_srli_epi64,
    max_int: _mm512_max_epu64, min_int: _mm512_min_epu64,
    reduce_max: _mm512_reduce_max_epu64, reduce_min: _mm512_reduce_min_epu64, exceeds: exceeds_epu64_512, reduce_add: _mm512_reduce_add_pd, scale: scale_by_exponent_field, abreast: abreast_pd512,
    widen: widen_pd512, load_widened: load_widened_pd512, narrow: narrow_pd512, low_words: low_words_pd512, sum_rows: sum_rows_pd512, isa: Avx512, fraction: 52, unsigned: u64,
    own: {
        const MAX_BITS_IS_ONE: bool = true;

        #[cfg_attr(not(debug_assertions), inline(always))]
        fn splat_kept(value: f64) -> Self {
            Self(unsafe { splat_kept_pd512(value) })
        }
        #[cfg_attr(not(debug_assertions), inline(always))]
        fn keep(value: f64) {
            unsafe { keep_pd512(value) }
        }
        #[cfg_attr(not(debug_assertions), inline(always))]
        fn max_upper_into(self, so_far: Self) -> Self {
            Self(unsafe { max_epu32_pd512(self.0, so_far.0) })
        }
        #[cfg_attr(not(debug_assertions), inline(always))]
        fn may_exceed(self, limit: Self) -> bool {
            unsafe { upper_reaches_pd512(self.0, limit.0) }
        }
        #[cfg_attr(not(debug_assertions), inline(always))]
        fn exp_table(self) -> Self {
            Self(unsafe { exp_table_pd512(self.0) })
        }
        #[cfg_attr(not(debug_assertions), inline(always))]
        fn abreast_2(a: Self, b: Self) -> (Self, Self) {
            let (a, b) = unsafe { abreast_2_pd512(a.0, b.0) };
            (Self(a), Self(b))
        }
        #[cfg_attr(not(debug_assertions), inline(always))]
        fn step(self) -> Self {
            Self(unsafe { step_pd512(self.0) })
        }
        // Compilers would make two operations of it.
        #[cfg_attr(not(debug_assertions), inline(always))]
        fn sign_of_minus(self) -> Self {
            self
        }
        #[cfg_attr(not(debug_assertions), inline(always))]
        fn with_sign(self, sign: Self) -> Self {
            Self(unsafe { xor_sign_of_minus_pd512(self.0, sign.0) })
        }
    }
}

#[cfg_attr(not(debug_assertions), inline(always))]
fn scale_by_exponent_field<L: Lane>(p: L, rounded: L, _exponent: L) -> L {
    p.add_bits(rounded.low_bits_to_exponent())
}
// SAFETY, for all functions below: the caller has the instruction set, and for
// loads and stores `from` or `to` is valid for `count` < `WIDTH` elements.

#[cfg_attr(not(debug_assertions), inline(always))]
unsafe fn greater_ps256(a: __m256, b: __m256) -> __m256 {
    unsafe { _mm256_cmp_ps::<_CMP_GT_OQ>(a, b) }
}
#[cfg_attr(not(debug_assertions), inline(always))]
unsafe fn greater_pd256(a: __m256d, b: __m256d) -> __m256d {
    unsafe { _mm256_cmp_pd::<_CMP_GT_OQ>(a, b) }
}
#[cfg_attr(not(debug_assertions), inline(always))]
unsafe fn greater_ps512(a: __m512, b: __m512) -> __mmask16 {
    unsafe { _mm512_cmp_ps_mask::<_CMP_GT_OQ>(a, b) }
}
#[cfg_attr(not(debug_assertions), inline(always))]
unsafe fn greater_pd512(a: __m512d, b: __m512d) -> __mmask8 {
    unsafe { _mm512_cmp_pd_mask::<_CMP_GT_OQ>(a, b) }
}
#[cfg_attr(not(debug_assertions), inline(always))]
unsafe fn equal_ps256(a: __m256, b: __m256) -> __m256 {
    unsafe { _mm256_cmp_ps::<_CMP_EQ_OQ>(a, b) }
}
#[cfg_attr(not(debug_assertions), inline(always))]
unsafe fn equal_pd256(a: __m256d, b: __m256d) -> __m256d {
    unsafe { _mm256_cmp_pd::<_CMP_EQ_OQ>(a, b) }
}
#[cfg_attr(not(debug_assertions), inline(always))]
unsafe fn equal_ps512(a: __m512, b: __m512) -> __mmask16 {
    unsafe { _mm512_cmp_ps_mask::<_CMP_EQ_OQ>(a, b) }
}
#[cfg_attr(not(debug_assertions), inline(always))]
unsafe fn equal_pd512(a: __m512d, b: __m512d) -> __mmask8 {
    unsafe { _mm512_cmp_pd_mask::<_CMP_EQ_OQ>(a, b) }
}
#[cfg_attr(not(debug_assertions), inline(always))]
unsafe fn select_ps256(mask: __m256, yes: __m256, no: __m256) -> __m256 {
    unsafe { _mm256_blendv_ps(no, yes, mask) }
}
#[cfg_attr(not(debug_assertions), inline(always))]
unsafe fn select_pd256(mask: __m256d, yes: __m256d, no: __m256d) -> __m256d {
    unsafe { _mm256_blendv_pd(no, yes, mask) }
}
#[cfg_attr(not(debug_assertions), inline(always))]
unsafe fn select_ps512(mask: __mmask16, yes: __m512, no: __m512) -> __m512 {
    unsafe { _mm512_mask_blend_ps(mask, no, yes) }
}
#[cfg_attr(not(debug_assertions), inline(always))]
unsafe fn select_pd512(mask: __mmask8, yes: __m512d, no: __m512d) -> __m512d {
    unsafe { _mm512_mask_blend_pd(mask, no, yes) }
}
#[cfg_attr(not(debug_assertions), inline(always))]
unsafe fn select_negative_ps256(sign: __m256, negative: __m256, nonnegative: __m256) -> __m256 {
    unsafe { _mm256_blendv_ps(nonnegative, negative, sign) }
}
#[cfg_attr(not(debug_assertions), inline(always))]
unsafe fn select_negative_pd256(sign: __m256d, negative: __m256d, nonnegative: __m256d) -> __m256d {
    unsafe { _mm256_blendv_pd(nonnegative, negative, sign) }
}
#[cfg_attr(not(debug_assertions), inline(always))]
unsafe fn select_negative_ps512(sign: __m512, negative: __m512, nonnegative: __m512) -> __m512 {
    unsafe {
        _mm512_mask_blend_ps(
            _mm512_movepi32_mask(_mm512_castps_si512(sign)),
            nonnegative,
            negative,
        )
    }
}
#[cfg_attr(not(debug_assertions), inline(always))]
unsafe fn select_negative_pd512(sign: __m512d, negative: __m512d, nonnegative: __m512d) -> __m512d {
    unsafe {
        _mm512_mask_blend_pd(
            _mm512_movepi64_mask(_mm512_castpd_si512(sign)),
            nonnegative,
            negative,
        )
    }
}

/// AVX2 compares 64-bit integers as signed only: flip the sign bits.
#[cfg_attr(not(debug_assertions), inline(always))]
unsafe fn greater_epu64_256(a: __m256i, b: __m256i) -> __m256d {
    unsafe {
        let flip = _mm256_set1_epi64x(i64::MIN);
        _mm256_castsi256_pd(_mm256_cmpgt_epi64(
            _mm256_xor_si256(a, flip),
            _mm256_xor_si256(b, flip),
        ))
    }
}
#[cfg_attr(not(debug_assertions), inline(always))]
unsafe fn max_epu64_256(a: __m256i, b: __m256i) -> __m256i {
    unsafe {
        let (x, y) = (_mm256_castsi256_pd(a), _mm256_castsi256_pd(b));
        _mm256_castpd_si256(_mm256_blendv_pd(y, x, greater_epu64_256(a, b)))
    }
}
#[cfg_attr(not(debug_assertions), inline(always))]
unsafe fn min_epu64_256(a: __m256i, b: __m256i) -> __m256i {
    unsafe {
        let (x, y) = (_mm256_castsi256_pd(a), _mm256_castsi256_pd(b));
        _mm256_castpd_si256(_mm256_blendv_pd(x, y, greater_epu64_256(a, b)))
    }
}

#[cfg_attr(not(debug_assertions), inline(always))]
unsafe fn reduce_max_epu32_256(v: __m256i) -> u32 {
    unsafe {
        let v = _mm_max_epu32(_mm256_castsi256_si128(v), _mm256_extracti128_si256::<1>(v));
        let v = _mm_max_epu32(v, _mm_shuffle_epi32::<0b01_00_11_10>(v));
        let v = _mm_max_epu32(v, _mm_shuffle_epi32::<0b10_11_00_01>(v));
        _mm_cvtsi128_si32(v) as u32
    }
}
#[cfg_attr(not(debug_assertions), inline(always))]
unsafe fn reduce_min_epu32_256(v: __m256i) -> u32 {
    // The complement's maximum.
    unsafe { !reduce_max_epu32_256(_mm256_xor_si256(v, _mm256_set1_epi32(-1))) }
}
#[cfg_attr(not(debug_assertions), inline(always))]
unsafe fn reduce_max_epu64_256(v: __m256i) -> u64 {
    unsafe {
        let v = max_epu64_256(v, _mm256_permute4x64_epi64::<0b01_00_11_10>(v));
        let v = max_epu64_256(v, _mm256_shuffle_epi32::<0b01_00_11_10>(v));
        _mm256_cvtsd_f64(_mm256_castsi256_pd(v)).to_bits()
    }
}
#[cfg_attr(not(debug_assertions), inline(always))]
unsafe fn reduce_min_epu64_256(v: __m256i) -> u64 {
    unsafe { !reduce_max_epu64_256(_mm256_xor_si256(v, _mm256_set1_epi64x(-1))) }
}
#[cfg_attr(not(debug_assertions), inline(always))]
unsafe fn exceeds_epu32_256(a: __m256i, limit: __m256i) -> bool {
    unsafe {
        let within = _mm256_cmpeq_epi32(_mm256_max_epu32(a, limit), limit);
        _mm256_movemask_epi8(within) != -1
    }
}
#[cfg_attr(not(debug_assertions), inline(always))]
unsafe fn exceeds_epu64_256(a: __m256i, limit: __m256i) -> bool {
    unsafe { _mm256_movemask_pd(greater_epu64_256(a, limit)) != 0 }
}
// Maxima of 64-bit integers take four operations on AVX2, and the FMA's place on Zen 4.
#[cfg_attr(not(debug_assertions), inline(always))]
unsafe fn max_epu32_pd256(a: __m256d, b: __m256d) -> __m256d {
    unsafe {
        let max = _mm256_max_epu32(_mm256_castpd_si256(a), _mm256_castpd_si256(b));
        _mm256_castsi256_pd(max)
    }
}
#[cfg_attr(not(debug_assertions), inline(always))]
unsafe fn max_epu32_pd512(a: __m512d, b: __m512d) -> __m512d {
    unsafe {
        let max = _mm512_max_epu32(_mm512_castpd_si512(a), _mm512_castpd_si512(b));
        _mm512_castsi512_pd(max)
    }
}
#[cfg_attr(not(debug_assertions), inline(always))]
unsafe fn upper_reaches_pd256(a: __m256d, limit: __m256d) -> bool {
    unsafe {
        let (a, limit) = (_mm256_castpd_si256(a), _mm256_castpd_si256(limit));
        let reached = _mm256_cmpeq_epi32(_mm256_max_epu32(a, limit), a);
        _mm256_movemask_ps(_mm256_castsi256_ps(reached)) & 0b1010_1010 != 0
    }
}
#[cfg_attr(not(debug_assertions), inline(always))]
unsafe fn upper_reaches_pd512(a: __m512d, limit: __m512d) -> bool {
    unsafe {
        let (a, limit) = (_mm512_castpd_si512(a), _mm512_castpd_si512(limit));
        _mm512_cmpge_epu32_mask(a, limit) & 0b1010_1010_1010_1010 != 0
    }
}
/// `EXP_TABLE`'s lower words, then its upper ones: AVX2 permutes eight words at most.
static EXP_TABLE_WORDS: Aligned<[[u32; 8]; 2]> = {
    let mut words = [[0; 8]; 2];
    let mut i = 0;
    while i < 8 {
        let pattern = f64::EXP_TABLE[i].to_bits();
        words[0][i] = pattern as u32;
        words[1][i] = (pattern >> 32) as u32;
        i += 1;
    }
    Aligned(words)
};
#[cfg_attr(not(debug_assertions), inline(always))]
unsafe fn exp_table_pd256(of: __m256d) -> __m256d {
    unsafe {
        let index = _mm256_castpd_ps(of);
        let word = |half: &[u32; 8], index: __m256| {
            let table = _mm256_loadu_ps(half.as_ptr().cast());
            _mm256_permutevar8x32_ps(table, _mm256_castps_si256(index))
        };
        let [lower, upper] = &EXP_TABLE_WORDS.0;
        let lower = word(lower, index);
        let upper = word(upper, _mm256_moveldup_ps(index));
        _mm256_castps_pd(_mm256_blend_ps::<0b1010_1010>(lower, upper))
    }
}
static EXP_TABLE: Aligned<[f64; 8]> = Aligned(f64::EXP_TABLE);
#[cfg_attr(not(debug_assertions), inline(always))]
unsafe fn exp_table_pd512(of: __m512d) -> __m512d {
    unsafe {
        let table = _mm512_loadu_pd(EXP_TABLE.0.as_ptr());
        _mm512_permutexvar_pd(_mm512_castpd_si512(of), table)
    }
}
// Of operations with two operands: those with three, masked ones too, take an FMA's place on Zen 4.
#[cfg_attr(not(debug_assertions), inline(always))]
unsafe fn step_ps512(sign: __m512) -> __m512 {
    unsafe {
        let negative = _mm512_srai_epi32::<31>(_mm512_castps_si512(sign));
        _mm512_andnot_ps(_mm512_castsi512_ps(negative), splat_kept_ps512(1.0))
    }
}
/// One mask for both: the maximum would take another operation, and on Zen 4 an FMA's place.
#[inline]
#[target_feature(enable = "avx512f,avx512dq")]
unsafe fn step_and_positive_ps512(v: __m512) -> (__m512, __m512) {
    let mut negative = _mm512_srai_epi32::<31>(_mm512_castps_si512(v));
    unsafe {
        // Compilers would make a maximum of it again.
        core::arch::asm!("/* {0} */", inout(zmm_reg) negative, options(pure, nomem, nostack, preserves_flags));
        let negative = _mm512_castsi512_ps(negative);
        (
            _mm512_andnot_ps(negative, splat_kept_ps512(1.0)),
            _mm512_andnot_ps(negative, v),
        )
    }
}
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn step_and_positive_ps256(v: __m256) -> (__m256, __m256) {
    let mut negative = _mm256_srai_epi32::<31>(_mm256_castps_si256(v));
    unsafe {
        core::arch::asm!("/* {0} */", inout(ymm_reg) negative, options(pure, nomem, nostack, preserves_flags));
    }
    let negative = _mm256_castsi256_ps(negative);
    (
        _mm256_andnot_ps(negative, _mm256_set1_ps(1.0)),
        _mm256_andnot_ps(negative, v),
    )
}
/// `value`, which has no sign, with that of -`of`.
#[cfg_attr(not(debug_assertions), inline(always))]
unsafe fn or_sign_of_minus_ps512(value: __m512, of: __m512) -> __m512 {
    unsafe {
        let sign = _mm512_castps_si512(splat_kept_ps512(-0.0));
        let (value, of) = (_mm512_castps_si512(value), _mm512_castps_si512(of));
        // value | !of & sign
        _mm512_castsi512_ps(_mm512_ternarylogic_epi32::<0xf2>(value, of, sign))
    }
}
/// Nothing of which LLVM knows that it is a constant: it would broadcast it anew in every round of a loop, and
/// with 512 bits that takes an addition's place on Zen 4, where a load of what was spilled takes none. One element: a
/// program has the constants of functions that it does not call, too.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn splat_kept_pd512(value: f64) -> __m512d {
    let mut one = _mm_set_sd(value);
    if value.to_bits() != 0 {
        unsafe {
            core::arch::asm!("/* {0} */", inout(xmm_reg) one, options(pure, nomem, nostack, preserves_flags));
        }
    }
    _mm512_broadcastsd_pd(one)
}
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn keep_pd512(value: f64) {
    unsafe {
        core::arch::asm!("/* {0} */", in(zmm_reg) splat_kept_pd512(value), options(nomem, nostack, preserves_flags));
    }
}
/// The same of `f32`, whose constants are fewer; broadcasts in front of a loop would take a 50th of a loss.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn splat_kept_ps512(value: f32) -> __m512 {
    let mut all = _mm512_set1_ps(value);
    if value.to_bits() != 0 {
        unsafe {
            core::arch::asm!("/* {0} */", inout(zmm_reg) all, options(pure, nomem, nostack, preserves_flags));
        }
    }
    all
}
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn keep_ps512(value: f32) {
    unsafe {
        core::arch::asm!("/* {0} */", in(zmm_reg) splat_kept_ps512(value), options(nomem, nostack, preserves_flags));
    }
}
#[cfg_attr(not(debug_assertions), inline(always))]
unsafe fn step_pd512(sign: __m512d) -> __m512d {
    unsafe {
        let negative = _mm512_srai_epi64::<63>(_mm512_castpd_si512(sign));
        _mm512_andnot_pd(_mm512_castsi512_pd(negative), splat_kept_pd512(1.0))
    }
}
#[cfg_attr(not(debug_assertions), inline(always))]
unsafe fn xor_sign_of_minus_pd512(value: __m512d, of: __m512d) -> __m512d {
    unsafe {
        let (value, of) = (_mm512_castpd_si512(value), _mm512_castpd_si512(of));
        let sign = _mm512_castpd_si512(_mm512_set1_pd(-0.0));
        // value ^ (!of & sign).
        _mm512_castsi512_pd(_mm512_ternarylogic_epi64::<0b1101_0010>(value, of, sign))
    }
}
#[cfg_attr(not(debug_assertions), inline(always))]
unsafe fn exceeds_epu32_512(a: __m512i, limit: __m512i) -> bool {
    unsafe { _mm512_cmpgt_epu32_mask(a, limit) != 0 }
}
#[cfg_attr(not(debug_assertions), inline(always))]
unsafe fn exceeds_epu64_512(a: __m512i, limit: __m512i) -> bool {
    unsafe { _mm512_cmpgt_epu64_mask(a, limit) != 0 }
}
#[cfg_attr(not(debug_assertions), inline(always))]
unsafe fn reduce_add_pd256(v: __m256d) -> f64 {
    unsafe {
        let halves = _mm_add_pd(_mm256_castpd256_pd128(v), _mm256_extractf128_pd::<1>(v));
        _mm_cvtsd_f64(_mm_add_sd(halves, _mm_unpackhi_pd(halves, halves)))
    }
}
#[cfg_attr(not(debug_assertions), inline(always))]
unsafe fn reduce_add_ps256(v: __m256) -> f32 {
    unsafe {
        let halves = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
        let pairs = _mm_add_ps(halves, _mm_movehl_ps(halves, halves));
        _mm_cvtss_f32(_mm_add_ss(pairs, _mm_shuffle_ps::<1>(pairs, pairs)))
    }
}

#[cfg_attr(not(debug_assertions), inline(always))]
unsafe fn widen_ps256(v: __m256) -> (__m256d, __m256d) {
    unsafe {
        (
            _mm256_cvtps_pd(_mm256_castps256_ps128(v)),
            _mm256_cvtps_pd(_mm256_extractf128_ps::<1>(v)),
        )
    }
}
#[cfg_attr(not(debug_assertions), inline(always))]
unsafe fn widen_ps512(v: __m512) -> (__m512d, __m512d) {
    unsafe {
        (
            _mm512_cvtps_pd(_mm512_castps512_ps256(v)),
            _mm512_cvtps_pd(_mm512_extractf32x8_ps::<1>(v)),
        )
    }
}
/// Even and odd elements, by a multiplication each, where conversions take two operations.
#[cfg_attr(not(debug_assertions), inline(always))]
unsafe fn spread_ps512(v: __m512) -> (__m512d, __m512d) {
    unsafe { spread_halves_ps512(v, _mm512_movehdup_ps(v)) }
}
/// Loaded twice, since a load moves the odd ones without an operation.
#[inline]
#[target_feature(enable = "avx512f")]
// No instruction: nothing is read through it.
#[allow(clippy::pointers_in_nomem_asm_block)]
unsafe fn load_spread_ps512(from: *const f32) -> (__m512d, __m512d) {
    let mut again = from;
    unsafe {
        core::arch::asm!("/* {0} */", inout(reg) again, options(pure, nomem, nostack, preserves_flags));
        spread_halves_ps512(
            _mm512_loadu_ps(from),
            _mm512_movehdup_ps(_mm512_loadu_ps(again)),
        )
    }
}
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn spread_halves_ps512(even: __m512, odd: __m512) -> (__m512d, __m512d) {
    // Not a constant, of which compilers would make shifts and masks.
    let mut shift = _mm512_set1_epi64(1 << 29);
    unsafe {
        core::arch::asm!("/* {0} */", inout(zmm_reg) shift, options(pure, nomem, nostack, preserves_flags));
    }
    (
        _mm512_castsi512_pd(_mm512_mul_epu32(_mm512_castps_si512(even), shift)),
        _mm512_castsi512_pd(_mm512_mul_epu32(_mm512_castps_si512(odd), shift)),
    )
}
/// From memory each half takes one operation instead of three.
#[cfg_attr(not(debug_assertions), inline(always))]
unsafe fn load_widened_ps256(from: *const f32) -> (__m256d, __m256d) {
    unsafe {
        (
            _mm256_cvtps_pd(_mm_loadu_ps(from)),
            _mm256_cvtps_pd(_mm_loadu_ps(from.add(4))),
        )
    }
}
#[cfg_attr(not(debug_assertions), inline(always))]
unsafe fn load_widened_ps512(from: *const f32) -> (__m512d, __m512d) {
    unsafe {
        (
            _mm512_cvtps_pd(_mm256_loadu_ps(from)),
            _mm512_cvtps_pd(_mm256_loadu_ps(from.add(8))),
        )
    }
}
#[cfg_attr(not(debug_assertions), inline(always))]
unsafe fn load_widened_pd256(from: *const f64) -> (__m256d, __m256d) {
    unsafe { (_mm256_loadu_pd(from), _mm256_setzero_pd()) }
}
#[cfg_attr(not(debug_assertions), inline(always))]
unsafe fn load_widened_pd512(from: *const f64) -> (__m512d, __m512d) {
    unsafe { (_mm512_loadu_pd(from), _mm512_setzero_pd()) }
}
#[cfg_attr(not(debug_assertions), inline(always))]
unsafe fn narrow_ps256(low: __m256d, high: __m256d) -> __m256 {
    unsafe { _mm256_set_m128(_mm256_cvtpd_ps(high), _mm256_cvtpd_ps(low)) }
}
#[cfg_attr(not(debug_assertions), inline(always))]
unsafe fn narrow_ps512(low: __m512d, high: __m512d) -> __m512 {
    unsafe {
        let low = _mm512_castps256_ps512(_mm512_cvtpd_ps(low));
        _mm512_insertf32x8::<1>(low, _mm512_cvtpd_ps(high))
    }
}
#[cfg_attr(not(debug_assertions), inline(always))]
unsafe fn narrow_pd256(low: __m256d, _high: __m256d) -> __m256d {
    low
}
#[cfg_attr(not(debug_assertions), inline(always))]
unsafe fn narrow_pd512(low: __m512d, _high: __m512d) -> __m512d {
    low
}
#[cfg_attr(not(debug_assertions), inline(always))]
unsafe fn low_words_ps256(low: __m256d, high: __m256d) -> __m256 {
    unsafe { _mm256_shuffle_ps::<0b10_00_10_00>(_mm256_castpd_ps(low), _mm256_castpd_ps(high)) }
}
#[cfg_attr(not(debug_assertions), inline(always))]
unsafe fn low_words_ps512(low: __m512d, high: __m512d) -> __m512 {
    unsafe { _mm512_shuffle_ps::<0b10_00_10_00>(_mm512_castpd_ps(low), _mm512_castpd_ps(high)) }
}
#[cfg_attr(not(debug_assertions), inline(always))]
unsafe fn low_words_pd256(low: __m256d, _high: __m256d) -> __m256d {
    unsafe { _mm256_and_pd(low, _mm256_set1_pd(f64::from_bits(0xffff_ffff))) }
}
#[cfg_attr(not(debug_assertions), inline(always))]
unsafe fn low_words_pd512(low: __m512d, _high: __m512d) -> __m512d {
    unsafe { _mm512_and_pd(low, _mm512_set1_pd(f64::from_bits(0xffff_ffff))) }
}
#[cfg_attr(not(debug_assertions), inline(always))]
unsafe fn widen_pd256(v: __m256d) -> (__m256d, __m256d) {
    unsafe { (v, _mm256_setzero_pd()) }
}
#[cfg_attr(not(debug_assertions), inline(always))]
unsafe fn widen_pd512(v: __m512d) -> (__m512d, __m512d) {
    unsafe { (v, _mm512_setzero_pd()) }
}

#[cfg_attr(not(debug_assertions), inline(always))]
unsafe fn first_ps256(count: usize) -> __m256 {
    static SET: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
    unsafe { _mm256_loadu_ps(SET.as_ptr().add(8 - count.min(8)).cast()) }
}
#[cfg_attr(not(debug_assertions), inline(always))]
unsafe fn first_pd256(count: usize) -> __m256d {
    static SET: [i64; 8] = [-1, -1, -1, -1, 0, 0, 0, 0];
    unsafe { _mm256_loadu_pd(SET.as_ptr().add(4 - count.min(4)).cast()) }
}
/// From memory, which takes one operation.
static FIRST: [u16; 17] = {
    let mut masks = [u16::MAX; 17];
    let mut count = 0;
    while count < 16 {
        masks[count] = (1 << count) - 1;
        count += 1;
    }
    masks
};
#[cfg_attr(not(debug_assertions), inline(always))]
unsafe fn first_16(count: usize) -> __mmask16 {
    FIRST[count.min(16)]
}
#[cfg_attr(not(debug_assertions), inline(always))]
unsafe fn first_8(count: usize) -> __mmask8 {
    FIRST[count.min(8)] as __mmask8
}
#[cfg_attr(not(debug_assertions), inline(always))]
unsafe fn load_first_ps256(from: *const f32, count: usize) -> __m256 {
    unsafe { _mm256_maskload_ps(from, _mm256_castps_si256(first_ps256(count))) }
}
#[cfg_attr(not(debug_assertions), inline(always))]
unsafe fn load_first_pd256(from: *const f64, count: usize) -> __m256d {
    unsafe { _mm256_maskload_pd(from, _mm256_castpd_si256(first_pd256(count))) }
}
#[cfg_attr(not(debug_assertions), inline(always))]
unsafe fn load_first_ps512(from: *const f32, count: usize) -> __m512 {
    unsafe { _mm512_maskz_loadu_ps(first_16(count), from) }
}
#[cfg_attr(not(debug_assertions), inline(always))]
unsafe fn load_first_pd512(from: *const f64, count: usize) -> __m512d {
    unsafe { _mm512_maskz_loadu_pd(first_8(count), from) }
}
#[cfg_attr(not(debug_assertions), inline(always))]
unsafe fn store_first_ps256(to: *mut f32, count: usize, v: __m256) {
    unsafe { _mm256_maskstore_ps(to, _mm256_castps_si256(first_ps256(count)), v) }
}
#[cfg_attr(not(debug_assertions), inline(always))]
unsafe fn store_first_pd256(to: *mut f64, count: usize, v: __m256d) {
    unsafe { _mm256_maskstore_pd(to, _mm256_castpd_si256(first_pd256(count)), v) }
}
#[cfg_attr(not(debug_assertions), inline(always))]
unsafe fn store_first_ps512(to: *mut f32, count: usize, v: __m512) {
    unsafe { _mm512_mask_storeu_ps(to, first_16(count), v) }
}
#[cfg_attr(not(debug_assertions), inline(always))]
unsafe fn store_first_pd512(to: *mut f64, count: usize, v: __m512d) {
    unsafe { _mm512_mask_storeu_pd(to, first_8(count), v) }
}

#[inline]
#[target_feature(enable = "avx2")]
unsafe fn abreast_ps256(
    mut a: __m256,
    mut b: __m256,
    mut c: __m256,
    mut d: __m256,
) -> (__m256, __m256, __m256, __m256) {
    unsafe {
        core::arch::asm!("/* {0} {1} {2} {3} */", inout(ymm_reg) a, inout(ymm_reg) b, inout(ymm_reg) c, inout(ymm_reg) d, options(pure, nomem, nostack, preserves_flags));
    }
    (a, b, c, d)
}

#[inline]
#[target_feature(enable = "avx2")]
unsafe fn abreast_pd256(
    mut a: __m256d,
    mut b: __m256d,
    mut c: __m256d,
    mut d: __m256d,
) -> (__m256d, __m256d, __m256d, __m256d) {
    unsafe {
        core::arch::asm!("/* {0} {1} {2} {3} */", inout(ymm_reg) a, inout(ymm_reg) b, inout(ymm_reg) c, inout(ymm_reg) d, options(pure, nomem, nostack, preserves_flags));
    }
    (a, b, c, d)
}

#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn abreast_ps512(
    mut a: __m512,
    mut b: __m512,
    mut c: __m512,
    mut d: __m512,
) -> (__m512, __m512, __m512, __m512) {
    unsafe {
        core::arch::asm!("/* {0} {1} {2} {3} */", inout(zmm_reg) a, inout(zmm_reg) b, inout(zmm_reg) c, inout(zmm_reg) d, options(pure, nomem, nostack, preserves_flags));
    }
    (a, b, c, d)
}

#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn abreast_2_pd512(mut a: __m512d, mut b: __m512d) -> (__m512d, __m512d) {
    unsafe {
        core::arch::asm!("/* {0} {1} */", inout(zmm_reg) a, inout(zmm_reg) b, options(pure, nomem, nostack, preserves_flags));
    }
    (a, b)
}

#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn abreast_pd512(
    mut a: __m512d,
    mut b: __m512d,
    mut c: __m512d,
    mut d: __m512d,
) -> (__m512d, __m512d, __m512d, __m512d) {
    unsafe {
        core::arch::asm!("/* {0} {1} {2} {3} */", inout(zmm_reg) a, inout(zmm_reg) b, inout(zmm_reg) c, inout(zmm_reg) d, options(pure, nomem, nostack, preserves_flags));
    }
    (a, b, c, d)
}

// Rows to sums: shuffles put what is to be added side by side, for two rows at a time. The rows are made
// in their order, since memory is read fastest so.
// In the comments, 3:01 are elements 0 and 1 of (what is left of) row 3.

#[cfg_attr(not(debug_assertions), inline(always))]
unsafe fn sum_rows_ps512<R: Rows<F32x16>>(mut rows: R) -> __m512 {
    /// Quarters of both, which are added.
    #[cfg_attr(not(debug_assertions), inline(always))]
    unsafe fn quarters<const FIRST: i32, const SECOND: i32>(a: __m512, b: __m512) -> __m512 {
        unsafe {
            _mm512_add_ps(
                _mm512_shuffle_f32x4::<FIRST>(a, b),
                _mm512_shuffle_f32x4::<SECOND>(a, b),
            )
        }
    }
    #[cfg_attr(not(debug_assertions), inline(always))]
    unsafe fn within<const FIRST: i32, const SECOND: i32>(a: __m512, b: __m512) -> __m512 {
        unsafe {
            _mm512_add_ps(
                _mm512_shuffle_ps::<FIRST>(a, b),
                _mm512_shuffle_ps::<SECOND>(a, b),
            )
        }
    }
    unsafe {
        let mut all = [_mm512_setzero_ps(); 16];
        for row in &mut all {
            *row = rows.next_row().0;
        }
        let mut eights = [_mm512_setzero_ps(); 8];
        let (first, second) = all.split_at(8);
        for (eight, (a, b)) in eights.iter_mut().zip(first.iter().zip(second)) {
            // i:0..8 and i+8:0..8
            *eight = quarters::<0x44, 0xee>(*a, *b);
        }
        let [a, b, c, d, e, f, g, h] = eights;
        // i:0..4, i+8:0..4, i+4:0..4, i+12:0..4
        let (a, b) = (quarters::<0x88, 0xdd>(a, e), quarters::<0x88, 0xdd>(b, f));
        let (c, d) = (quarters::<0x88, 0xdd>(c, g), quarters::<0x88, 0xdd>(d, h));
        // Quarters of i:01 and i+2:01, i = 0, 8, 4, 12 or one more.
        let (a, b) = (within::<0x44, 0xee>(a, c), within::<0x44, 0xee>(b, d));
        // Quarters of i, i + 2, i + 1, i + 3.
        let sums = within::<0x88, 0xdd>(a, b);
        let order = _mm512_setr_epi32(0, 2, 1, 3, 8, 10, 9, 11, 4, 6, 5, 7, 12, 14, 13, 15);
        _mm512_permutexvar_ps(order, sums)
    }
}
#[cfg_attr(not(debug_assertions), inline(always))]
unsafe fn sum_rows_ps256<R: Rows<F32x8>>(mut rows: R) -> __m256 {
    #[cfg_attr(not(debug_assertions), inline(always))]
    unsafe fn within<const FIRST: i32, const SECOND: i32>(a: __m256, b: __m256) -> __m256 {
        unsafe {
            _mm256_add_ps(
                _mm256_shuffle_ps::<FIRST>(a, b),
                _mm256_shuffle_ps::<SECOND>(a, b),
            )
        }
    }
    unsafe {
        let mut all = [_mm256_setzero_ps(); 8];
        for row in &mut all {
            *row = rows.next_row().0;
        }
        let mut fours = [_mm256_setzero_ps(); 4];
        let (first, second) = all.split_at(4);
        for (four, (a, b)) in fours.iter_mut().zip(first.iter().zip(second)) {
            // i:0..4, i+4:0..4
            *four = _mm256_add_ps(
                _mm256_permute2f128_ps::<0x20>(*a, *b),
                _mm256_permute2f128_ps::<0x31>(*a, *b),
            );
        }
        let [a, b, c, d] = fours;
        let (a, b) = (within::<0x44, 0xee>(a, c), within::<0x44, 0xee>(b, d));
        // 0, 2, 1, 3, 4, 6, 5, 7
        _mm256_permute_ps::<0xd8>(within::<0x88, 0xdd>(a, b))
    }
}
#[cfg_attr(not(debug_assertions), inline(always))]
unsafe fn sum_rows_pd512<R: Rows<F64x8>>(mut rows: R) -> __m512d {
    #[cfg_attr(not(debug_assertions), inline(always))]
    unsafe fn quarters<const FIRST: i32, const SECOND: i32>(a: __m512d, b: __m512d) -> __m512d {
        unsafe {
            _mm512_add_pd(
                _mm512_shuffle_f64x2::<FIRST>(a, b),
                _mm512_shuffle_f64x2::<SECOND>(a, b),
            )
        }
    }
    unsafe {
        let mut all = [_mm512_setzero_pd(); 8];
        for row in &mut all {
            *row = rows.next_row().0;
        }
        let mut fours = [_mm512_setzero_pd(); 4];
        let (first, second) = all.split_at(4);
        for (four, (a, b)) in fours.iter_mut().zip(first.iter().zip(second)) {
            // i:0..4, i+4:0..4
            *four = quarters::<0x44, 0xee>(*a, *b);
        }
        let [a, b, c, d] = fours;
        // i:01, i+4:01, i+2:01, i+6:01
        let (a, b) = (quarters::<0x88, 0xdd>(a, c), quarters::<0x88, 0xdd>(b, d));
        // 0, 1, 4, 5, 2, 3, 6, 7
        let sums = _mm512_add_pd(_mm512_unpacklo_pd(a, b), _mm512_unpackhi_pd(a, b));
        _mm512_shuffle_f64x2::<0xd8>(sums, sums)
    }
}
#[cfg_attr(not(debug_assertions), inline(always))]
unsafe fn sum_rows_pd256<R: Rows<F64x4>>(mut rows: R) -> __m256d {
    unsafe {
        let mut all = [_mm256_setzero_pd(); 4];
        for row in &mut all {
            *row = rows.next_row().0;
        }
        let mut twos = [_mm256_setzero_pd(); 2];
        let (first, second) = all.split_at(2);
        for (two, (a, b)) in twos.iter_mut().zip(first.iter().zip(second)) {
            // i:01, i+2:01
            *two = _mm256_add_pd(
                _mm256_permute2f128_pd::<0x20>(*a, *b),
                _mm256_permute2f128_pd::<0x31>(*a, *b),
            );
        }
        let [a, b] = twos;
        _mm256_add_pd(_mm256_unpacklo_pd(a, b), _mm256_unpackhi_pd(a, b))
    }
}
