"""Cross-entropy with soft targets for JAX on the CPU, by soft_bce: under jit, grad, jvp, hessian and vmap.

>>> import jax, jax.numpy as jnp
>>> from soft_bce.jax import loss, mean
>>> z, t = jnp.array([2.0, -1.0, 0.0]), jnp.array([0.9, 0.25, 0.5])
>>> jax.jit(jax.value_and_grad(mean))(z, t)
(Array(0.527779, dtype=float32), Array([-0.00640097,  0.00631381,  0.        ], dtype=float32))

loss is elementwise, as optax.sigmoid_binary_cross_entropy; mean is the exact mean, rounded once. Gradients are
by logits (s - t) and by targets (-z); second derivatives exist, third ones do not. Targets outside [0, 1] raise an
error when the call runs. Unlike XLA's own functions, which differ from machine to machine, the bits are the same
everywhere.
"""

import jax
import jax.numpy as jnp
import numpy as np

import soft_bce

__all__ = ["loss", "mean"]


def _call(function, like, count, z, t):
    """function(z, t) outside of XLA, which returns so many arrays like `like`."""

    def run(z, t):
        arrays = function(np.asarray(z), np.asarray(t))
        arrays = arrays if isinstance(arrays, tuple) else (arrays,)
        return tuple(np.asarray(array, like.dtype) for array in arrays)

    shapes = (jax.ShapeDtypeStruct(like.shape, like.dtype),) * count
    return jax.pure_callback(run, shapes, z, t, vmap_method="broadcast_all")


def _typed(z, t):
    """Both as the floating-point type of the logits, and of the same shape."""
    z = jnp.asarray(z)
    if not jnp.issubdtype(z.dtype, jnp.floating) or z.dtype.itemsize < 4:
        z = z.astype(jnp.float32)
    if z.dtype == jnp.float32 and not isinstance(t, jax.core.Tracer) and np.asarray(t).dtype == np.float64:
        # Checked before it is rounded; within jit it has been rounded, unless jax_enable_x64 is set.
        soft_bce.sum(np.zeros(np.shape(t), np.float32), np.asarray(t))
    t = jnp.asarray(t, z.dtype)
    if t.shape != z.shape:
        raise ValueError(f"t has the shape {t.shape}, not {z.shape} as the logits")
    return z, t


def loss(z, t):
    """The loss of every element: -t ln s - (1 - t) ln(1 - s), s = sigmoid(z).

    >>> loss(jnp.array([0.0, 20.0]), jnp.array([0.5, 1.0]))
    Array([6.9314718e-01, 2.0611537e-09], dtype=float32)
    """
    return _loss(*_typed(z, t))


@jax.custom_jvp
def _loss(z, t):
    return _call(soft_bce.loss, z, 1, z, t)[0]


@_loss.defjvp
def _(primals, tangents):
    (z, _), (by_z, by_t) = primals, tangents
    value, gradient = _loss_gradient(*primals)
    return value, gradient * by_z - z * by_t


@jax.custom_jvp
def _loss_gradient(z, t):
    return _call(soft_bce.loss_gradient, z, 2, z, t)


@_loss_gradient.defjvp
def _(primals, tangents):
    (z, _), (by_z, by_t) = primals, tangents
    value, gradient, hessian = _call(soft_bce.loss_gradient_hessian, z, 3, *primals)
    return (value, gradient), (gradient * by_z - z * by_t, hessian * by_z - by_t)


def mean(z, t):
    """The mean loss over all elements, its sum exact.

    >>> mean(jnp.array([0.0, 0.0]), jnp.array([0.5, 1.0]))
    Array(0.6931472, dtype=float32)
    """
    return _mean(*_typed(z, t))


@jax.custom_jvp
def _mean(z, t):
    shape = jax.ShapeDtypeStruct((), z.dtype)

    def run(z, t):
        return np.asarray(soft_bce.mean(np.asarray(z), np.asarray(t)), z.dtype)

    return jax.pure_callback(run, shape, z, t, vmap_method="sequential")


@_mean.defjvp
def _(primals, tangents):
    z, _ = primals
    _, gradient = _loss_gradient(*primals)
    by_z, by_t = tangents
    return _mean(*primals), jnp.sum(gradient * by_z - z * by_t) / z.size
