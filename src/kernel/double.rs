//! Numbers as unevaluated sums of two `f64` lanes: about 104 bits.
//!
//! Dekker, "A floating-point technique for extending the available precision",
//! Numer. Math. 18 (1971); products by FMA.

use crate::coeffs::exact;
use crate::kernel::{horner, splat};
use crate::lane::Lane;

/// An unevaluated sum; `low` is of the order of `high`'s last place.
#[derive(Clone, Copy)]
pub(crate) struct Double<W> {
    pub(crate) high: W,
    pub(crate) low: W,
}

/// a + b, exactly.
#[cfg_attr(not(debug_assertions), inline(always))]
pub(crate) fn two_sum<W: Lane>(a: W, b: W) -> Double<W> {
    let high = a + b;
    let back = high - a;
    let low = (a - (high - back)) + (b - back);
    Double { high, low }
}

/// a + b, exactly, where a is 0 or at least of b's exponent.
#[cfg_attr(not(debug_assertions), inline(always))]
pub(crate) fn fast_two_sum<W: Lane>(a: W, b: W) -> Double<W> {
    let high = a + b;
    let low = b - (high - a);
    Double { high, low }
}

impl<W: Lane<Real = f64>> Double<W> {
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn of(high: W) -> Self {
        let low = splat(0.0);
        Self { high, low }
    }

    /// Error below 2^-102 of the product, as of `larger_plus`'s sum.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn times(self, other: Self) -> Self {
        let high = self.high * other.high;
        let rest = self.high.fma_cancelling(other.high, -high);
        let low = self.high.fma(other.low, self.low.fma(other.high, rest));
        fast_two_sum(high, low)
    }

    /// self + other, where self is the larger.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn larger_plus(self, other: Self) -> Self {
        let sum = fast_two_sum(self.high, other.high);
        fast_two_sum(sum.high, sum.low + (self.low + other.low))
    }

    /// e^self - 1 for |self| <= ln(2)/2, by its series: relative error below 2^-71.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn expm1(self) -> Self {
        let mut sum = Self::of(horner(&exact::EXPM1_END, self.high));
        let mut first = true;
        for (&high, &low) in exact::EXPM1_HI.iter().zip(&exact::EXPM1_LO).rev() {
            let product = if first {
                // 2^-5 of the coefficient: one rounding is far enough down.
                Self::of(sum.high * self.high)
            } else {
                self.times(sum)
            };
            first = false;
            let coefficient = Self {
                high: splat(high),
                low: splat(low),
            };
            sum = coefficient.larger_plus(product);
        }
        for coefficient in [0.5, 1.0] {
            sum = Self::of(splat(coefficient)).larger_plus(self.times(sum));
        }
        self.times(sum)
    }

    /// Rounded to odd: a later rounding to `f32` is then that of the exact sum.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn to_odd(self) -> W {
        let sum = two_sum(self.high, self.low);
        let last = splat::<W>(f64::from_bits(1));
        let opposite = sum.low.xor_bits(sum.high);
        let cut = opposite.select_negative(sum.high.sub_bits(last), sum.high);
        W::select(sum.low.equal(splat(0.0)), sum.high, cut.or_bits(last))
    }
}
