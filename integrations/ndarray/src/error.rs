//! What is wrong with a call, and where.

use std::fmt;

/// Why a call was refused. No call panics.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Error {
    /// An array, or the weights of an axis, have not the shape that the logits ask for.
    Shape {
        /// The name of the argument or option.
        argument: &'static str,
        /// The logits' shape; for weights of an axis, the length of that axis.
        expected: Vec<usize>,
        /// The shape found.
        found: Vec<usize>,
    },
    /// An option names an axis that the logits do not have.
    Axis {
        /// The option's name.
        option: &'static str,
        /// The axis asked for.
        axis: usize,
        /// How many the logits have.
        axes: usize,
    },
    /// A class has a `pos_weight` that is not finite and > 0.
    PosWeight {
        /// The first such class: its index along the axis.
        class: usize,
        /// The value found there.
        value: f64,
    },
    /// The kernel refuses an element, or its weight.
    Element {
        /// Where: the first such element in the logits' own (row-major) order, whatever the layout.
        index: Vec<usize>,
        /// Why; its index counts elements in that order.
        error: soft_bce::Error,
    },
    /// The kernel refuses the options, or there is nothing to take the mean of.
    Kernel(soft_bce::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shape {
                argument,
                expected,
                found,
            } => {
                write!(
                    f,
                    "{argument} of shape {found:?} where {expected:?} was expected"
                )
            }
            Self::Axis { option, axis, axes } => {
                write!(
                    f,
                    "{option} along axis {axis} of logits that have {axes} axes"
                )
            }
            Self::PosWeight { class, value } => {
                write!(
                    f,
                    "pos_weight {value} of class {class} is not finite and > 0"
                )
            }
            Self::Element { index, error } => {
                write!(f, "{error}, in row-major order: at {index:?}")
            }
            Self::Kernel(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Element { error, .. } | Self::Kernel(error) => Some(error),
            _ => None,
        }
    }
}
