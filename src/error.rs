//! Typed errors: which input is wrong, where, and with what value.

use core::fmt;

/// Why a call was refused. Every variant names the offending input; no call panics.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Error {
    /// A slice has not the length of the logits (or, for the slice functions, of the input), or one
    /// of `row_weights` and `pos_weights` does not divide that.
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
    /// [`logit`](crate::logit()), a probability is; for
    /// [`logit_targets`](crate::Bce::logit_targets), a teacher's logit is NaN.
    TargetOutOfRange {
        /// The first such index.
        index: usize,
        /// The value found there, widened to `f64` (exact).
        value: f64,
    },
    /// A probability is NaN or outside [0, 1].
    ProbabilityOutOfRange {
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
    /// A weight of a row is NaN, infinite or negative; -0 is 0.
    InvalidRowWeight {
        /// The first such row.
        row: usize,
        /// The value found there, widened to `f64` (exact).
        value: f64,
    },
    /// The `pos_weight` of a class is NaN, infinite or not positive.
    InvalidPosWeight {
        /// The first such class.
        class: usize,
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
    /// A feature is NaN, infinite or beyond the scale of its column.
    FeatureOutOfScale {
        /// The first row with such a feature.
        row: usize,
        /// The first such column in it.
        column: usize,
        /// The value found there, widened to `f64` (exact).
        value: f64,
    },
    /// A coefficient, or an element of a direction, is NaN or infinite.
    InvalidCoefficient {
        /// The first such index.
        index: usize,
        /// The value found there, widened to `f64` (exact).
        value: f64,
    },
    /// An offset is NaN or infinite.
    InvalidOffset {
        /// The first such row.
        row: usize,
        /// The value found there, widened to `f64` (exact).
        value: f64,
    },
    /// The logit of a row, or a part of it, is beyond the range of its type.
    InvalidLogit {
        /// The first such row.
        row: usize,
        /// What the row's logit became: an infinity or NaN.
        value: f64,
    },
    /// A residual, or another factor of a row in a sum, is beyond its scale.
    FactorOutOfScale {
        /// The first such row.
        row: usize,
        /// The factor.
        value: f64,
    },
    /// There is no `linear::ColumnScale` for this, or no sum of products of such scales.
    ScaleOutOfRange {
        /// The bound for which there is none.
        value: f64,
    },
    /// Sums of different scales cannot be merged or filled together.
    ScaleMismatch {
        /// The first sum that does not fit.
        index: usize,
    },
    /// A group has no sums.
    GroupOutOfRange {
        /// The first row of such a group.
        row: usize,
        /// Its group.
        group: u32,
    },
    /// A sum over more than 2^64 − 1 rows.
    TooManyRows,
    /// The bytes are not a serialised `linear::ColumnSum` or `linear::ColumnScale` of a known version.
    MalformedColumnSum,
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
            Self::FeatureOutOfScale { row, column, value } => Self::FeatureOutOfScale {
                row: start + row,
                column,
                value,
            },
            Self::InvalidOffset { row, value } => Self::InvalidOffset {
                row: start + row,
                value,
            },
            Self::InvalidLogit { row, value } => Self::InvalidLogit {
                row: start + row,
                value,
            },
            Self::FactorOutOfScale { row, value } => Self::FactorOutOfScale {
                row: start + row,
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
            } => match *argument {
                "row_weights" | "pos_weights" => write!(
                    f,
                    "{argument} has the length {found}, which does not divide {expected}"
                ),
                _ => write!(f, "{argument} has the length {found}, not {expected}"),
            },
            Self::TargetOutOfRange { index, value } => {
                write!(f, "target {value} at index {index} is not in [0, 1]")
            }
            Self::ProbabilityOutOfRange { index, value } => {
                write!(f, "probability {value} at index {index} is not in [0, 1]")
            }
            Self::InvalidWeight { index, value } => {
                write!(f, "weight {value} at index {index} is not finite and >= 0")
            }
            Self::InvalidRowWeight { row, value } => {
                write!(f, "weight {value} of row {row} is not finite and >= 0")
            }
            Self::InvalidPosWeight { class, value } => {
                write!(
                    f,
                    "pos_weight {value} of class {class} is not finite and > 0"
                )
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
            Self::FeatureOutOfScale { row, column, value } => write!(
                f,
                "feature {value} in row {row}, column {column} is not finite or beyond its column's scale"
            ),
            Self::InvalidCoefficient { index, value } => {
                write!(f, "coefficient {value} at index {index} is not finite")
            }
            Self::InvalidOffset { row, value } => {
                write!(f, "offset {value} in row {row} is not finite")
            }
            Self::InvalidLogit { row, value } => write!(
                f,
                "the logit of row {row} is beyond the range of its type and became {value}"
            ),
            Self::FactorOutOfScale { row, value } => write!(
                f,
                "the residual or factor {value} of row {row} is beyond its scale"
            ),
            Self::ScaleOutOfRange { value } => write!(f, "there is no scale for {value}"),
            Self::ScaleMismatch { index } => {
                write!(f, "the column sum at index {index} has another scale")
            }
            Self::GroupOutOfRange { row, group } => {
                write!(f, "group {group} of row {row} has no sums")
            }
            Self::TooManyRows => f.write_str("a sum over more than 2^64 - 1 rows"),
            Self::MalformedColumnSum => {
                f.write_str("bytes are not a serialised ColumnSum or ColumnScale")
            }
            Self::MalformedLossSum => f.write_str("bytes are not a serialised LossSum"),
        }
    }
}

impl core::error::Error for Error {}
