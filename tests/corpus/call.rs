//! What can be called, and how.

use super::Format;
use soft_bce::{Bce, Error, Focal, LossSum, Real, SquaredError};

/// An entry point of `Bce`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the methods' names")]
pub enum Operation {
    Loss,
    Sum,
    Mean,
    Gradient,
    GradientInPlace,
    SumGradient,
    MeanGradient,
    GradientHessian,
    SumGradientHessian,
    Accumulate,
    LossGradient,
    LossGradientHessian,
}

impl Operation {
    /// All of them. Fuzz seeds choose by position: append.
    pub const ALL: [Self; 12] = [
        Self::Loss,
        Self::Sum,
        Self::Mean,
        Self::Gradient,
        Self::GradientInPlace,
        Self::SumGradient,
        Self::MeanGradient,
        Self::GradientHessian,
        Self::SumGradientHessian,
        Self::Accumulate,
        Self::LossGradient,
        Self::LossGradientHessian,
    ];

    /// The method's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Loss => "loss",
            Self::Sum => "sum",
            Self::Mean => "mean",
            Self::Gradient => "gradient",
            Self::GradientInPlace => "gradient_in_place",
            Self::SumGradient => "sum_gradient",
            Self::MeanGradient => "mean_gradient",
            Self::GradientHessian => "gradient_hessian",
            Self::SumGradientHessian => "sum_gradient_hessian",
            Self::Accumulate => "accumulate",
            Self::LossGradient => "loss_gradient",
            Self::LossGradientHessian => "loss_gradient_hessian",
        }
    }

    /// Arrays that it writes.
    pub const fn outputs(self) -> usize {
        match self {
            Self::Sum | Self::Mean | Self::Accumulate => 0,
            Self::GradientHessian | Self::SumGradientHessian | Self::LossGradient => 2,
            Self::LossGradientHessian => 3,
            _ => 1,
        }
    }

    /// The names of these arrays, in order.
    pub const fn output_names(self) -> &'static [&'static str] {
        match self {
            Self::Loss => &["loss"],
            Self::LossGradient => &["loss", "gradient"],
            Self::LossGradientHessian => &["loss", "gradient", "hessian"],
            _ if self.outputs() == 2 => &["gradient", "hessian"],
            _ if self.outputs() == 1 => &["gradient"],
            _ => &[],
        }
    }

    /// Whether it returns a number.
    pub const fn has_number(self) -> bool {
        matches!(
            self,
            Self::Sum
                | Self::Mean
                | Self::SumGradient
                | Self::MeanGradient
                | Self::SumGradientHessian
        )
    }

    /// Whether it divides by the number of elements or the total weight.
    pub const fn is_mean(self) -> bool {
        matches!(self, Self::Mean | Self::MeanGradient)
    }
}

/// A function of one argument over slices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the functions' names")]
pub enum Function {
    Sigmoid,
    LogSigmoid,
    Softplus,
    Logit,
    ExactSigmoid,
    ExactLogSigmoid,
    ExactSoftplus,
}

impl Function {
    /// All of them; append, as with [`Operation::ALL`].
    pub const ALL: [Self; 7] = [
        Self::Sigmoid,
        Self::LogSigmoid,
        Self::Softplus,
        Self::Logit,
        Self::ExactSigmoid,
        Self::ExactLogSigmoid,
        Self::ExactSoftplus,
    ];

    /// The function's path in the crate.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sigmoid => "sigmoid",
            Self::LogSigmoid => "log_sigmoid",
            Self::Softplus => "softplus",
            Self::Logit => "logit",
            Self::ExactSigmoid => "exact::sigmoid",
            Self::ExactLogSigmoid => "exact::log_sigmoid",
            Self::ExactSoftplus => "exact::softplus",
        }
    }

    /// Whether its argument is in [0, 1].
    pub fn takes_probability(self) -> bool {
        self == Self::Logit
    }
}

/// Options of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Mode {
    Default,
    Weights,
    PosWeight,
    LabelSmoothing,
    AllOptions,
    Exact,
    Excess,
    WeightedExcess,
    /// A positive weight and label smoothing next to nothing.
    TinyOptions,
    /// A positive weight for each of three classes, or one, and weights of rows and elements.
    Shaped,
    Temperature,
    /// The excess over a teacher, with a temperature.
    LogitTargets,
    SquaredError,
    Focal,
}

impl Mode {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Default,
        Self::Weights,
        Self::PosWeight,
        Self::LabelSmoothing,
        Self::AllOptions,
        Self::Exact,
        Self::Excess,
        Self::WeightedExcess,
        Self::TinyOptions,
        Self::Shaped,
        Self::Temperature,
        Self::LogitTargets,
        Self::SquaredError,
        Self::Focal,
    ];

    /// Its name in `tests/hashes.txt` and in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Weights => "weights",
            Self::PosWeight => "pos_weight",
            Self::LabelSmoothing => "label_smoothing",
            Self::AllOptions => "all_options",
            Self::Exact => "exact",
            Self::Excess => "excess",
            Self::WeightedExcess => "weighted_excess",
            Self::TinyOptions => "tiny_options",
            Self::Shaped => "shaped",
            Self::Temperature => "temperature",
            Self::LogitTargets => "logit_targets",
            Self::SquaredError => "squared_error",
            Self::Focal => "focal",
        }
    }

    /// Whether the weights count.
    pub const fn is_weighted(self) -> bool {
        matches!(
            self,
            Self::Weights | Self::AllOptions | Self::WeightedExcess | Self::Shaped
        )
    }

    /// Whether it has the operation: there is no Hessian of the focal loss.
    pub fn has(self, operation: Operation) -> bool {
        self != Self::Focal || !operation.output_names().contains(&"hessian")
    }

    /// The call in this mode, or `None` where the type does not have it. Of `bce` other losses keep
    /// nothing.
    pub fn configure<'a, T: Element>(
        self,
        bce: Bce<'a, T>,
        weights: &'a [T],
    ) -> Option<Bce<'a, T>> {
        let three = T::from_f64(3.0);
        let eighth = T::from_f64(0.125);
        Some(match self {
            Self::Default => bce,
            Self::Weights => bce.weights(weights),
            Self::PosWeight => bce.pos_weight(three),
            Self::LabelSmoothing => bce.label_smoothing(eighth),
            Self::AllOptions => bce
                .weights(weights)
                .pos_weight(three)
                .label_smoothing(eighth),
            Self::Exact => return T::exact(bce),
            Self::Excess => bce.excess(),
            Self::WeightedExcess => bce.excess().weights(weights),
            Self::Shaped => {
                let classes = if weights.len().is_multiple_of(3) {
                    3
                } else {
                    1
                };
                bce.weights(weights)
                    .row_weights(&T::ROW_WEIGHTS[..weights.len() / classes])
                    .pos_weights(&T::POS_WEIGHTS[..classes])
                    .label_smoothing(eighth)
            }
            Self::Temperature => bce.temperature(T::from_f64(1.7)),
            Self::LogitTargets => bce.temperature(T::from_f64(0.75)).logit_targets().excess(),
            Self::SquaredError => *SquaredError::new(),
            Self::Focal => *Focal::new(T::from_f64(1.5)),
            Self::TinyOptions => bce.pos_weight(T::TINY).label_smoothing(T::from_f64(1e-6)),
        })
    }
}

/// An element type of the crate. What calls the kernel is not generic, so that the kernel is
/// compiled once, and not with every user.
pub trait Element: Format + Real {
    /// A positive weight whose product with a small target is no number but 0.
    const TINY: Self;
    /// One for each class.
    const POS_WEIGHTS: &'static [Self; 3];
    /// At most 1, so that no product with another weight overflows.
    const ROW_WEIGHTS: &'static [Self];

    /// `bce.exact()`, where there is one.
    fn exact<'a>(bce: Bce<'a, Self>) -> Option<Bce<'a, Self>>;

    /// The number it returns, or 0. `GradientInPlace` finds the logits in the first output, and
    /// `Accumulate` adds to `sum`.
    fn run(
        operation: Operation,
        bce: &Bce<'_, Self>,
        z: &[Self],
        t: &[Self],
        outputs: [&mut [Self]; 3],
        sum: &mut LossSum,
    ) -> Result<f64, Error>;

    /// `None` where the type lacks it.
    fn map(function: Function, from: &[Self], out: &mut [Self]) -> Option<Result<(), Error>>;
}

macro_rules! element {
    ($real:ident, $tiny:literal, |$bce:ident| $exact:expr, |$function:ident, $from:ident, $to:ident| $map_exactly:expr) => {
        impl Element for $real {
            const TINY: Self = $tiny;
            const POS_WEIGHTS: &'static [Self; 3] = &[3.0, 0.125, 10.0];
            const ROW_WEIGHTS: &'static [Self] = &{
                let mut rows = [0.0; 1024];
                let mut row = 0;
                while row < rows.len() {
                    rows[row] = (row % 5) as $real / 4.0;
                    row += 1;
                }
                rows
            };

            fn exact<'a>($bce: Bce<'a, Self>) -> Option<Bce<'a, Self>> {
                $exact
            }

            fn run(
                operation: Operation,
                bce: &Bce<'_, Self>,
                z: &[Self],
                t: &[Self],
                [first, second, third]: [&mut [Self]; 3],
                sum: &mut LossSum,
            ) -> Result<f64, Error> {
                let nothing = |()| 0.0;
                match operation {
                    Operation::Loss => bce.loss(z, t, first).map(nothing),
                    Operation::Sum => bce.sum(z, t),
                    Operation::Mean => bce.mean(z, t),
                    Operation::Gradient => bce.gradient(z, t, first).map(nothing),
                    Operation::GradientInPlace => bce.gradient_in_place(first, t).map(nothing),
                    Operation::SumGradient => bce.sum_gradient(z, t, first),
                    Operation::MeanGradient => bce.mean_gradient(z, t, first),
                    Operation::GradientHessian => {
                        bce.gradient_hessian(z, t, first, second).map(nothing)
                    }
                    Operation::SumGradientHessian => bce.sum_gradient_hessian(z, t, first, second),
                    Operation::Accumulate => bce.accumulate(z, t, sum).map(nothing),
                    Operation::LossGradient => bce.loss_gradient(z, t, first, second).map(nothing),
                    Operation::LossGradientHessian => bce
                        .loss_gradient_hessian(z, t, first, second, third)
                        .map(nothing),
                }
            }

            fn map(
                $function: Function,
                $from: &[Self],
                $to: &mut [Self],
            ) -> Option<Result<(), Error>> {
                Some(match $function {
                    Function::Sigmoid => soft_bce::sigmoid($from, $to),
                    Function::LogSigmoid => soft_bce::log_sigmoid($from, $to),
                    Function::Softplus => soft_bce::softplus($from, $to),
                    Function::Logit => soft_bce::logit($from, $to),
                    _ => return $map_exactly,
                })
            }
        }
    };
}
element!(f32, 1e-20, |bce| Some(bce.exact()), |function, from, to| {
    Some(match function {
        Function::ExactSigmoid => soft_bce::exact::sigmoid(from, to),
        Function::ExactLogSigmoid => soft_bce::exact::log_sigmoid(from, to),
        _ => soft_bce::exact::softplus(from, to),
    })
});
element!(f64, 1e-300, |_bce| None, |function, from, to| None);
