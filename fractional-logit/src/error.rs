//! [`Error`]: why there is no fit.

use std::fmt;

/// Why a fit was refused. Columns are those of the features, from 0; rows those of the data set, from 0
/// ([`Data::first_row`](crate::Data::first_row)).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Error {
    /// A value of a row cannot be used.
    Value {
        /// What it is of.
        of: Place,
        /// The first such row of the data given.
        row: u64,
        /// The value.
        value: f64,
        /// What it must be.
        expected: &'static str,
    },
    /// A slice has not the length of the features.
    LengthMismatch {
        /// Which slice.
        argument: &'static str,
        /// The number of rows.
        expected: usize,
        /// Its length.
        found: usize,
    },
    /// An option has a value outside its range, or options exclude each other.
    InvalidOption {
        /// Which, and what it must be.
        reason: &'static str,
    },
    /// There are not more rows of positive weight than coefficients, or none.
    TooFewRows {
        /// Rows of positive weight.
        rows: u64,
        /// How many are needed at least.
        needed: u64,
    },
    /// All rows are of one cluster: clustered errors compare clusters.
    TooFewClusters {
        /// Clusters with a row of positive weight.
        clusters: u64,
    },
    /// A column varies by less than 2^-400, so that the variance of its coefficient is beyond the range of `f64`.
    TooSmall {
        /// The column.
        column: usize,
        /// The largest distance of a value from the column's center.
        range: f64,
    },
    /// The greatest weight, times trials, is below 2^-400, so that squares of weights are beyond the range of `f64`.
    WeightsTooSmall {
        /// That weight.
        greatest: f64,
    },
    /// No row of positive weight has this level of the category.
    EmptyLevel {
        /// From 0.
        level: u32,
    },
    /// Every target of a level is 0, or every target is 1: its coefficient grows without limit. A ridge penalty gives a
    /// finite fit.
    LevelSeparated {
        /// From 0; that of level 0 is the constant's.
        level: u32,
        /// 0 or 1.
        target: f64,
        /// How many rows it has.
        rows: u64,
    },
    /// Every target is 0, or every target is 1: the best fit is at infinity.
    OneClass {
        /// 0 or 1.
        target: f64,
    },
    /// A column is a combination of columns before it, up to rounding.
    Collinear {
        /// The column.
        column: usize,
        /// The constant's share in it.
        constant: f64,
        /// The columns that it is made of, with their factors.
        combination: Vec<(usize, f64)>,
    },
    /// The features separate the targets: along a direction every target is reached, so that coefficients grow
    /// without limit. A ridge penalty or Firth's correction gives a finite fit.
    Separation {
        /// The columns whose coefficients grow, most first.
        columns: Vec<usize>,
        /// How many rows are predicted exactly.
        rows: u64,
        /// The first of them.
        first_row: u64,
    },
    /// The iteration did not come to an end.
    NoConvergence {
        /// Steps taken.
        steps: usize,
        /// The column whose coefficient moved most; none if it was the constant.
        column: Option<usize>,
    },
    /// A logit, or a sum, is beyond the range of `f64`: with offsets beyond 745 the curvature at the start.
    OutOfRange,
    /// A state does not belong to the task, or bytes are none of a state or task.
    Malformed {
        /// What was found.
        reason: &'static str,
    },
    /// An error of the kernel that no check of this package foresaw.
    Kernel(soft_bce::Error),
}

/// What a value is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// A feature's column, from 0.
    Feature(usize),
    /// The targets, or counts of successes.
    Target,
    /// The numbers of trials.
    Trials,
    /// The weights.
    Weight,
    /// The offset.
    Offset,
    /// The level of the category.
    Level,
}

pub(crate) const OF_A_SIZE: &str = "of a size up to 2^500, the limit";

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Feature(column) => write!(f, "feature {column}"),
            Self::Target => f.write_str("target"),
            Self::Trials => f.write_str("number of trials"),
            Self::Weight => f.write_str("weight"),
            Self::Offset => f.write_str("offset"),
            Self::Level => f.write_str("level"),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value {
                of,
                row,
                value,
                expected,
            } => {
                // With an exponent where there would be many zeros.
                let shown = format!("{value:?}");
                let shown = shown.strip_suffix(".0").unwrap_or(&shown);
                write!(f, "{of} {shown} in row {row} is not {expected}")
            }
            Self::LengthMismatch {
                argument,
                expected,
                found,
            } => write!(f, "{argument} has the length {found}, not {expected}"),
            Self::InvalidOption { reason } => f.write_str(reason),
            Self::TooFewRows { rows, needed } => write!(
                f,
                "too few rows: {rows} with a positive weight, and this fit needs at least {needed}"
            ),
            Self::WeightsTooSmall { greatest } => write!(
                f,
                "every weight is at most {greatest:e}, which is too small (2^-400 is the limit): scale them"
            ),
            Self::EmptyLevel { level } => {
                write!(
                    f,
                    "no row of positive weight has the level {level}: leave it out"
                )
            }
            Self::LevelSeparated {
                level,
                target,
                rows,
            } => write!(
                f,
                "separation: the target of all {rows} rows of level {level} is {target}, so that no finite fit exists; a \
                 ridge penalty gives one, or leave these rows out"
            ),
            Self::TooFewClusters { clusters } => write!(
                f,
                "too few clusters: {clusters}, and clustered errors need at least 2"
            ),
            Self::TooSmall { column, range } => write!(
                f,
                "feature {column} varies by {range:e} alone, which is too small (2^-400 is the limit): scale it"
            ),
            Self::OneClass { target } => {
                write!(f, "every target is {target}: no finite fit exists")
            }
            Self::Collinear {
                column,
                constant,
                combination,
            } => {
                write!(f, "singular design: in every row column {column} = ")?;
                let mut terms = Vec::new();
                if *constant != 0.0 || combination.is_empty() {
                    terms.push(constant.to_string());
                }
                let products = combination.iter();
                terms.extend(products.map(|(column, share)| format!("{share} * column {column}")));
                f.write_str(&terms.join(" + "))
            }
            Self::Separation {
                columns,
                rows,
                first_row,
            } => write!(
                f,
                "separation: columns {columns:?} predict the targets of {rows} rows, row {first_row} first, as exactly 0 or \
                 1, so that coefficients grow without limit; a ridge penalty or Firth's correction gives a finite fit"
            ),
            Self::NoConvergence { steps, column } => {
                write!(f, "no convergence in {steps} steps")?;
                match column {
                    Some(column) => write!(f, "; the coefficient of column {column} moves most"),
                    None => f.write_str("; the constant moves most"),
                }
            }
            Self::OutOfRange => f.write_str(
                "a logit, a sum or, with offsets beyond 745, the curvature at the start is beyond the range of f64",
            ),
            Self::Malformed { reason } => f.write_str(reason),
            Self::Kernel(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {}

impl From<soft_bce::Error> for Error {
    fn from(error: soft_bce::Error) -> Self {
        Self::Kernel(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_short() {
        for (value, shown) in [
            (-1.0, "-1"),
            (1e308, "1e308"),
            (-1e-9, "-1e-9"),
            (1.5, "1.5"),
        ] {
            let error = Error::Value {
                of: Place::Feature(2),
                row: 7,
                value,
                expected: "finite",
            };
            let expected = format!("feature 2 {shown} in row 7 is not finite");
            assert_eq!(error.to_string(), expected);
        }
    }
}
