//! Faults to plant in results, so that the checks can be seen to turn red.

use crate::check::Requirement;
use crate::format::Format;

/// A fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Some results off by the least number of places that exceeds the budget from a correctly
    /// rounded value, and by three at least (2.5 ULP).
    Ulps,
    /// Some results one place off.
    OneUlp,
    /// Some small results come back as zero.
    Zero,
    /// Zeros have the other sign.
    ZeroSign,
    /// Some results are NaN.
    Nan,
    /// NaN comes back as zero.
    LostNan,
    /// Some results have the other sign.
    Sign,
    /// Subnormal results are flushed to zero.
    Flush,
    /// Some results are infinite.
    Infinity,
    /// Infinite results come back as the largest finite number.
    LostInfinity,
}

impl std::str::FromStr for Fault {
    type Err = String;

    /// The variants' names, in any case, with hyphens or without.
    fn from_str(name: &str) -> Result<Self, String> {
        let plain = name.replace('-', "").to_lowercase();
        let found = Self::ALL
            .into_iter()
            .find(|fault| format!("{fault:?}").to_lowercase() == plain);
        found.ok_or_else(|| format!("{name} is none of {:?}", Self::ALL))
    }
}

impl Fault {
    /// Every fault.
    pub const ALL: [Self; 10] = [
        Self::Ulps,
        Self::OneUlp,
        Self::Zero,
        Self::ZeroSign,
        Self::Nan,
        Self::LostNan,
        Self::Sign,
        Self::Flush,
        Self::Infinity,
        Self::LostInfinity,
    ];

    /// The fault that the environment variable PLANT names, if any.
    pub fn from_environment() -> Option<Self> {
        let name = std::env::var("PLANT").ok()?;
        Some(
            name.parse()
                .unwrap_or_else(|error| panic!("PLANT: {error}")),
        )
    }

    /// Spoils one batch of results.
    pub fn plant<F: Format>(self, requirement: Requirement, results: &mut [F]) {
        let steps = match requirement {
            Requirement::Within(budget) => ((budget + 0.5).ceil() as i64).max(3),
            Requirement::CorrectlyRounded => 3,
        };
        let smallest_normal = 2.0_f64.powi(F::MIN_EXPONENT);
        for (i, result) in results.iter_mut().enumerate() {
            let value = result.to_f64();
            let chosen = i % 251 == 17 && value.is_finite();
            // Alternating directions: one of them is away from the true value.
            let direction = if i % 2 == 0 { 1 } else { -1 };
            let spoilt = match self {
                Self::Ulps if chosen => result.step(steps * direction),
                Self::OneUlp if chosen => result.step(direction),
                Self::Zero if value.abs() < 1e-6 => F::from_f64(0.0_f64.copysign(value)),
                Self::ZeroSign if value == 0.0 => F::from_f64(-value),
                Self::Nan if chosen => F::from_f64(f64::NAN),
                Self::LostNan if value.is_nan() => F::from_f64(0.0),
                Self::Sign if chosen => F::from_f64(-value),
                Self::Flush if value.abs() < smallest_normal => {
                    F::from_f64(0.0_f64.copysign(value))
                }
                Self::Infinity if chosen => F::from_f64(f64::INFINITY),
                Self::LostInfinity if value.is_infinite() => F::from_f64(f64::INFINITY).step(-1),
                _ => *result,
            };
            *result = spoilt;
        }
    }
}
