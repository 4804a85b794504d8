//! What the oracle has to know of a format besides what the corpus says.

use crate::corpus;
use rug::Float;

/// A format of the corpus, rounded to.
pub trait Format: corpus::Format {
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
}

impl Format for f32 {}

impl Format for f64 {}
