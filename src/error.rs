//! Typed errors: which input is wrong, where, and with what value.

use core::fmt;

/// Why a call was refused. Every variant names the offending input; no call panics.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Error {
    /// A slice has not the length of the logits (or, for the slice functions, of the input).
    LengthMismatch {
        /// The argument or option that is the slice: `"t"`, `"weights"`, `"gradient"` ….
        argument: &'static str,
        /// The length of the first slice of the call.
        expected: usize,
        /// The length of the slice that differs.
        found: usize,
    },
    /// A target is NaN or outside [0, 1], by more than
    /// [`target_tolerance`](crate::Bce::target_tolerance) allows. For
    /// [`logit`](crate::logit()), a probability is.
    TargetOutOfRange {
        /// The first such index.
        index: usize,
        /// The value found there, widened to `f64` (exact).
        value: f64,
    },
    /// A weight is NaN, infinite or negative; -0 is 0.
    InvalidWeight {
        /// The first such index.
        index: usize,
        /// The value found there, widened to `f64` (exact).
        value: f64,
    },
    /// An option was given a value outside its range.
    InvalidOption {
        /// The option's name.
        option: &'static str,
        /// The value given, widened to `f64` (exact).
        value: f64,
        /// What it must be, in words and intervals: `"in [0, 1]"`.
        range: &'static str,
    },
    /// The options set together have no defined meaning, or the type does not offer them.
    UnsupportedOptions {
        /// What excludes what.
        reason: &'static str,
    },
    /// A mean of no elements, or of a total weight of zero.
    Empty,
    /// The requested backend does not exist on this machine.
    BackendUnavailable {
        /// The backend's name, as [`Backend::name`](crate::Backend::name) gives it.
        backend: &'static str,
    },
    /// The bytes are not a serialised [`LossSum`](crate::LossSum) of a known version.
    MalformedLossSum,
}

impl Error {
    /// The same error in slices of which those it was found in start at `start`.
    pub(crate) fn shifted(self, start: usize) -> Self {
        match self {
            Self::TargetOutOfRange { index, value } => Self::TargetOutOfRange {
                index: start + index,
                value,
            },
            Self::InvalidWeight { index, value } => Self::InvalidWeight {
                index: start + index,
                value,
            },
            other => other,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LengthMismatch {
                argument,
                expected,
                found,
            } => write!(f, "{argument} has the length {found}, not {expected}"),
            Self::TargetOutOfRange { index, value } => {
                write!(f, "target {value} at index {index} is not in [0, 1]")
            }
            Self::InvalidWeight { index, value } => {
                write!(f, "weight {value} at index {index} is not finite and >= 0")
            }
            Self::InvalidOption {
                option,
                value,
                range,
            } => write!(f, "{option} is {value} and must be {range}"),
            Self::UnsupportedOptions { reason } => f.write_str(reason),
            Self::Empty => f.write_str("the mean of nothing is undefined"),
            Self::BackendUnavailable { backend } => {
                write!(f, "backend {backend} is not available on this machine")
            }
            Self::MalformedLossSum => f.write_str("bytes are not a serialised LossSum"),
        }
    }
}

impl core::error::Error for Error {}
