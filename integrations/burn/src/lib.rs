//! Binary cross-entropy with soft targets for [burn], by the [`soft_bce`] kernel.
//!
//! [`binary_cross_entropy_with_logits`], and [`BinaryCrossEntropyWithLogits`] as a module, stand
//! beside `burn::nn::loss::BinaryCrossEntropyLoss`, whose targets are integers: here they are
//! fractions.
//!
//! ```
//! use burn::nn::loss::Reduction;
//! use burn::tensor::{Device, Tensor};
//! use soft_bce_burn::BinaryCrossEntropyWithLogitsConfig;
//!
//! let device = Device::flex().autodiff();
//! let logits = Tensor::<2>::from_floats([[120.0, -1.0], [0.5, -120.0]], &device).require_grad();
//! let targets = Tensor::<2>::from_floats([[0.75, 0.25], [0.5, 0.0]], &device);
//!
//! let criterion = BinaryCrossEntropyWithLogitsConfig::new().init(&device);
//! let loss = criterion.forward(logits.clone(), targets, Reduction::Mean)?;
//! let gradients = loss.backward();
//! let gradient = logits.grad(&gradients).unwrap().into_data();
//! assert_eq!(gradient.try_to_vec::<f32>().unwrap()[0], 0.0625); // (1 - 0.75) / 4
//! # Ok::<(), soft_bce_burn::Error>(())
//! ```
//!
//! It runs on the Flex backend, with and without autodiff. Other devices are refused.

#![deny(unsafe_code)]
#![deny(missing_docs)]

use std::fmt;

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind, unary};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{
    Autodiff, Backend, Dispatch, DispatchDevice, Element, ElementConversion, ExtensionType, Flex,
    TensorMetadata, backend_extension,
};
use burn::config::Config;
use burn::module::Module;
use burn::nn::loss::Reduction;
use burn::tensor::{DType, Device, FloatDType, Shape, Tensor, TensorData};
pub use soft_bce;
use soft_bce::{Bce, Real};

/// Why a call was refused.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Error {
    /// A tensor is on a device of another backend than Flex.
    Device(String),
    /// A tensor has not the shape that the logits ask for.
    Shape {
        /// The argument.
        argument: &'static str,
        /// The logits' shape; for the weights, the number of classes.
        expected: Vec<usize>,
        /// The shape found.
        found: Vec<usize>,
    },
    /// The targets have another type than the logits, or that is no floating-point type.
    DType {
        /// The logits' type.
        logits: DType,
        /// The targets' type.
        targets: DType,
    },
    /// A gradient would flow into the targets: `detach()` them.
    TrackedTargets,
    /// The kernel refuses an element, by its index in row-major order, or an option.
    Kernel(soft_bce::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(device) => {
                write!(
                    f,
                    "the loss runs on the Flex backend, and a tensor is on {device}"
                )
            }
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
            Self::DType { logits, targets } => {
                write!(
                    f,
                    "logits of type {logits:?} and targets of type {targets:?}"
                )
            }
            Self::TrackedTargets => f.write_str(
                "no gradient is defined by the targets, which are tracked: detach() them",
            ),
            Self::Kernel(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Kernel(error) => Some(error),
            _ => None,
        }
    }
}

/// The options of [`binary_cross_entropy_with_logits`].
///
/// ```
/// use soft_bce_burn::Options;
/// let options = Options::<2> { pos_weight: 3.0, ..Options::default() };
/// ```
#[derive(Clone, Debug)]
pub struct Options<const D: usize> {
    /// Multiplies each element: finite and >= 0, of the logits' shape or one that broadcasts to it
    /// (rows: n × 1, classes: 1 × k). A constant: no gradient flows into it.
    pub weights: Option<Tensor<D>>,
    /// Multiplies the positive term; see [`Bce::pos_weight`].
    pub pos_weight: f64,
    /// The same for each class, which is the last dimension: finite and > 0. Excludes `pos_weight`.
    pub pos_weights: Option<Tensor<1>>,
    /// Moves targets towards 1/2: t + α (1/2 − t); see [`Bce::label_smoothing`]. (burn's own losses
    /// move them towards one over the number of classes.)
    pub label_smoothing: f64,
    /// Divides the logits; see [`Bce::temperature`].
    pub temperature: f64,
    /// Whether the targets are logits, a teacher's; see [`Bce::logit_targets`].
    pub logit_targets: bool,
}

impl<const D: usize> Default for Options<D> {
    fn default() -> Self {
        Self {
            weights: None,
            pos_weight: 1.0,
            pos_weights: None,
            label_smoothing: 0.0,
            temperature: 1.0,
            logit_targets: false,
        }
    }
}

/// −t ln σ(z) − (1 − t) ln(1 − σ(z)) of logits z and targets t in [0, 1], for any finite or infinite
/// logit, reduced. `Mean` and `Auto` divide the sum by the number of elements or, with weights, by
/// the total weight (burn's own losses divide by the number of elements in both cases); `BatchMean`
/// divides it by the length of the first dimension.
///
/// * **Shapes**: targets have the shape of the logits, which may be any; neither need be contiguous.
/// * **Types**: `f32` and `f64`, the same for both; `f16` and `bf16` are converted to `f32`, and the
///   result back.
/// * **Devices**: Flex, with and without autodiff.
/// * **Gradient**: by the logits σ(z) − t, as accurate as [`Bce::gradient`], computed with the loss
///   if the logits are tracked. There is none by the targets, and no second one.
/// * **Bits, accuracy, limits**: those of [`Bce`].
///
/// # Errors
///
/// Another device than Flex's; other shapes or types; tracked targets; options out of range; a target
/// that is NaN or outside [0, 1] or a weight that is NaN, infinite or negative, by its index in
/// row-major order; the mean of nothing, or of a total weight of 0.
pub fn binary_cross_entropy_with_logits<const D: usize>(
    logits: Tensor<D>,
    targets: Tensor<D>,
    reduction: Reduction,
    options: &Options<D>,
) -> Result<Tensor<1>, Error> {
    let rows = logits.dims().first().copied().unwrap_or(1);
    match reduction {
        Reduction::Mean | Reduction::Auto => run(logits, targets, options, Reduced::Mean),
        Reduction::Sum => run(logits, targets, options, Reduced::Sum),
        Reduction::BatchMean if rows == 0 => Err(Error::Kernel(soft_bce::Error::Empty)),
        Reduction::BatchMean => {
            let sum: Tensor<1> = run(logits, targets, options, Reduced::Sum)?;
            Ok(sum.div_scalar(rows as f64))
        }
    }
}

/// The losses of [`binary_cross_entropy_with_logits`], not reduced: of the logits' shape.
///
/// # Errors
/// As [there](binary_cross_entropy_with_logits#errors).
pub fn binary_cross_entropy_with_logits_no_reduction<const D: usize>(
    logits: Tensor<D>,
    targets: Tensor<D>,
    options: &Options<D>,
) -> Result<Tensor<D>, Error> {
    run(logits, targets, options, Reduced::No)
}

/// The options of [`BinaryCrossEntropyWithLogits`].
#[derive(Config, Debug)]
pub struct BinaryCrossEntropyWithLogitsConfig {
    /// A weight for each class, which is the last dimension: finite and >= 0.
    pub weights: Option<Vec<f32>>,
    /// See [`Options::pos_weight`].
    #[config(default = 1.0)]
    pub pos_weight: f64,
    /// See [`Options::pos_weights`].
    pub pos_weights: Option<Vec<f32>>,
    /// See [`Options::label_smoothing`].
    #[config(default = 0.0)]
    pub smoothing: f64,
    /// See [`Options::temperature`].
    #[config(default = 1.0)]
    pub temperature: f64,
    /// See [`Options::logit_targets`].
    #[config(default = false)]
    pub logit_targets: bool,
}

impl BinaryCrossEntropyWithLogitsConfig {
    /// The module, on a device.
    pub fn init(&self, device: &Device) -> BinaryCrossEntropyWithLogits {
        let by_class = |values: &Vec<f32>| Tensor::from_floats(values.as_slice(), device);
        BinaryCrossEntropyWithLogits {
            weights: self.weights.as_ref().map(by_class),
            pos_weight: self.pos_weight,
            pos_weights: self.pos_weights.as_ref().map(by_class),
            smoothing: self.smoothing,
            temperature: self.temperature,
            logit_targets: self.logit_targets,
        }
    }
}

/// [`binary_cross_entropy_with_logits`] as a module, with weights by class. Made by
/// [`BinaryCrossEntropyWithLogitsConfig`].
#[derive(Module, Debug)]
pub struct BinaryCrossEntropyWithLogits {
    /// A weight for each class.
    pub weights: Option<Tensor<1>>,
    /// See [`Options::pos_weight`].
    pub pos_weight: f64,
    /// See [`Options::pos_weights`].
    pub pos_weights: Option<Tensor<1>>,
    /// See [`Options::label_smoothing`].
    pub smoothing: f64,
    /// See [`Options::temperature`].
    pub temperature: f64,
    /// See [`Options::logit_targets`].
    pub logit_targets: bool,
}

impl BinaryCrossEntropyWithLogits {
    /// The losses, reduced.
    ///
    /// # Errors
    /// As [for the function](binary_cross_entropy_with_logits#errors).
    pub fn forward<const D: usize>(
        &self,
        logits: Tensor<D>,
        targets: Tensor<D>,
        reduction: Reduction,
    ) -> Result<Tensor<1>, Error> {
        let options = self.options(&logits)?;
        binary_cross_entropy_with_logits(logits, targets, reduction, &options)
    }

    /// The losses, an array of the logits' shape.
    ///
    /// # Errors
    /// As [for the function](binary_cross_entropy_with_logits#errors).
    pub fn forward_no_reduction<const D: usize>(
        &self,
        logits: Tensor<D>,
        targets: Tensor<D>,
    ) -> Result<Tensor<D>, Error> {
        let options = self.options(&logits)?;
        binary_cross_entropy_with_logits_no_reduction(logits, targets, &options)
    }

    fn options<const D: usize>(&self, logits: &Tensor<D>) -> Result<Options<D>, Error> {
        let by_class = |weights: &Tensor<1>| {
            check_classes("weights", weights, &logits.shape())?;
            Ok(weights.clone().unsqueeze())
        };
        Ok(Options {
            weights: self.weights.as_ref().map(by_class).transpose()?,
            pos_weight: self.pos_weight,
            pos_weights: self.pos_weights.clone(),
            label_smoothing: self.smoothing,
            temperature: self.temperature,
            logit_targets: self.logit_targets,
        })
    }
}

fn run<const D: usize, const R: usize>(
    logits: Tensor<D>,
    targets: Tensor<D>,
    options: &Options<D>,
    reduced: Reduced,
) -> Result<Tensor<R>, Error> {
    for tensor in [&logits, &targets].into_iter().chain(&options.weights) {
        check_device(&tensor.device())?;
    }
    let shape = logits.shape();
    if targets.shape() != shape {
        return Err(mismatch("targets", shape.to_vec(), targets.shape()));
    }
    let dtype = logits.dtype();
    let computed = match dtype {
        DType::F32 | DType::F16 | DType::BF16 => Some(FloatDType::F32),
        DType::F64 => Some(FloatDType::F64),
        _ => None,
    };
    let Some(computed) = computed.filter(|_| targets.dtype() == dtype) else {
        return Err(Error::DType {
            logits: dtype,
            targets: targets.dtype(),
        });
    };
    if targets.is_tracked() {
        return Err(Error::TrackedTargets);
    }
    let pos_weights = match &options.pos_weights {
        None => Vec::new(),
        Some(pos_weights) => {
            check_classes("pos_weights", pos_weights, &shape)?;
            let data = pos_weights.clone().into_data().convert::<f64>();
            data.try_to_vec().unwrap_or_default()
        }
    };
    let weights = match &options.weights {
        None => Weights::None,
        Some(weights) => {
            let found = weights.shape();
            let fits = |(found, wanted): (&usize, &usize)| *found == 1 || found == wanted;
            if !found.iter().zip(shape.iter()).all(fits) {
                return Err(mismatch("weights", shape.to_vec(), found));
            }
            let each: Tensor<D> = weights.clone().detach().cast(computed).expand(shape);
            Weights::Each(each.into_dispatch())
        }
    };
    let settings = Settings {
        reduced,
        pos_weight: options.pos_weight,
        pos_weights,
        label_smoothing: options.label_smoothing,
        temperature: options.temperature,
        logit_targets: options.logit_targets,
        gradient: false,
    };
    let outcome = Dispatch::binary_cross_entropy(
        logits.cast(computed).into_dispatch(),
        targets.cast(computed).into_dispatch(),
        weights,
        settings,
    );
    match outcome {
        Outcome::Loss(loss) | Outcome::LossAndGradient(loss, _) => {
            Ok(Tensor::<R>::from_dispatch(loss).cast(dtype))
        }
        Outcome::Refused(error) => Err(Error::Kernel(error)),
    }
}

fn check_classes(argument: &'static str, values: &Tensor<1>, logits: &Shape) -> Result<(), Error> {
    let classes = logits.last().copied().unwrap_or(1);
    if values.dims() == [classes] {
        Ok(())
    } else {
        Err(mismatch(argument, vec![classes], values.shape()))
    }
}

fn mismatch(argument: &'static str, expected: Vec<usize>, found: Shape) -> Error {
    Error::Shape {
        argument,
        expected,
        found: found.to_vec(),
    }
}

fn check_device(device: &Device) -> Result<(), Error> {
    let mut dispatch = device.as_dispatch();
    if let DispatchDevice::Autodiff(inner) = dispatch {
        dispatch = inner;
    }
    match dispatch {
        DispatchDevice::Flex(_) => Ok(()),
        #[allow(unreachable_patterns, reason = "other backends may be compiled in")]
        _ => Err(Error::Device(format!("{device:?}"))),
    }
}

/// What becomes of the losses of the elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reduced {
    /// Their mean.
    Mean,
    /// Their sum.
    Sum,
    /// They stay as they are.
    No,
}

/// What [`BceBackend`] is asked for.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What the result is.
    pub reduced: Reduced,
    /// See [`Bce::pos_weight`].
    pub pos_weight: f64,
    /// See [`Bce::pos_weights`]; empty if there are none.
    pub pos_weights: Vec<f64>,
    /// See [`Bce::label_smoothing`].
    pub label_smoothing: f64,
    /// See [`Bce::temperature`].
    pub temperature: f64,
    /// See [`Bce::logit_targets`].
    pub logit_targets: bool,
    /// Whether the gradient by the logits is wanted as well.
    pub gradient: bool,
}

/// The weights of the elements, of the logits' shape.
#[derive(ExtensionType)]
pub enum Weights<B: Backend> {
    /// All are 1.
    None,
    /// One for each.
    Each(FloatTensor<B>),
}

/// What comes of it.
#[derive(ExtensionType)]
pub enum Outcome<B: Backend> {
    /// The loss.
    Loss(FloatTensor<B>),
    /// The loss, and its gradient by the logits.
    LossAndGradient(FloatTensor<B>, FloatTensor<B>),
    /// The kernel's error.
    Refused(soft_bce::Error),
}

/// Backends that compute the loss. [`binary_cross_entropy_with_logits`] checks what it passes.
#[backend_extension(Flex, Autodiff)]
pub trait BceBackend: Backend {
    /// The loss of logits and targets of one shape and type, `f32` or `f64`.
    fn binary_cross_entropy(
        logits: FloatTensor<Self>,
        targets: FloatTensor<Self>,
        #[extension_type] weights: Weights<Self>,
        settings: Settings,
    ) -> Outcome<Self>;
}

impl BceBackend for Flex {
    fn binary_cross_entropy(
        logits: FlexTensor,
        targets: FlexTensor,
        weights: Weights<Self>,
        settings: Settings,
    ) -> Outcome<Self> {
        let (z, t) = (logits.to_contiguous(), targets.to_contiguous());
        let w = match weights {
            Weights::None => None,
            Weights::Each(weights) => Some(weights.to_contiguous()),
        };
        let (w, shape) = (w.as_ref(), z.shape());
        let result = match z.dtype() {
            DType::F64 => {
                let w = w.map(|w| w.as_slice::<f64>().unwrap_or_default());
                compute(
                    z.as_slice().unwrap_or_default(),
                    t.as_slice().unwrap_or_default(),
                    w,
                    shape,
                    &settings,
                )
            }
            _ => {
                let w = w.map(|w| w.as_slice::<f32>().unwrap_or_default());
                compute(
                    z.as_slice().unwrap_or_default(),
                    t.as_slice().unwrap_or_default(),
                    w,
                    shape,
                    &settings,
                )
            }
        };
        match result {
            Ok((loss, None)) => Outcome::Loss(loss),
            Ok((loss, Some(gradient))) => Outcome::LossAndGradient(loss, gradient),
            Err(error) => Outcome::Refused(error),
        }
    }
}

fn compute<T: Real + Element>(
    z: &[T],
    t: &[T],
    weights: Option<&[T]>,
    shape: Shape,
    settings: &Settings,
) -> Result<(FlexTensor, Option<FlexTensor>), soft_bce::Error> {
    let mut bce = Bce::<T>::new()
        .pos_weight(settings.pos_weight.elem())
        .label_smoothing(settings.label_smoothing.elem());
    if settings.temperature != 1.0 {
        bce = bce.temperature(settings.temperature.elem());
    }
    if settings.logit_targets {
        bce = bce.logit_targets();
    }
    let pos_weights: Vec<T> = settings.pos_weights.iter().map(|&p| p.elem()).collect();
    if !pos_weights.is_empty() {
        bce = bce.pos_weights(&pos_weights);
    }
    if let Some(weights) = weights {
        bce = bce.weights(weights);
    }
    let zeros = |count| vec![0.0.elem::<T>(); count];
    let mut gradient = zeros(if settings.gradient { z.len() } else { 0 });
    let value = match (settings.reduced, settings.gradient) {
        (Reduced::Mean, false) => bce.mean(z, t)?,
        (Reduced::Mean, true) => bce.mean_gradient(z, t, &mut gradient)?,
        (Reduced::Sum, false) => bce.sum(z, t)?,
        (Reduced::Sum, true) => bce.sum_gradient(z, t, &mut gradient)?,
        (Reduced::No, _) => 0.0,
    };
    let loss = if settings.reduced == Reduced::No {
        let mut losses = zeros(z.len());
        if settings.gradient {
            bce.loss_gradient(z, t, &mut losses, &mut gradient)?;
        } else {
            bce.loss(z, t, &mut losses)?;
        }
        TensorData::new(losses, shape.clone())
    } else {
        TensorData::new(vec![value.elem::<T>()], [1])
    };
    let gradient = settings
        .gradient
        .then(|| FlexTensor::from_data(TensorData::new(gradient, shape)));
    Ok((FlexTensor::from_data(loss), gradient))
}

impl<B: BceBackend, C: CheckpointStrategy> BceBackend for Autodiff<B, C> {
    fn binary_cross_entropy(
        logits: FloatTensor<Self>,
        targets: FloatTensor<Self>,
        weights: Weights<Self>,
        settings: Settings,
    ) -> Outcome<Self> {
        let (logits, guard) = logits.into_parts();
        let targets = targets.into_primitive();
        let weights = match weights {
            Weights::None => Weights::None,
            Weights::Each(weights) => Weights::Each(weights.into_primitive()),
        };
        let prepared = TimesGradient
            .prepare::<C>([guard])
            .compute_bound()
            .stateful();
        let gradient = matches!(prepared, OpsKind::Tracked(_));
        let settings = Settings {
            gradient,
            ..settings
        };
        match (
            B::binary_cross_entropy(logits, targets, weights, settings),
            prepared,
        ) {
            (Outcome::Refused(error), _) => Outcome::Refused(error),
            (Outcome::LossAndGradient(loss, gradient), OpsKind::Tracked(prepared)) => {
                Outcome::Loss(prepared.finish(gradient, loss))
            }
            (
                Outcome::Loss(loss) | Outcome::LossAndGradient(loss, _),
                OpsKind::UnTracked(prepared),
            ) => Outcome::Loss(prepared.finish(loss)),
            (Outcome::Loss(_), OpsKind::Tracked(_)) => {
                Outcome::Refused(soft_bce::Error::UnsupportedOptions {
                    reason: "the backend has computed no gradient",
                })
            }
        }
    }
}

/// The backward pass: the gradient of the forward pass times that of the result.
#[derive(Debug)]
struct TimesGradient;

impl<B: Backend> Backward<B, 1> for TimesGradient {
    type State = FloatTensor<B>;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let gradient = ops.state;
        unary::<B, _>(ops.parents, ops.node, grads, |outer| {
            let shape = gradient.shape();
            let outer = if outer.shape() == shape {
                outer
            } else {
                B::float_reshape(outer, Shape::from(vec![1; shape.num_dims()]))
            };
            B::float_mul(gradient, outer)
        });
    }
}
