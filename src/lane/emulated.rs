//! fma on vectors of a target without the instruction: bit for bit the same results.
//!
//! Computed so that it is right but in rare cases, which a few operations recognise; those take
//! the scalar definition, out of line. So the cost is that of the arithmetic: for `f32`, which
//! is done in `f64`, a fifth to a tenth of one scalar emulation after the other.
//!
//! A flag kept to the end of a block instead of a branch an fma would save two operations in
//! thirty, and need a second kernel for what is flagged.

#![allow(dead_code, reason = "targets with hardware FMA do without")]

use core::ops::{Add, Div, Mul, Neg, Sub};

use wide::bytemuck::cast;
use wide::{f32x4, f32x8, f64x4, i32x4, u32x4, u64x4};

use super::Lane;
use super::scalar::{fma_by_f64, fma_f64 as fma_by_libm};

/// A lane as `wide`'s vector.
pub(crate) trait Vector<V> {
    fn of(vector: V) -> Self;
    fn vector(self) -> V;
}

impl Vector<f64x4> for f64x4 {
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn of(vector: f64x4) -> Self {
        vector
    }
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn vector(self) -> f64x4 {
        self
    }
}

/// Eight `f32`, each also as `f64`: what follows from one fma and goes into the next needs no
/// conversion. What is not used is not computed.
#[derive(Clone, Copy)]
pub(crate) struct Doubled {
    single: f32x8,
    double: [f64x4; 2],
}

impl Vector<f32x8> for Doubled {
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn of(single: f32x8) -> Self {
        let [a, b, c, d, e, f, g, h] = single.to_array().map(f64::from);
        let double = [f64x4::new([a, b, c, d]), f64x4::new([e, f, g, h])];
        Self { single, double }
    }
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn vector(self) -> f32x8 {
        self.single
    }
}

macro_rules! operator {
    ($trait:ident, $method:ident) => {
        impl $trait for Doubled {
            type Output = Self;
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn $method(self, other: Self) -> Self {
                Self::of(self.single.$method(other.single))
            }
        }
    };
}

operator!(Add, add);
operator!(Sub, sub);
operator!(Mul, mul);
operator!(Div, div);

impl Neg for Doubled {
    type Output = Self;
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn neg(self) -> Self {
        Self {
            single: -self.single,
            double: self.double.map(f64x4::neg),
        }
    }
}

impl Doubled {
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn doubles(self) -> (f64x4, f64x4) {
        let [low, high] = self.double;
        (low, high)
    }

    /// Each number rounded to `f32`.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn rounded(sums: [f64x4; 2]) -> Self {
        let [low, high] = sums;
        Self::narrow(low, high)
    }

    /// self * factor + addend in `f64`: the product is exact, the sum rounded.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn sums(self, factor: Self, addend: Self) -> [f64x4; 2] {
        let ([a, b], [c, d], [e, f]) = (self.double, factor.double, addend.double);
        [a * c + e, b * d + f]
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn arrays(self) -> [[f64; 4]; 2] {
        self.double.map(f64x4::to_array)
    }
}

/// Rounding twice, to `f64` and then to `f32`, is wrong only where the first was inexact and gave
/// the midpoint of two `f32`.
///
/// The midpoint of two normal `f32` is `f64` bits that end in 1 and 28 zeros. That of two
/// subnormals is not asked for: where a sum is below 2^-126 and the addend is 0, or 2^-125 or
/// more and so within a factor of 2 of the product, the sum is exact.
#[cfg_attr(not(debug_assertions), inline(always))]
pub(crate) fn fma_f32(a: Doubled, b: Doubled, c: Doubled) -> Doubled {
    let sums = a.sums(b, c);
    let mut doubtful = u32x4::splat(0);
    for (sum, addend) in sums.into_iter().zip(cast::<f32x8, [u32x4; 2]>(c.single)) {
        let [p, _, q, _, r, _, s, _] = cast::<f64x4, [u32; 8]>(sum);
        let low_words = u32x4::new([p, q, r, s]);
        let midpoint = (low_words << 3_u32).simd_eq(u32x4::splat(1 << 31));
        // 0 < |addend| < 2^-125: shifted left, less 1, compared as unsigned.
        let bias = 1_u32 << 31;
        let shifted: i32x4 = cast(addend + addend + u32x4::splat(bias - 1));
        let limit = i32x4::splat((((2 << 24) - 1) ^ bias).cast_signed());
        let tiny: u32x4 = cast(limit.simd_gt(shifted));
        doubtful = doubtful | midpoint | tiny;
    }
    if cast::<u32x4, f32x4>(doubtful).any() {
        let [low, high] = each_f32(a.arrays(), b.arrays(), c.arrays());
        return Doubled::rounded([f64x4::new(low), f64x4::new(high)]);
    }
    Doubled::rounded(sums)
}

/// `Lane::fma_cancelling`: the sum is exact in `f64`.
#[cfg_attr(not(debug_assertions), inline(always))]
pub(crate) fn fma_cancelling_f32(a: Doubled, b: Doubled, c: Doubled) -> Doubled {
    Doubled::rounded(a.sums(b, c))
}

/// Arrays by value: behind references the vectors would live in memory on the fast path too.
#[cold]
#[inline(never)]
fn each_f32(a: [[f64; 4]; 2], b: [[f64; 4]; 2], mut c: [[f64; 4]; 2]) -> [[f64; 4]; 2] {
    let factors = a.as_flattened().iter().zip(b.as_flattened());
    for ((a, b), c) in factors.zip(c.as_flattened_mut()) {
        *c = f64::from(fma_by_f64(*a as f32, *b as f32, *c as f32));
    }
    c
}

/// a b as the sum of two numbers (Dekker, "A floating-point technique for extending the available
/// precision", Numer. Math. 18, 1971), and where that may be wrong: a product so small, or 0,
/// that its parts may be subnormal.
#[cfg_attr(not(debug_assertions), inline(always))]
fn product(a: f64x4, b: f64x4) -> (f64x4, f64x4, f64x4) {
    const HALF: u64 = (1 << 27) - 1;
    let bits = |v| cast::<f64x4, u64x4>(v);
    // 26 bits each but for `b_low`'s 27: all products of them are exact.
    let a_high: f64x4 = cast((bits(a) + u64x4::splat(1 << 26)) & u64x4::splat(!HALF));
    let b_high: f64x4 = cast(bits(b) & u64x4::splat(!HALF));
    let (a_low, b_low) = (a - a_high, b - b_high);
    let high = a * b;
    let low = a_low * b_low - (((high - a_high * b_high) - a_low * b_high) - a_high * b_low);
    let least = f64x4::splat(f64::from_bits((1023 - 960) << 52));
    (high, low, high.abs().simd_lt(least))
}

/// The exact product and the addend make three numbers: s = addend + the product's high part, t
/// what that lost, and the product's low part. Rounding t + low before adding it to s is wrong
/// only where a midpoint is that near: where one unit of its last place more or less makes a
/// difference. Their difference is NaN where anything is infinite or NaN.
#[cfg_attr(not(debug_assertions), inline(always))]
pub(crate) fn fma_f64(a: f64x4, b: f64x4, c: f64x4) -> f64x4 {
    let (high, low, small) = product(a, b);
    let sum = high + c;
    let back = sum - high;
    let rest = ((high - (sum - back)) + (c - back)) + low;
    let above = sum + rest * f64x4::splat(1.0 + f64::EPSILON);
    let below = sum + rest * f64x4::splat(1.0 - f64::EPSILON);
    let different = (above - below).simd_ne(f64x4::splat(0.0));
    if (different | small).any() {
        return f64x4::new(each_f64(a.to_array(), b.to_array(), c.to_array()));
    }
    above
}

/// `Lane::fma_cancelling`: the sum of the product's high part and the addend is exact.
#[cfg_attr(not(debug_assertions), inline(always))]
pub(crate) fn fma_cancelling_f64(a: f64x4, b: f64x4, c: f64x4) -> f64x4 {
    let (high, low, small) = product(a, b);
    // Not 0 where a part is infinite: a factor or the product is next to overflow.
    let zero = f64x4::splat(0.0);
    let infinite = (low * zero).simd_ne(zero);
    if (infinite | small).any() {
        return f64x4::new(each_f64(a.to_array(), b.to_array(), c.to_array()));
    }
    (high + c) + low
}

#[cold]
#[inline(never)]
fn each_f64(a: [f64; 4], b: [f64; 4], mut c: [f64; 4]) -> [f64; 4] {
    for ((a, b), c) in a.iter().zip(&b).zip(&mut c) {
        *c = fma_by_libm(*a, *b, *c);
    }
    c
}

/// Against the instruction on random and constructed triples; a billion of each type by
///
/// ```text
/// cargo test --release --lib emulated -- --ignored --nocapture
/// ```
#[cfg(test)]
mod tests {
    extern crate std;

    use std::println;
    use std::vec::Vec;

    use super::*;
    use crate::lane::pair::Pair;
    use crate::lane::{Float, Isa, Job};

    /// xorshift64*.
    struct Random(u64);

    impl Random {
        fn below(&mut self, count: i64) -> i64 {
            self.0 ^= self.0 >> 12;
            self.0 ^= self.0 << 25;
            self.0 ^= self.0 >> 27;
            (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 1) as i64 % count
        }

        fn near(&mut self, center: i64, width: i64) -> i64 {
            center + self.below(2 * width + 1) - width
        }
    }

    /// The number of that sign, biased exponent and fraction, where it exists.
    fn compose<T: Float>(negative: bool, exponent: i64, fraction: i64) -> T {
        let last = 2 * i64::from(T::MAX_EXPONENT) + 1;
        let magnitude = exponent.clamp(0, last) << T::FRACTION_BITS | fraction;
        let sign = if negative { T::SIGN_BIT.pattern() } else { 0 };
        T::of_pattern(sign | magnitude as u64)
    }

    /// A number of random bits, few bits, or a long run of ones.
    fn number<T: Float>(random: &mut Random, exponent: i64) -> T {
        let bits = i64::from(T::FRACTION_BITS);
        let mask = (1 << bits) - 1;
        let (any, shift) = (random.below(mask + 1), random.below(bits));
        let fraction = match random.below(6) {
            0 => any & (mask << shift),
            1 => any | ((1 << shift) - 1),
            2 => 1 << shift,
            3 => 0,
            _ => any,
        };
        compose(random.below(2) == 0, exponent, fraction & mask)
    }

    /// Factors and addend, and whether `fma_cancelling` holds there.
    fn triple<T: Float>(random: &mut Random, library: fn(T, T, T) -> T) -> ([T; 3], bool) {
        let (bits, bias) = (i64::from(T::FRACTION_BITS), i64::from(T::MAX_EXPONENT));
        let [e, f, g] = match random.below(9) {
            // Of every size, infinite and NaN.
            0 => [0; 3].map(|_| random.below(2 * bias + 2)),
            // Of similar size.
            1 | 2 => {
                let (e, f) = (random.near(bias, 40), random.near(bias, 40));
                [e, f, random.near(e + f - bias, bits + 4)]
            }
            // With results that are subnormal or nearly so.
            3 => {
                let e = random.below(2 * bias + 1);
                [e, random.near(bias - e, bits + 4), random.below(bits + 4)]
            }
            // Near overflow.
            4 => {
                let e = random.near(bias + bias / 2, bias / 2);
                [
                    e,
                    random.near(3 * bias - e, 2),
                    2 * bias - random.below(bits + 2),
                ]
            }
            // The addend is minus the product, or a few units of the last place beside it.
            5 => {
                let top = random.below(16) == 0;
                let e = if top {
                    2 * bias
                } else {
                    random.below(2 * bias + 1)
                };
                let f = random.near(2 * bias - e, bias);
                let (a, b) = (number::<T>(random, e), number::<T>(random, f));
                let product = T::of_f64(a.as_f64() * b.as_f64());
                let beside = product.pattern().wrapping_add_signed(random.below(5) - 2);
                let addend = T::of_pattern(beside ^ T::SIGN_BIT.pattern());
                let size = product.as_f64().abs();
                let holds = size >= 4.0 * T::MIN_POSITIVE.as_f64()
                    && size < T::INFINITY.as_f64()
                    && addend.as_f64().is_finite();
                return ([a, b, addend], holds);
            }
            // Beside a midpoint of the product's neighbourhood, by the addend.
            6 => {
                let e = random.near(bias, bias / 2 - bits);
                let f = random.near(bias, bias / 2 - bits);
                let (a, b) = (number::<T>(random, e), number::<T>(random, f));
                let high = T::of_f64(a.as_f64() * b.as_f64());
                let minus = T::of_pattern(high.pattern() ^ T::SIGN_BIT.pattern());
                let exponent = i64::from(T::exponent(high.pattern() & !T::SIGN_BIT.pattern()));
                let half = compose::<T>(random.below(2) == 0, exponent + bias - bits - 1, 0);
                let addend = T::of_f64(half.as_f64() - library(a, b, minus).as_f64());
                let beside = addend.pattern().wrapping_add_signed(random.below(5) - 2);
                return ([a, b, T::of_pattern(beside)], false);
            }
            // Beside a midpoint, from subnormal sums to overflow: the product is half a unit of the
            // addend's last place, or a quarter, but for the rounding of an inverse or i^2 eps^2.
            kind => {
                let small = random.below(4) == 0;
                let g = random.below(if small { 4 } else { 2 * bias + 1 });
                let half = g.max(1) - bias - bits - 1 - random.below(2);
                let split = random.near(half / 2, 20);
                let size = random.below(bits);
                let i = random.below(1 << size);
                let factor = compose::<T>(false, bias, i);
                let other = if kind == 7 {
                    T::of_f64(1.0 / factor.as_f64())
                } else {
                    T::of_f64(2.0 - factor.as_f64())
                };
                let (mask, other) = ((1 << bits) - 1, other.pattern() as i64);
                let a = compose(random.below(2) == 0, bias + split, i);
                let exponent = (other >> bits) + half - split;
                let b = compose(random.below(2) == 0, exponent, other & mask);
                return ([a, b, number(random, g)], false);
            }
        };
        (
            [number(random, e), number(random, f), number(random, g)],
            false,
        )
    }

    /// fma of an instruction set, lane by lane.
    struct Fma<'a, T>([&'a [T]; 3], &'a mut [T]);

    impl<T: Float> Job for Fma<'_, T> {
        type Output = ();
        fn run<I: Isa>(self, _: I) {
            let Self([a, b, c], results) = self;
            let width = <T::Lane<I>>::WIDTH;
            for (at, results) in results.chunks_mut(width).enumerate() {
                let [a, b, c] = [a, b, c].map(|of| <T::Lane<I>>::load(&of[at * width..]));
                a.fma(b, c).store(results);
            }
        }
    }

    /// By the instruction where this machine has it, else by the standard library.
    fn reference<T: Float>(triples: [&[T]; 3], library: fn(T, T, T) -> T, results: &mut [T]) {
        #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
        if let Some(isa) = crate::lane::x86::Avx2::detect() {
            return isa.run(Fma(triples, results));
        }
        let [a, b, c] = triples;
        for (at, result) in results.iter_mut().enumerate() {
            *result = library(a[at], b[at], c[at]);
        }
    }

    type Emulation<T> = (&'static str, fn(&[T; 8], &[T; 8], &[T; 8]) -> [T; 8]);

    /// The vector emulations of fma and of `fma_cancelling`, and the others of fma.
    fn compare<T: Float>(count: usize, library: fn(T, T, T) -> T, emulations: &[Emulation<T>]) {
        const BLOCK: usize = 1 << 12;
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        let (mut compared, mut cancelling) = (0, 0);
        let mut triples = [(); 3].map(|()| Vec::from([T::ZERO; BLOCK]));
        let mut results = Vec::from([T::ZERO; BLOCK]);
        for _ in 0..count / BLOCK {
            let mut holds = [false; BLOCK];
            for (at, holds) in holds.iter_mut().enumerate() {
                let (triple, cancels) = triple(&mut random, library);
                for (to, from) in triples.iter_mut().zip(triple) {
                    to[at] = from;
                }
                *holds = cancels;
            }
            let [a, b, c] = &triples;
            reference([a, b, c], library, &mut results);
            for at in (0..BLOCK).step_by(8) {
                let [a, b, c] = [a, b, c].map(|of| of[at..].first_chunk::<8>().unwrap());
                for (name, emulation) in emulations {
                    let values = emulation(a, b, c);
                    for (lane, (value, right)) in values.iter().zip(&results[at..]).enumerate() {
                        if name.contains("cancelling") {
                            if !holds[at + lane] {
                                continue;
                            }
                            cancelling += 1;
                        }
                        let (value, right) = (value.as_f64(), right.as_f64());
                        let same = value.to_bits() == right.to_bits();
                        assert!(
                            same || value.is_nan() && right.is_nan(),
                            "{name}: {:e} * {:e} + {:e} is {right:e}, not {value:e}",
                            a[lane].as_f64(),
                            b[lane].as_f64(),
                            c[lane].as_f64(),
                        );
                    }
                }
                compared += 8;
            }
        }
        println!("{} triples, {cancelling} of them cancelling", compared);
        assert!(cancelling > count / 20);
    }

    fn compare_f32(count: usize) {
        let lanes: &[Emulation<f32>] = &[
            ("vector", |a, b, c| {
                let [a, b, c] = [a, b, c].map(|v| Doubled::of(f32x8::new(*v)));
                fma_f32(a, b, c).vector().to_array()
            }),
            ("cancelling vector", |a, b, c| {
                let [a, b, c] = [a, b, c].map(|v| Doubled::of(f32x8::new(*v)));
                fma_cancelling_f32(a, b, c).vector().to_array()
            }),
            ("scalar", |a, b, c| {
                core::array::from_fn(|i| a[i].fma(b[i], c[i]))
            }),
            ("four scalars", |a, b, c| {
                let mut results = [0.0; 8];
                for (at, results) in results.chunks_mut(4).enumerate() {
                    let [a, b, c] = [a, b, c].map(|of| <Pair<Pair<f32>>>::load(&of[at * 4..]));
                    a.fma(b, c).store(results);
                }
                results
            }),
            ("definition", |a, b, c| {
                core::array::from_fn(|i| fma_by_f64(a[i], b[i], c[i]))
            }),
        ];
        compare(count, f32::mul_add, lanes);
    }

    /// Both halves by the same function.
    fn halves(f: fn(f64x4, f64x4, f64x4) -> f64x4, triples: [&[f64; 8]; 3]) -> [f64; 8] {
        let mut results = [0.0; 8];
        for (at, results) in results.chunks_mut(4).enumerate() {
            let [a, b, c] = triples.map(|of| f64x4::load(&of[at * 4..]));
            f(a, b, c).store(results);
        }
        results
    }

    fn compare_f64(count: usize) {
        let lanes: &[Emulation<f64>] = &[
            ("vector", |a, b, c| halves(fma_f64, [a, b, c])),
            ("cancelling vector", |a, b, c| {
                halves(fma_cancelling_f64, [a, b, c])
            }),
            ("scalar", |a, b, c| {
                core::array::from_fn(|i| a[i].fma(b[i], c[i]))
            }),
        ];
        compare(count, f64::mul_add, lanes);
    }

    #[test]
    fn as_the_instruction() {
        compare_f32(2_000_000);
        compare_f64(2_000_000);
    }

    #[test]
    #[ignore = "minutes"]
    fn as_the_instruction_a_billion_times() {
        compare_f32(1_000_000_000);
        compare_f64(1_000_000_000);
    }
}
