"""PyTorch's binary_cross_entropy_with_logits on the CPU, by soft_bce.

>>> import torch
>>> from soft_bce.torch import binary_cross_entropy_with_logits
>>> z = torch.tensor([2.0, -1.0, 0.0], requires_grad=True)
>>> t = torch.tensor([0.9, 0.25, 0.5])
>>> loss = binary_cross_entropy_with_logits(z, t)
>>> loss.backward()
>>> z.grad
tensor([-0.0064,  0.0063,  0.0000])

The signature and the meaning are those of torch.nn.functional, with the contract of soft_bce: the same bits on
every machine and number of threads, exact sums, and a gradient that keeps its precision where a confident
prediction is right (torch's is 0 for a logit of 20 and the target 1 in float32; it is -2.06e-9).

    mean      divides by the number of elements even with weights, as torch does and soft_bce.mean does not
    targets   outside [0, 1] are a ValueError; torch takes them, and so it does NaN and infinite weights, and
              float64 ones that become 0 or infinite in float32
    gradient  by the logits: weight (s - t); by the targets, if they ask for it: -weight z. Both again
              differentiable. By weight and pos_weight: NotImplementedError, as torch has none
    types     float32, float64; bfloat16 and float16 are computed in float32
    compile   torch.compile(fullgraph=True) works: the operations are custom ops
"""

import numpy as np
import torch
from torch import Tensor

import soft_bce

__all__ = ["BCEWithLogitsLoss", "binary_cross_entropy_with_logits"]

# From this many elements on, threads pay.
_PARALLEL = 1 << 17


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """As torch.nn.functional.binary_cross_entropy_with_logits: loss of logits and targets of the same shape.

    weight and pos_weight broadcast to that shape. reduction: "mean", "sum" or "none".

    >>> z, t = torch.zeros(2, 3), torch.full((2, 3), 0.25)
    >>> binary_cross_entropy_with_logits(z, t, pos_weight=torch.tensor([1.0, 2.0, 4.0]), reduction="sum")
    tensor(5.5452)
    """
    if size_average is not None or reduce is not None:
        reduction = torch.nn._reduction.legacy_get_string(size_average, reduce)
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"{reduction} is not a valid value for reduction")
    if target.shape != input.shape:
        raise ValueError(f"Target size ({target.shape}) must be the same as input size ({input.shape})")
    for name, other in (("weight", weight), ("pos_weight", pos_weight)):
        if other is not None and other.requires_grad and torch.is_grad_enabled():
            raise NotImplementedError(f"{name} requires a gradient, which is not available")
    if not input.is_floating_point():
        raise NotImplementedError(f"input must be a floating-point tensor, not {input.dtype}")
    dtype = torch.promote_types(input.dtype, target.dtype)
    compute = dtype if dtype == torch.float64 else torch.float32
    if input.dtype != compute:
        input = input.to(compute)
    if target.dtype != compute:
        target = target.to(compute)
    # Those of float64 as they are: they are checked before they are rounded.
    if weight is not None:
        weight = (weight if weight.dtype == torch.float64 else weight.to(compute)).expand_as(input)
    if pos_weight is not None:
        pos_weight = pos_weight if pos_weight.dtype == torch.float64 else pos_weight.to(compute)
        if torch.broadcast_shapes(pos_weight.shape, input.shape) != input.shape:
            raise RuntimeError(
                f"pos_weight of the shape {tuple(pos_weight.shape)} does not broadcast to {tuple(input.shape)}"
            )
    if torch.is_grad_enabled() and (input.requires_grad or target.requires_grad):
        # The op takes three times as long, and only compilers need one.
        call = _loss_gradient if torch.compiler.is_compiling() else _Eager.apply
        loss, _ = call(input, target, weight, pos_weight, reduction)
    else:
        call = _loss if torch.compiler.is_compiling() else _loss._init_fn
        loss = call(input, target, weight, pos_weight, reduction)
    return loss if dtype == compute else loss.to(dtype)


class BCEWithLogitsLoss(torch.nn.BCEWithLogitsLoss):
    """As torch.nn.BCEWithLogitsLoss, whose place it takes: the same arguments, buffers and state.

    >>> BCEWithLogitsLoss(reduction="sum")(torch.zeros(3), torch.full((3,), 0.5))
    tensor(2.0794)
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return binary_cross_entropy_with_logits(
            input, target, self.weight, pos_weight=self.pos_weight, reduction=self.reduction
        )


def _pieces(z, pos_weight):
    """Slices of z, each with the options that hold for it."""
    if pos_weight is None:
        yield ..., {}
    elif pos_weight.size == 1:
        yield ..., {"pos_weight": pos_weight.item()}
    elif z.shape[z.ndim - pos_weight.ndim :] == pos_weight.shape:
        yield ..., {"pos_weights": pos_weight}
    else:
        # Aligned at the last axis, as broadcasting has it.
        pos_weight = pos_weight.reshape((1,) * (z.ndim - pos_weight.ndim) + pos_weight.shape)
        for place in np.ndindex(pos_weight.shape):
            axes = zip(place, pos_weight.shape)
            index = tuple(slice(i, i + 1) if length > 1 else slice(None) for i, length in axes)
            yield index, {"pos_weight": pos_weight[place].item()}


def _run(function, z, t, weight, pos_weight, *before, out=()):
    """Calls function(z, t, *before) for every piece, and returns the last result; errors are in torch's terms."""
    threads = torch.get_num_threads() if z.size >= _PARALLEL else 1
    try:
        for index, options in _pieces(z, pos_weight):
            if weight is not None:
                options["weights"] = weight[index]
            if out:
                places = tuple(array[index] for array in out)
                options["out"] = places if len(places) > 1 else places[0]
            result = function(z[index], t[index], *before, threads=threads, **options)
    except ValueError as error:
        if not hasattr(error, "argument"):
            raise
        if "pos" not in error.argument:
            # Once more for the index in the whole.
            _check(z, t, weight)
        raise _in_torchs_terms(error) from None
    return result


def _check(z, t, weight):
    try:
        soft_bce.sum(z, t, weights=weight)
    except ValueError as error:
        raise _in_torchs_terms(error) from None


def _in_torchs_terms(error):
    names = {"t": "target", "weights": "weight", "pos_weights": "pos_weight"}
    name = names.get(error.argument, error.argument)
    return ValueError(name + str(error).removeprefix(error.argument))


def _negative(weight, pos_weight):
    """Whether there are weights that soft_bce refuses."""
    return (weight is not None and (weight < 0).any()) or (pos_weight is not None and (pos_weight <= 0).any())


def _by_parts(z, t, weight, pos_weight):
    """Loss, gradient and Hessian for weights of any sign: the parts of t and 1 - t apart."""
    _check(z, t, None)
    for name, values in (("weight", weight), ("pos_weight", pos_weight)):
        with np.errstate(over="ignore"):
            if values is not None and not np.isfinite(values.astype(z.dtype)).all():
                raise ValueError(f"{name} is not finite in {z.dtype}")
    one = soft_bce.loss_gradient_hessian(z, np.ones_like(z), weights=t)
    zero = soft_bce.loss_gradient_hessian(z, np.zeros_like(z), weights=1 - t)
    factor = 1 if pos_weight is None else pos_weight
    return [(1 if weight is None else weight) * (factor * a + b) for a, b in zip(one, zero)]


def _arrays(*tensors):
    """As NumPy arrays: the tensors' own memory."""
    return [None if tensor is None else tensor.numpy() for tensor in tensors]


def _reduced(total, like, reduction):
    value = total.value
    if reduction == "mean":
        count = soft_bce.LossSum()
        count.add(like.numel())
        value = total.divided_by(count)
    return torch.scalar_tensor(value, dtype=like.dtype)


@torch.library.custom_op("soft_bce::loss", mutates_args=(), device_types="cpu")
def _loss(
    input: Tensor, target: Tensor, weight: Tensor | None, pos_weight: Tensor | None, reduction: str
) -> Tensor:
    arrays = _arrays(input, target, weight, pos_weight)
    if reduction != "none" and not _negative(*arrays[2:]):
        total = soft_bce.LossSum()
        _run(soft_bce.accumulate, *arrays, total)
        return _reduced(total, input, reduction)
    loss = input.new_empty(input.shape)
    if _negative(*arrays[2:]):
        loss.numpy()[...] = _by_parts(*arrays)[0]
    else:
        _run(soft_bce.loss, *arrays, out=(loss.numpy(),))
    return loss if reduction == "none" else _reduced(soft_bce.LossSum(loss.numpy()), input, reduction)


@_loss.register_fake
def _(input, target, weight, pos_weight, reduction):
    return input.new_empty(input.shape if reduction == "none" else ())


@torch.library.custom_op("soft_bce::loss_gradient", mutates_args=(), device_types="cpu")
def _loss_gradient(
    input: Tensor, target: Tensor, weight: Tensor | None, pos_weight: Tensor | None, reduction: str
) -> tuple[Tensor, Tensor]:
    """The loss, and its gradient by every logit: for "none", that of its own element."""
    arrays = _arrays(input, target, weight, pos_weight)
    gradient = input.new_empty(input.shape)
    out = gradient.numpy()
    negative = _negative(*arrays[2:])
    if reduction == "none" or negative:
        loss = input.new_empty(input.shape)
        if negative:
            loss.numpy()[...], out[...], _ = _by_parts(*arrays)
        else:
            _run(soft_bce.loss_gradient, *arrays, out=(loss.numpy(), out))
        if reduction == "none":
            return loss, gradient
        total = soft_bce.LossSum(loss.numpy())
    elif weight is None and pos_weight is None and out.size:
        function = soft_bce.mean_gradient if reduction == "mean" else soft_bce.sum_gradient
        value, _ = _run(function, *arrays, out=(out,))
        return torch.scalar_tensor(value, dtype=input.dtype), gradient
    else:
        total = soft_bce.LossSum()
        _run(soft_bce.accumulate_gradient, *arrays, total, out=(out,))
    if reduction == "mean":
        out /= max(out.size, 1)
    return _reduced(total, input, reduction), gradient


@_loss_gradient.register_fake
def _(input, target, weight, pos_weight, reduction):
    return input.new_empty(input.shape if reduction == "none" else ()), input.new_empty(input.shape)


@torch.library.custom_op("soft_bce::hessian", mutates_args=(), device_types="cpu")
def _hessian(input: Tensor, target: Tensor, weight: Tensor | None, pos_weight: Tensor | None) -> Tensor:
    arrays = _arrays(input, target, weight, pos_weight)
    hessian = input.new_empty(input.shape)
    if _negative(*arrays[2:]):
        hessian.numpy()[...] = _by_parts(*arrays)[2]
    else:
        _run(soft_bce.gradient_hessian, *arrays, out=(np.empty_like(hessian.numpy()), hessian.numpy()))
    return hessian


@_hessian.register_fake
def _(input, target, weight, pos_weight):
    return input.new_empty(input.shape)


def _setup_context(ctx, inputs, output):
    input, target, weight, pos_weight, ctx.reduction = inputs
    # The second output is asked for by second derivatives alone.
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(input, target, weight, pos_weight, output[1])


def _backward(ctx, by_loss, by_gradient):
    """Of loss L(z, t) and gradient g(z, t) by z: dL/dz = g, dg/dz = h, and their derivatives by t."""
    z, t, weight, pos_weight, gradient = ctx.saved_tensors
    scale = 1 / max(z.numel(), 1) if ctx.reduction == "mean" else 1
    by_z = by_t = None
    if ctx.needs_input_grad[0]:
        if by_loss is not None:
            by_z = by_loss * gradient
        if by_gradient is not None:
            by_z = _plus(by_z, scale * by_gradient * _hessian(z, t, weight, pos_weight))
    if ctx.needs_input_grad[1]:
        if by_loss is not None:
            by_t = scale * by_loss * _by_target(z, pos_weight)
        if by_gradient is not None:
            # g = (1 - t) s - p t (1 - s)
            factor = 1 if pos_weight is None else 1 + (pos_weight - 1) * torch.sigmoid(-z)
            by_t = _plus(by_t, -scale * by_gradient * factor)
        if by_t is not None and weight is not None:
            by_t = weight * by_t
    # Weights of float64 widen.
    by_t = None if by_t is None else by_t.to(t.dtype)
    return by_z, by_t, None, None, None


def _plus(a, b):
    return b if a is None else a + b


def _by_target(z, pos_weight):
    """-p ln s + ln(1 - s), by ln(1 - s) = ln s - z."""
    if pos_weight is None:
        return -z
    return (1 - pos_weight) * torch.nn.functional.logsigmoid(z) - z


_loss_gradient.register_autograd(_backward, setup_context=_setup_context)


class _Eager(torch.autograd.Function):
    """_loss_gradient without torch's machinery of custom ops."""

    @staticmethod
    def forward(ctx, *inputs):
        output = _loss_gradient._init_fn(*inputs)
        _setup_context(ctx, inputs, output)
        return output

    backward = staticmethod(_backward)
