//! The metric: |computed - true| / ulp(true), defined for every pair, so that no case is skipped.

use crate::format::Format;
use crate::mpfr::{Truth, ulp_exponent};
use rug::Float;

/// The error of `computed` in ULP of `F`: never negative, never NaN.
///
/// * One ULP is the distance of neighbouring floats at the *true* value (at `Real::scale` for the
///   gradient of a soft target); below the normal range it is the subnormal spacing.
/// * A NaN on one side only, an infinity on one side only, infinities of opposite signs: infinite.
/// * A true zero: the result's magnitude in subnormal units, and infinite for a zero of the wrong
///   sign. A result that is zero with the sign opposite to the true value's: infinite, but
///   for the gradient, whose zero `judge` requires to be +0.
/// * A true value that rounds to infinity makes infinity the right result, and so does one that did
///   before its weight; otherwise infinity counts as `Real::infinity`.
pub fn error<F: Format>(computed: F, truth: &Truth) -> f64 {
    let c = computed.to_f64();
    match truth {
        Truth::Nan => zero_if(c.is_nan()),
        Truth::Infinity { negative } => zero_if(c.is_infinite() && (c < 0.0) == *negative),
        _ if c.is_nan() => f64::INFINITY,
        Truth::Zero { negative } => {
            if c == 0.0 {
                zero_if(*negative == c.is_sign_negative())
            } else {
                let smallest = F::from_bits(1).to_f64();
                c.abs() / smallest
            }
        }
        Truth::Real(real) => {
            let negative = real.value.is_sign_negative();
            if real.signed_zero && c == 0.0 && c.is_sign_negative() != negative {
                return f64::INFINITY;
            }
            let precision = real.value.prec() + 64;
            let mut result = Float::with_val(precision, c);
            if c.is_infinite() {
                if (c < 0.0) != negative {
                    return f64::INFINITY;
                }
                if real.overflows {
                    return 0.0;
                }
                result = Float::with_val(precision, &real.infinity);
                if negative {
                    result = -result;
                }
            }
            let difference = (result - &real.value).abs();
            (difference >> ulp_exponent::<F>(&real.scale)).to_f64()
        }
    }
}

fn zero_if(right: bool) -> f64 {
    if right { 0.0 } else { f64::INFINITY }
}
