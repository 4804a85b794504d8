"""soft_bce.jax against optax and JAX's own derivatives."""

import doctest

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import soft_bce
import soft_bce.jax
from soft_bce.jax import loss, mean

theirs = optax.sigmoid_binary_cross_entropy


@pytest.fixture
def data():
    rng = np.random.default_rng(20261128)
    return jnp.asarray(rng.normal(0, 3, (4, 5)), jnp.float32), jnp.asarray(rng.random((4, 5)), jnp.float32)


def close(a, b):
    np.testing.assert_allclose(a, b, rtol=3e-6, atol=3e-7)


def test_values(data):
    for function in (loss, jax.jit(loss), jax.vmap(loss), jax.vmap(jax.jit(loss), in_axes=1, out_axes=1)):
        np.testing.assert_array_equal(function(*data), soft_bce.loss(*map(np.asarray, data)))
    close(loss(*data), theirs(*data))
    for function in (mean, jax.jit(mean)):
        assert function(*data) == np.float32(soft_bce.mean(*map(np.asarray, data)))
    close(jax.vmap(mean)(*data), theirs(*data).mean(axis=1))
    # A batch of logits for one row of targets.
    close(jax.vmap(loss, in_axes=(0, None))(data[0], data[1][0]), theirs(data[0], data[1][0]))


@pytest.mark.parametrize("argument", [0, 1])
def test_derivatives(data, argument):
    ours, right = (lambda z, t: mean(z, t)), (lambda z, t: theirs(z, t).mean())
    summed = lambda z, t: jnp.sum(loss(z, t) ** 2)
    right_summed = lambda z, t: jnp.sum(theirs(z, t) ** 2)
    for a, b in ((ours, right), (summed, right_summed)):
        close(jax.grad(a, argument)(*data), jax.grad(b, argument)(*data))
        close(jax.jit(jax.grad(a, argument))(*data), jax.grad(b, argument)(*data))
        close(jax.jacfwd(a, argument)(*data), jax.grad(b, argument)(*data))
        tangents = (jnp.ones((4, 5)), jnp.linspace(-1, 1, 20).reshape(4, 5))
        close(jax.jvp(a, data, tangents)[1], jax.jvp(b, data, tangents)[1])
    small = data[0][0], data[1][0]
    for a, b in ((ours, right), (summed, right_summed)):
        close(jax.hessian(a, argument)(*small), jax.hessian(b, argument)(*small))
        close(jax.jacrev(jax.grad(a, argument), argument)(*small), jax.hessian(b, argument)(*small))
    rows = jax.vmap(jax.grad(ours, argument))
    close(rows(*data), jax.vmap(jax.grad(right, argument))(*data))


def test_the_gradient_of_confident_predictions():
    z, t = jnp.array([20.0]), jnp.array([1.0])
    assert jax.grad(mean)(z, t)[0] == pytest.approx(-2.0611537e-09, rel=1e-6)


def test_a_training_loop_under_jit():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(200, 3)), jnp.float32)
    right = jnp.array([1.0, -2.0, 0.5])
    t = jax.nn.sigmoid(x @ right)

    @jax.jit
    def step(b, _):
        return b - 4 * jax.grad(lambda b: mean(x @ b, t))(b), None

    found, _ = jax.lax.scan(step, jnp.zeros(3), None, length=300)
    np.testing.assert_allclose(found, right, atol=0.01)


def test_errors_and_types(data):
    z, t = data
    with pytest.raises(Exception, match=r"t\[1, 2\] is 1.5 and must be in \[0, 1\]"):
        loss(z, t.at[1, 2].set(1.5)).block_until_ready()
    with pytest.raises(ValueError, match="t has the shape"):
        loss(z, t[0])
    wide = np.asarray(t, np.float64)
    np.testing.assert_array_equal(loss(z, wide), loss(z, t))
    wide[1, 2] = 1 + 1e-9
    with pytest.raises(ValueError, match=r"t\[1, 2\] is 1.000000001 and must be in \[0, 1\]"):
        loss(z, wide)
    assert loss(z.astype(jnp.bfloat16), t).dtype == jnp.float32
    assert loss(jnp.array([0, 1]), jnp.array([0, 1])).dtype == jnp.float32
    with jax.enable_x64(True):
        double = jnp.asarray(np.asarray(z), jnp.float64)
        assert jax.grad(mean)(double, jnp.asarray(np.asarray(t), jnp.float64)).dtype == jnp.float64


def test_third_derivatives_are_refused():
    scalar = lambda z: mean(z, jnp.array([0.3]))[()]
    with pytest.raises(ValueError, match="[Cc]allback"):
        jax.grad(lambda z: jax.grad(lambda z: jax.grad(scalar)(z)[0])(z)[0])(jnp.array([0.5]))


def test_docstrings():
    result = doctest.testmod(soft_bce.jax, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0 and result.attempted > 4
