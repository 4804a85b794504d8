//! The two number formats.

use core::fmt::Debug;

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
    /// The bits, zero-extended.
    fn to_bits(self) -> u64;
    /// The value with these bits (the low ones, where there are too many).
    fn from_bits(bits: u64) -> Self;

    /// sigmoid, as the crate has it.
    fn logistic(self) -> Self;

    /// The other sign, of a NaN too.
    fn negated(self) -> Self {
        Self::from_bits(self.to_bits() ^ 1 << (Self::PRECISION + Self::exponent_bits() - 1))
    }

    /// The bits, where any NaN is the same: payloads are not promised.
    #[inline(always)]
    fn comparable(self) -> u64 {
        if self.to_f64().is_nan() {
            Self::power_of_two(Self::MAX_EXPONENT).to_bits() + (3 << (Self::PRECISION - 2))
        } else {
            self.to_bits()
        }
    }

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

    /// ±2^`exponent` of a normal number, with the fraction from the top bits of `fraction`.
    fn from_parts(negative: bool, exponent: i32, fraction: u64) -> Self {
        let biased = (exponent + Self::MAX_EXPONENT) as u64;
        Self::from_bits(
            u64::from(negative) << (Self::PRECISION + Self::exponent_bits() - 1)
                | biased << (Self::PRECISION - 1)
                | fraction >> (65 - Self::PRECISION),
        )
    }

    /// 2^`exponent`, subnormal too.
    fn power_of_two(exponent: i32) -> Self {
        if exponent >= Self::MIN_EXPONENT {
            Self::from_parts(false, exponent, 0)
        } else {
            Self::from_bits(1 << (exponent - Self::MIN_EXPONENT + Self::PRECISION - 1))
        }
    }
}

macro_rules! format {
    ($real:ident, $bits:ident, $precision:literal, $min:literal, $max:literal) => {
        impl Format for $real {
            const NAME: &'static str = stringify!($real);
            const PRECISION: i32 = $precision;
            const MIN_EXPONENT: i32 = $min;
            const MAX_EXPONENT: i32 = $max;

            #[inline(always)]
            fn to_f64(self) -> f64 {
                self.into()
            }
            #[inline(always)]
            fn from_f64(value: f64) -> Self {
                value as $real
            }
            #[inline(always)]
            fn to_bits(self) -> u64 {
                $real::to_bits(self).into()
            }
            #[inline(always)]
            fn from_bits(bits: u64) -> Self {
                $real::from_bits(bits as $bits)
            }
            fn logistic(self) -> Self {
                soft_bce::scalar::sigmoid(self)
            }
        }
    };
}
format!(f32, u32, 24, -126, 127);
format!(f64, u64, 53, -1022, 1023);
