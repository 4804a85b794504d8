//! Binary cross-entropy with soft targets for [candle](candle_core), by the [`soft_bce`] kernel.
//!
//! [`binary_cross_entropy_with_logits`] takes the place of
//! `candle_nn::loss::binary_cross_entropy_with_logit`, which is infinite, with NaN as its gradient,
//! as soon as the sigmoid of a logit rounds to 0 or 1 (in `f32` from logits of 17 on).
//!
//! ```
//! use candle_core::{Device, Tensor, Var};
//! use soft_bce_candle::{Options, binary_cross_entropy_with_logits};
//!
//! let logits = Var::new(&[[120.0_f32, -1.0], [0.5, -120.0]], &Device::Cpu)?;
//! let targets = Tensor::new(&[[0.75_f32, 0.25], [0.5, 0.0]], &Device::Cpu)?;
//!
//! let loss = binary_cross_entropy_with_logits(&logits, &targets, &Options::default())?;
//! assert!((loss.to_scalar::<f32>()? - 7.8218).abs() < 1e-4);
//! let gradient = loss.backward()?.get(&logits).unwrap().to_vec2::<f32>()?;
//! assert_eq!(gradient[0][0], 0.0625); // (1 - 0.75) / 4
//! # Ok::<(), candle_core::Error>(())
//! ```

#![deny(unsafe_code)]
#![deny(missing_docs)]

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{
    CpuStorage, CustomOp2, DType, Device, Error, Layout, Result, Shape, Storage, Tensor, WithDType,
    bail,
};
pub use soft_bce;
use soft_bce::{Bce, LossSum, Real};

const NAME: &str = "binary_cross_entropy_with_logits";

/// What becomes of the losses of the elements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reduction {
    /// Their sum over the number of elements or, with weights, over the total weight.
    ///
    /// PyTorch divides by the number of elements in both cases; divide a
    /// [`Sum`](Self::Sum) by it for that.
    #[default]
    Mean,
    /// Their sum, correctly rounded.
    Sum,
    /// They stay as they are: the result has the shape of the logits.
    None,
}

/// The options of [`binary_cross_entropy_with_logits`].
///
/// ```
/// use soft_bce_candle::{Options, Reduction};
/// let options = Options { reduction: Reduction::Sum, pos_weight: 3.0, ..Options::default() };
/// ```
#[derive(Clone, Debug)]
pub struct Options {
    /// What the result is.
    pub reduction: Reduction,
    /// Multiplies each element: finite and >= 0, of the logits' shape or one that broadcasts to it
    /// (rows: n × 1, classes: k). A constant: no gradient flows into it.
    pub weights: Option<Tensor>,
    /// Multiplies the positive term; see [`Bce::pos_weight`].
    pub pos_weight: f64,
    /// The same for each class, which is the last dimension: k values, finite and > 0. A constant.
    /// Excludes `pos_weight`.
    pub pos_weights: Option<Tensor>,
    /// Moves targets towards 1/2: t + α (1/2 − t); see [`Bce::label_smoothing`].
    pub label_smoothing: f64,
    /// Divides the logits, and targets that are logits; see [`Bce::temperature`].
    pub temperature: f64,
    /// Whether the targets are logits, a teacher's; see [`Bce::logit_targets`].
    pub logit_targets: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            reduction: Reduction::Mean,
            weights: None,
            pos_weight: 1.0,
            pos_weights: None,
            label_smoothing: 0.0,
            temperature: 1.0,
            logit_targets: false,
        }
    }
}

/// −t ln σ(z) − (1 − t) ln(1 − σ(z)) of logits z and targets t in [0, 1], for any finite or
/// infinite logit.
///
/// * **Shapes**: targets have the shape of the logits, which may be any; neither need be contiguous.
/// * **Types**: `f32` and `f64`, the same for both; `bf16` and `f16` are converted to `f32`, and the
///   result back.
/// * **Devices**: the CPU.
/// * **Gradient**: by the logits σ(z) − t, as accurate as [`Bce::gradient`], computed with the
///   loss, in one pass, if the logits need it. By the targets −z, with label smoothing α and
///   temperature T (1 − α)/T times that. Both may be differentiated again (candle detaches gradients
///   unless `CANDLE_GRAD_DO_NOT_DETACH` is set).
/// * **Bits, accuracy, limits**: those of [`Bce`].
///
/// # Errors
///
/// Other devices, types or shapes, as candle's own errors. What the kernel refuses, as
/// [`kernel_error`] finds it: options out of range or that exclude each other; a target that is NaN or
/// outside [0, 1] or a weight that is NaN, infinite or negative, with its index in row-major order; the
/// mean of nothing, or of a total weight of 0. In the backward pass: a gradient by targets with a
/// `pos_weight`, `pos_weights` or `logit_targets`, or a third derivative.
pub fn binary_cross_entropy_with_logits(
    logits: &Tensor,
    targets: &Tensor,
    options: &Options,
) -> Result<Tensor> {
    let (weights, pos_weights) = (options.weights.as_ref(), options.pos_weights.as_ref());
    for tensor in [logits, targets]
        .into_iter()
        .chain(weights)
        .chain(pos_weights)
    {
        check_device(tensor.device())?;
    }
    if logits.shape() != targets.shape() {
        return Err(Error::ShapeMismatchBinaryOp {
            lhs: logits.shape().clone(),
            rhs: targets.shape().clone(),
            op: NAME,
        });
    }
    let dtype = logits.dtype();
    if targets.dtype() != dtype {
        return Err(Error::DTypeMismatchBinaryOp {
            lhs: dtype,
            rhs: targets.dtype(),
            op: NAME,
        });
    }
    let computed = match dtype {
        DType::F32 | DType::F64 => dtype,
        DType::BF16 | DType::F16 => DType::F32,
        _ => return Err(Error::UnsupportedDTypeForOp(dtype, NAME)),
    };
    let weights = match weights {
        None => None,
        Some(weights) => {
            let weights = weights.detach().to_dtype(computed)?;
            Some(weights.broadcast_as(logits.shape())?.contiguous()?)
        }
    };
    let pos_weights = match pos_weights {
        None => None,
        Some(pos_weights) => {
            let classes = logits.dims().last().copied().unwrap_or(1);
            if pos_weights.dims() != [classes] {
                return Err(Error::UnexpectedShape {
                    msg: format!("{NAME}: pos_weights, one for each class"),
                    expected: classes.into(),
                    got: pos_weights.shape().clone(),
                });
            }
            Some(pos_weights.detach().to_dtype(computed)?.contiguous()?)
        }
    };
    let logits = logits.to_dtype(computed)?.contiguous()?;
    let targets = targets.to_dtype(computed)?.contiguous()?;
    let call = Call {
        reduction: options.reduction,
        weights,
        pos_weight: options.pos_weight,
        pos_weights,
        label_smoothing: options.label_smoothing,
        temperature: options.temperature,
        logit_targets: options.logit_targets,
        wants_gradient: logits.track_op(),
        gradient: Mutex::new(None),
    };
    let loss = logits.apply_op2(
        &targets,
        Derivative {
            call: Arc::new(call),
            order: Order::Loss,
        },
    )?;
    loss.to_dtype(dtype)
}

/// What the kernel refused, if that is why the call failed.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use soft_bce_candle::{Options, binary_cross_entropy_with_logits, kernel_error};
///
/// let (z, t) = (Tensor::new(&[0.0_f64, 1.0], &Device::Cpu)?, Tensor::new(&[0.5, 1.5], &Device::Cpu)?);
/// let refused = binary_cross_entropy_with_logits(&z, &t, &Options::default()).unwrap_err();
/// let wanted = soft_bce::Error::TargetOutOfRange { index: 1, value: 1.5 };
/// assert_eq!(kernel_error(&refused), Some(&wanted));
/// # Ok::<(), candle_core::Error>(())
/// ```
#[must_use]
pub fn kernel_error(error: &Error) -> Option<&soft_bce::Error> {
    match error {
        Error::WrappedContext { wrapped, .. } => wrapped.downcast_ref(),
        Error::WithBacktrace { inner, .. }
        | Error::Context { inner, .. }
        | Error::WithPath { inner, .. } => kernel_error(inner),
        _ => None,
    }
}

fn refused(error: soft_bce::Error) -> Error {
    Error::WrappedContext {
        context: format!("{NAME}: {error}"),
        wrapped: Box::new(error),
    }
    .bt()
}

fn check_device(device: &Device) -> Result<()> {
    if !device.is_cpu() {
        bail!("{NAME} runs on the CPU, not on {device:?}: move tensors by to_device(&Device::Cpu)");
    }
    Ok(())
}

/// A call, shared by its forward and backward passes.
struct Call {
    reduction: Reduction,
    /// Contiguous, and of the logits' shape.
    weights: Option<Tensor>,
    pos_weight: f64,
    /// Contiguous, one for each class.
    pos_weights: Option<Tensor>,
    label_smoothing: f64,
    temperature: f64,
    logit_targets: bool,
    wants_gradient: bool,
    /// By the logits, from the forward pass: the backward pass may run more than once.
    gradient: Mutex<Option<CpuStorage>>,
}

impl Call {
    /// Runs the job with the options, of which it borrows the tensors.
    fn run<T: Real + WithDType, R>(
        &self,
        job: impl FnOnce(Bce<'_, T>) -> std::result::Result<R, soft_bce::Error>,
    ) -> Result<R> {
        let weights = self.weights.as_ref().map(Tensor::storage_and_layout);
        let pos_weights = self.pos_weights.as_ref().map(Tensor::storage_and_layout);
        let mut bce = Bce::<T>::new()
            .pos_weight(T::from_f64(self.pos_weight))
            .label_smoothing(T::from_f64(self.label_smoothing));
        if self.temperature != 1.0 {
            bce = bce.temperature(T::from_f64(self.temperature));
        }
        if self.logit_targets {
            bce = bce.logit_targets();
        }
        if let Some((storage, layout)) = &pos_weights {
            bce = bce.pos_weights(on_cpu(storage, layout)?);
        }
        if let Some((storage, layout)) = &weights {
            bce = bce.weights(on_cpu(storage, layout)?);
        }
        job(bce).map_err(refused)
    }

    /// The loss and, if the backward pass will ask for it, the gradient.
    fn loss<T: Real + WithDType>(&self, z: &[T], t: &[T]) -> Result<Vec<T>> {
        let zeros = |count| vec![T::from_f64(0.0); count];
        let mut gradient = zeros(if self.wants_gradient { z.len() } else { 0 });
        let single = |value| vec![T::from_f64(value)];
        let loss = self.run(|bce| match (self.reduction, self.wants_gradient) {
            (Reduction::Mean, false) => bce.mean(z, t).map(single),
            (Reduction::Mean, true) => bce.mean_gradient(z, t, &mut gradient).map(single),
            (Reduction::Sum, false) => bce.sum(z, t).map(single),
            (Reduction::Sum, true) => bce.sum_gradient(z, t, &mut gradient).map(single),
            (Reduction::None, wants_gradient) => {
                let mut loss = zeros(z.len());
                if wants_gradient {
                    bce.loss_gradient(z, t, &mut loss, &mut gradient)?;
                } else {
                    bce.loss(z, t, &mut loss)?;
                }
                Ok(loss)
            }
        })?;
        if self.wants_gradient {
            let mut kept = self.gradient.lock().unwrap_or_else(PoisonError::into_inner);
            *kept = Some(T::to_cpu_storage_owned(gradient));
        }
        Ok(loss)
    }

    fn hessian<T: Real + WithDType>(&self, z: &[T], t: &[T]) -> Result<Vec<T>> {
        let mut gradient = vec![T::from_f64(0.0); z.len()];
        let mut hessian = gradient.clone();
        self.run(|bce| bce.gradient_hessian(z, t, &mut gradient, &mut hessian))?;
        let divisor = T::from_f64(self.divisor(z.len())?);
        hessian.iter_mut().for_each(|value| *value /= divisor);
        Ok(hessian)
    }

    /// What the sum of the losses is divided by.
    fn divisor(&self, elements: usize) -> Result<f64> {
        match (self.reduction, &self.weights) {
            (Reduction::Sum | Reduction::None, _) => Ok(1.0),
            (Reduction::Mean, None) => Ok(elements as f64),
            (Reduction::Mean, Some(weights)) => {
                let mut total = LossSum::new();
                let weights = weights
                    .to_dtype(DType::F64)?
                    .flatten_all()?
                    .to_vec1::<f64>()?;
                weights.into_iter().for_each(|weight| total.add(weight));
                Ok(total.to_f64())
            }
        }
    }

    /// Derivatives by the targets are minus these by the logits: z of the loss, 1 of the gradient.
    fn by_targets(&self, by_logits: &Tensor) -> Result<Tensor> {
        if self.pos_weight != 1.0 || self.pos_weights.is_some() || self.logit_targets {
            bail!(
                "{NAME}: with a pos_weight, pos_weights or logit_targets there is no gradient by the \
                 targets; detach() them"
            );
        }
        let divisor = self.divisor(by_logits.elem_count())? * self.temperature;
        let scale = (self.label_smoothing - 1.0) / divisor;
        let derivative = by_logits.affine(scale, 0.0)?;
        let Some(weights) = &self.weights else {
            return Ok(derivative);
        };
        // A weight of 0 removes an element, even if its logit is NaN.
        weights
            .ne(0.0)?
            .where_cond(&(derivative * weights)?, &weights.zeros_like()?)
    }
}

#[derive(Clone, Copy)]
enum Order {
    Loss,
    Gradient,
    Hessian,
}

/// The loss of a call, or a derivative of it by the logits.
struct Derivative {
    call: Arc<Call>,
    order: Order,
}

impl Derivative {
    fn forward<T: Real + WithDType>(
        &self,
        (z, z_layout): (&CpuStorage, &Layout),
        (t, t_layout): (&CpuStorage, &Layout),
    ) -> Result<CpuStorage> {
        let (z, t) = (slice(z, z_layout)?, slice(t, t_layout)?);
        let values = match self.order {
            Order::Loss => self.call.loss::<T>(z, t)?,
            Order::Hessian => self.call.hessian::<T>(z, t)?,
            Order::Gradient => {
                let kept = self
                    .call
                    .gradient
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                let missing = || Error::Msg(format!("{NAME}: no gradient was computed"));
                return kept.clone().ok_or_else(missing);
            }
        };
        Ok(T::to_cpu_storage_owned(values))
    }
}

impl CustomOp2 for Derivative {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(
        &self,
        z: &CpuStorage,
        z_layout: &Layout,
        t: &CpuStorage,
        t_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (left, right) = ((z, z_layout), (t, t_layout));
        let values = match z {
            CpuStorage::F64(_) => self.forward::<f64>(left, right),
            _ => self.forward::<f32>(left, right),
        }?;
        let reduced = matches!(self.order, Order::Loss) && self.call.reduction != Reduction::None;
        let shape = if reduced {
            ().into()
        } else {
            z_layout.shape().clone()
        };
        Ok((values, shape))
    }

    fn bwd(
        &self,
        z: &Tensor,
        t: &Tensor,
        _: &Tensor,
        outer: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (next, numerator) = match self.order {
            Order::Loss => (Order::Gradient, z.clone()),
            Order::Gradient => (Order::Hessian, z.ones_like()?),
            Order::Hessian => return Err(Error::BackwardNotSupported { op: NAME }),
        };
        let plain = outer.rank() == 0
            && !outer.track_op()
            && outer.to_dtype(DType::F64)?.to_scalar::<f64>()? == 1.0;
        let times_outer = |inner: Tensor| {
            if plain {
                Ok(inner)
            } else {
                inner.broadcast_mul(outer)
            }
        };
        let by_logits = || {
            let call = Arc::clone(&self.call);
            times_outer(z.apply_op2(t, Derivative { call, order: next })?)
        };
        let by_targets = || times_outer(self.call.by_targets(&numerator)?);
        Ok((
            z.track_op().then(by_logits).transpose()?,
            t.track_op().then(by_targets).transpose()?,
        ))
    }
}

fn on_cpu<'s, T: WithDType>(storage: &'s Storage, layout: &Layout) -> Result<&'s [T]> {
    match storage {
        Storage::Cpu(storage) => slice(storage, layout),
        _ => bail!("{NAME}: weights that are not on the CPU"),
    }
}

fn slice<'s, T: WithDType>(storage: &'s CpuStorage, layout: &Layout) -> Result<&'s [T]> {
    let Some((from, to)) = layout.contiguous_offsets() else {
        return Err(Error::RequiresContiguous { op: NAME });
    };
    Ok(&T::cpu_storage_as_slice(storage)?[from..to])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_devices_are_refused() {
        assert!(check_device(&Device::Cpu).is_ok());
        let error = check_device(&Device::Cuda(candle_core::CudaDevice))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("runs on the CPU") && error.contains("Cuda"),
            "{error}"
        );
    }
}
