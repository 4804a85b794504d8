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

use super::fma::{emulated_f32, fma_f64 as fma_by_libm};
use super::{Float, Lane};

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

    /// Numbers that are `f32`.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn of_doubles(double: [f64x4; 2]) -> Self {
        let [low, high] = double;
        let Self { single, .. } = Self::narrow(low, high);
        Self { single, double }
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

/// Where a sum is the midpoint of two normal `f32`.
#[cfg_attr(not(debug_assertions), inline(always))]
fn midpoints(sum: f64x4) -> u32x4 {
    let [p, _, q, _, r, _, s, _] = cast::<f64x4, [u32; 8]>(sum);
    let low_words = u32x4::new([p, q, r, s]);
    (low_words << 3_u32).simd_eq(u32x4::splat(1 << 31))
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
        let midpoint = midpoints(sum);
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

/// `Lane::fma_near`: nothing is tiny, so the sum is rounded to `f32` where it stands (Veltkamp; Boldo, "Pitfalls of a
/// full floating-point proof", IJCAR 2006, but for midpoints): a shorter chain than two conversions.
#[cfg_attr(not(debug_assertions), inline(always))]
pub(crate) fn fma_near_f32(a: Doubled, b: Doubled, c: Doubled) -> Doubled {
    let sums = a.sums(b, c);
    if cast::<u32x4, f32x4>(midpoints(sums[0]) | midpoints(sums[1])).any() {
        let [low, high] = each_f32(a.arrays(), b.arrays(), c.arrays());
        return Doubled::of_doubles([f64x4::new(low), f64x4::new(high)]);
    }
    Doubled::of_doubles(sums.map(|sum| {
        let scaled = sum * f64x4::splat(((1 << 29) + 1) as f64);
        scaled - (scaled - sum)
    }))
}

/// `Lane::neg_fma_integer`.
#[cfg_attr(not(debug_assertions), inline(always))]
pub(crate) fn neg_fma_integer_f32(a: Doubled, b: Doubled, c: Doubled) -> Doubled {
    Doubled::of_doubles((-a).sums(b, c))
}

/// `Lane::round_product`: the product is exact in `f64`, and so is all else.
#[cfg_attr(not(debug_assertions), inline(always))]
pub(crate) fn round_product_f32(a: Doubled, b: Doubled) -> (Doubled, Doubled) {
    let to_integer = f64x4::splat(6_755_399_441_055_744.0);
    let [low, high] = a.sums(b, Doubled::of_doubles([to_integer; 2]));
    let integers = [low - to_integer, high - to_integer];
    let rounder = f64x4::splat(f32::ROUNDER.into());
    let rounded = integers.map(|integer| integer + rounder);
    (Doubled::of_doubles(rounded), Doubled::of_doubles(integers))
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
        *c = f64::from(emulated_f32(*a as f32, *b as f32, *c as f32));
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

/// `Lane::fma_near`. The product is p + rest, where p is exact and what is rounded off below 2^-75 of it, since both
/// parts of rest have its sign, and the sum s + v, below 2^-73 of the addend besides. Where both ends of that give the same
/// sum, so does the exact one.
#[cfg_attr(not(debug_assertions), inline(always))]
pub(crate) fn fma_near_f64(a: f64x4, b: f64x4, c: f64x4) -> f64x4 {
    let (a_high, b_high) = (upper(a), upper(b));
    let (a_low, b_low) = (a - a_high, b - b_high);
    let p = a_high * b_high;
    let rest = a_high * b_low + a_low * b;
    let sum = c + p;
    let rest = (p - (sum - c)) + rest;
    let error = c * f64x4::splat(f64::from_bits((1023 - 73) << 52));
    let above = sum + (rest + error);
    let below = sum + (rest - error);
    if above.simd_ne(below).any() {
        return f64x4::new(each_f64(a.to_array(), b.to_array(), c.to_array()));
    }
    above
}

/// The upper 26 bits: products of two are exact, and of one and the other 27.
#[cfg_attr(not(debug_assertions), inline(always))]
fn upper(number: f64x4) -> f64x4 {
    cast(cast::<f64x4, u64x4>(number) & u64x4::splat(!((1 << 27) - 1)))
}

/// `Lane::neg_fma_integer`: both products are exact.
#[cfg_attr(not(debug_assertions), inline(always))]
pub(crate) fn neg_fma_integer_f64(a: f64x4, b: f64x4, c: f64x4) -> f64x4 {
    let high = upper(b);
    let product = a * b;
    let low = (a * high - product) + a * (b - high);
    (c - product) - low
}

/// `Lane::round_product`: where two factors beside this one give the same integer, so does this one.
#[cfg_attr(not(debug_assertions), inline(always))]
pub(crate) fn round_product_f64(a: f64x4, b: f64x4) -> (f64x4, f64x4) {
    let rounder = f64x4::splat(f64::ROUNDER);
    let rounded = a * (b * f64x4::splat(1.0 + 2.0 * f64::EPSILON)) + rounder;
    let other = a * (b * f64x4::splat(1.0 - 2.0 * f64::EPSILON)) + rounder;
    let rounded = if rounded.simd_ne(other).any() {
        f64x4::new(each_f64(a.to_array(), b.to_array(), rounder.to_array()))
    } else {
        rounded
    };
    (rounded, rounded - f64x4::splat(f64::ROUNDER_OF_HI))
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

#[cfg(test)]
mod tests;
