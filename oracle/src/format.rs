//! The two floating-point formats, with what a checker needs to know of them.

use rug::Float;
use std::fmt::Debug;

/// A binary interchange format, f32 or f64.
pub trait Format: Copy + Debug + PartialEq + PartialOrd + Send + Sync + 'static {
    /// "f32" or "f64".
    const NAME: &'static str;
    /// Bits of the significand, the hidden one included.
    const PRECISION: i32;
    /// Exponent of the smallest normal number.
    const MIN_EXPONENT: i32;
    /// Exponent of the largest finite number.
    const MAX_EXPONENT: i32;

    /// The value, exactly.
    fn to_f64(self) -> f64;
    /// Nearest value, ties to even; exact for what came from [`Format::to_f64`].
    fn from_f64(value: f64) -> Self;
    /// Nearest value to an MPFR number, ties to even, subnormals and overflow as IEEE 754 has them.
    /// (`Float::to_f32` rounds twice.)
    fn from_float(value: &Float) -> Self {
        let exponent = value.get_exp().map_or(0, |exponent| exponent - 1);
        if exponent >= Self::MIN_EXPONENT {
            // Exact from PRECISION bits to f64, and to F unless it overflows.
            return Self::from_f64(Float::with_val(Self::PRECISION as u32, value).to_f64());
        }
        let units = Float::with_val(
            value.prec(),
            value << (Self::PRECISION - 1 - Self::MIN_EXPONENT),
        )
        .round_even();
        let magnitude = Self::from_bits(units.to_f64().abs() as u64);
        Self::from_f64(magnitude.to_f64().copysign(if value.is_sign_negative() {
            -1.0
        } else {
            1.0
        }))
    }
    /// The target that label smoothing makes of this one, rounded as the crate documents it.
    fn smoothed(self, label_smoothing: Self) -> Self;
    /// The bits, zero-extended.
    fn to_bits(self) -> u64;
    /// The value with these bits (the low ones, where there are too many).
    fn from_bits(bits: u64) -> Self;

    /// The bits numbered so that neighbouring values differ by one, -0 and +0 being both 0.
    fn to_ordinal(self) -> i64 {
        let sign = 1_u64 << (Self::PRECISION + Self::exponent_bits() - 1);
        let magnitude = (self.to_bits() & (sign - 1)) as i64;
        if self.to_bits() & sign == 0 {
            magnitude
        } else {
            -magnitude
        }
    }

    /// The value `steps` places up or down the line of finite values, stopping at the infinities.
    fn step(self, steps: i64) -> Self {
        let sign = 1_u64 << (Self::PRECISION + Self::exponent_bits() - 1);
        let infinity = Self::from_f64(f64::INFINITY).to_bits() as i64;
        let ordinal = (self.to_ordinal() + steps).clamp(-infinity, infinity);
        Self::from_bits(ordinal.unsigned_abs() | if ordinal < 0 { sign } else { 0 })
    }

    /// Bits of the exponent field.
    fn exponent_bits() -> i32 {
        if Self::MAX_EXPONENT > 127 { 11 } else { 8 }
    }
}

impl Format for f32 {
    const NAME: &'static str = "f32";
    const PRECISION: i32 = 24;
    const MIN_EXPONENT: i32 = -126;
    const MAX_EXPONENT: i32 = 127;

    #[inline(always)]
    fn to_f64(self) -> f64 {
        f64::from(self)
    }
    #[inline(always)]
    fn from_f64(value: f64) -> Self {
        value as f32
    }
    #[inline(always)]
    fn smoothed(self, label_smoothing: Self) -> Self {
        label_smoothing.mul_add(0.5 - self, self)
    }
    #[inline(always)]
    fn to_bits(self) -> u64 {
        u64::from(f32::to_bits(self))
    }
    #[inline(always)]
    fn from_bits(bits: u64) -> Self {
        f32::from_bits(bits as u32)
    }
}

impl Format for f64 {
    const NAME: &'static str = "f64";
    const PRECISION: i32 = 53;
    const MIN_EXPONENT: i32 = -1022;
    const MAX_EXPONENT: i32 = 1023;

    #[inline(always)]
    fn to_f64(self) -> f64 {
        self
    }
    #[inline(always)]
    fn from_f64(value: f64) -> Self {
        value
    }
    #[inline(always)]
    fn smoothed(self, label_smoothing: Self) -> Self {
        label_smoothing.mul_add(0.5 - self, self)
    }
    #[inline(always)]
    fn to_bits(self) -> u64 {
        f64::to_bits(self)
    }
    #[inline(always)]
    fn from_bits(bits: u64) -> Self {
        f64::from_bits(bits)
    }
}
