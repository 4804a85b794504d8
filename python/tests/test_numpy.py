"""The operations over NumPy arrays, against definitions in mpmath and against each other."""

import itertools
import math
import threading

import hypothesis.extra.numpy as hnp
import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import soft_bce

# What each operation returns: a number, and how many arrays.
OPERATIONS = {
    "loss": (False, 1),
    "sum": (True, 0),
    "mean": (True, 0),
    "gradient": (False, 1),
    "sum_gradient": (True, 1),
    "mean_gradient": (True, 1),
    "loss_gradient": (False, 2),
    "loss_gradient_hessian": (False, 3),
    "gradient_hessian": (False, 2),
    "sum_gradient_hessian": (True, 2),
    "accumulate": (False, 0),
    "accumulate_gradient": (False, 1),
    "accumulate_gradient_hessian": (False, 2),
}
WRITING = [name for name, (_, arrays) in OPERATIONS.items() if arrays]
FUNCTIONS = ["sigmoid", "log_sigmoid", "softplus", "logit"]
DTYPES = [np.float32, np.float64]


def call(name, z, t, **options):
    """The number, if any, and the arrays; of accumulate*, the sum as number."""
    function = getattr(soft_bce, name)
    if name.startswith("accumulate"):
        total = soft_bce.LossSum()
        result = function(z, t, total, **options)
        return total.value, as_arrays(result)
    result = function(z, t, **options)
    if OPERATIONS[name] == (True, 0):
        return result, []
    if OPERATIONS[name][0]:
        return result[0], list(result[1:])
    return None, as_arrays(result)


def as_arrays(result):
    if result is None:
        return []
    return list(result) if isinstance(result, tuple) else [result]


def assert_same_bits(a, b):
    (number, arrays), (other, others) = a, b
    assert number == other
    assert len(arrays) == len(others)
    for left, right in zip(arrays, others):
        assert left.dtype == right.dtype and left.shape == right.shape
        np.testing.assert_array_equal(np.asarray(left), np.asarray(right))


def example(rng, shape, dtype=np.float64):
    z = rng.normal(0, 5, shape).astype(dtype)
    t = rng.random(shape).astype(dtype)
    t[rng.random(shape) < 0.1] = 1
    weights = (rng.random(shape) * 2).astype(dtype)
    weights[rng.random(shape) < 0.1] = 0
    return z, t, weights


def reference(z, t, weight=1, pos_weight=1, smoothing=0):
    """Loss, gradient and Hessian of one element at 60 digits, each with what its error is measured by."""
    with mpmath.workdps(60):
        z, t, w, p, a = (mpmath.mpf(float(x)) for x in (z, t, weight, pos_weight, smoothing))
        t = (1 - a) * t + a / 2
        s = 1 / (1 + mpmath.exp(-z))
        rest = 1 / (1 + mpmath.exp(z))
        n = 1 - t
        loss = w * (p * t * mpmath.log1p(mpmath.exp(-z)) + n * mpmath.log1p(mpmath.exp(z)))
        gradient = w * (n * s - p * t * rest)
        hessian = w * (n + p * t) * s * rest
        # The gradient is a difference, and 0 where the prediction is the target.
        return (loss, loss), (gradient, w * max(n * s, p * t * rest)), (hessian, hessian)


def ulps(value, right, dtype, of=None):
    unit = np.spacing(max(abs(dtype(float(right if of is None else of))), np.finfo(dtype).tiny))
    return abs(float((mpmath.mpf(float(value)) - right) / mpmath.mpf(float(unit))))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("options", [{}, {"pos_weight": 3.0}, {"label_smoothing": 0.25}])
@pytest.mark.parametrize("weighted", [False, True])
def test_values_are_right_to_a_few_ulp(rng, dtype, options, weighted):
    z, t, weights = example(rng, 200, dtype)
    z[:6] = [0, 60, -60, 1e-3, 1, -1]
    given = {"weights": weights} if weighted else {}
    loss = soft_bce.loss(z, t, **options, **given)
    total, gradient, hessian = soft_bce.sum_gradient_hessian(z, t, **options, **given)
    worst = [0, 0, 0]
    for i in range(len(z)):
        smoothing = dtype(options.get("label_smoothing", 0))
        right = reference(z[i], t[i], weights[i] if weighted else 1, options.get("pos_weight", 1), smoothing)
        for j, found in enumerate((loss[i], gradient[i], hessian[i])):
            worst[j] = max(worst[j], ulps(found, right[j][0], dtype, right[j][1]))
    assert all(0 < error < 6 for error in worst), worst
    assert total == math.fsum(loss.astype(np.float64))


@pytest.mark.parametrize("dtype", DTYPES)
def test_operations_agree(rng, dtype):
    z, t, weights = example(rng, 1000, dtype)
    loss = soft_bce.loss(z, t, weights=weights)
    gradient, hessian = soft_bce.gradient_hessian(z, t, weights=weights)
    total = math.fsum(loss.astype(np.float64))
    mean = total / math.fsum(weights.astype(np.float64))
    for name, (number, arrays) in OPERATIONS.items():
        found, written = call(name, z, t, weights=weights)
        if name.startswith("mean"):
            assert found == pytest.approx(mean, rel=1e-15)
            for array in written:
                right = gradient / weights.sum(dtype=np.float64)
                np.testing.assert_allclose(array, right, rtol=1e-6 if dtype == np.float32 else 1e-14)
            continue
        if number or name.startswith("accumulate"):
            assert found == total
        rights = [loss, gradient, hessian] if name.startswith("loss") else [gradient, hessian]
        for array, right in zip(written, rights):
            np.testing.assert_array_equal(array, right)
            assert array.dtype == dtype and array.flags.c_contiguous
    before = z.copy()
    soft_bce.gradient_in_place(z, t, weights=weights)
    np.testing.assert_array_equal(z, gradient)
    soft_bce.gradient_in_place(before[::-1], t[::-1], weights=weights[::-1])
    np.testing.assert_array_equal(before, gradient)


@pytest.mark.parametrize("dtype", DTYPES)
def test_functions_are_right(rng, dtype):
    z = np.concatenate([rng.normal(0, 10, 200), [0, 1e-6, -70, 70]]).astype(dtype)
    p = rng.random(200).astype(dtype)
    right = {
        "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
        "log_sigmoid": lambda x: -mpmath.log1p(mpmath.exp(-x)),
        "softplus": lambda x: mpmath.log1p(mpmath.exp(x)),
        "logit": lambda x: mpmath.log(x / (1 - x)),
    }
    with mpmath.workdps(60):
        for name, function in right.items():
            x = p if name == "logit" else z
            found = getattr(soft_bce, name)(x)
            worst = max(ulps(y, function(mpmath.mpf(float(x))), dtype) for x, y in zip(x, found))
            assert 0 < worst < 2.5, name
    if dtype == np.float32:
        for name in ("sigmoid", "log_sigmoid", "softplus"):
            found = getattr(soft_bce, name)(z, exact=True)
            with mpmath.workdps(60):
                exact = [np.float32(float(right[name](mpmath.mpf(float(x))))) for x in z]
            np.testing.assert_array_equal(found, exact)


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_weights_of_rows_and_classes(rng, name, dtype):
    z, t, weights = example(rng, (5, 4, 3), dtype)
    rows, classes = weights[:, :, 0], rng.random(3).astype(dtype) + dtype(0.5)
    # Rows: the product with the elements' weights.
    found = call(name, z, t, weights=weights, row_weights=rows)
    assert_same_bits(found, call(name, z, t, weights=weights * rows[:, :, None]))
    assert_same_bits(found, call(name, z, t, weights=weights, row_weights=fortran(rows)))
    flat = call(name, z.reshape(20, 3), t.reshape(20, 3), row_weights=rows.ravel())
    assert flat[0] == call(name, z, t, row_weights=rows)[0]
    # Classes: one call for each.
    number, arrays = call(name, z, t, pos_weights=classes)
    for k, pos_weight in enumerate(classes):
        of_class, right = call(name, z[..., k], t[..., k], pos_weight=float(pos_weight))
        for array, of_array in zip(arrays, right):
            if name.startswith("mean"):
                np.testing.assert_allclose(array[..., k], of_array / 3, rtol=1e-6)
            else:
                np.testing.assert_array_equal(array[..., k], of_array)
    two_axes = np.broadcast_to(classes, (4, 3))
    assert_same_bits((number, arrays), call(name, z, t, pos_weights=two_axes))
    for bad in (np.ones(4), np.ones((1, 3)), np.ones((5, 4, 3, 1))):
        with pytest.raises(ValueError, match="^pos_weights has the shape .* the last axes of the logits"):
            call(name, z, t, pos_weights=bad)
        with pytest.raises(ValueError, match="^row_weights has the shape .* the first axes of the logits"):
            call(name, z, t, row_weights=bad)
    with pytest.raises(ValueError, match="exclude"):
        call(name, z, t, pos_weights=classes, pos_weight=2.0)
    for argument, array, index, must in (
        ("row_weights", rows, (4, 2), "finite and >= 0"),
        ("pos_weights", classes, (1,), "finite and > 0"),
    ):
        bad = array.copy()
        bad[index] = -2
        with pytest.raises(ValueError) as caught:
            call(name, z, t, **{argument: bad})
        shown = ", ".join(map(str, index))
        assert str(caught.value) == f"{argument}[{shown}] is -2.0 and must be {must}"
    # An output may be one of them.
    if name in WRITING and OPERATIONS[name][1] == 1:
        everything = z.copy()
        whole = call(name, z, t, row_weights=everything.copy() ** 2)
        everything **= 2
        assert_same_bits(whole, call(name, z, t, row_weights=everything, out=everything))


def test_pos_weights_as_torch_has_them():
    """PyTorch's value for a weight of each class."""
    z = [[0.5, -1.0], [2.0, 0.25], [-0.75, 1.5]]
    t = [[1.0, 0.0], [0.3, 1.0], [0.0, 0.9]]
    assert soft_bce.mean(z, t, pos_weights=[3.0, 10.0]) == pytest.approx(1.911283915379, rel=1e-12)


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_other_losses_and_targets(rng, name, dtype):
    z, t, weights = example(rng, (40, 5), dtype)
    rtol = 2e-6 if dtype == np.float32 else 1e-13

    def close(found, right):
        assert (found[0] is None) == (right[0] is None)
        if right[0] is not None:
            assert found[0] == pytest.approx(right[0], rel=rtol)
        for a, b in zip(found[1], right[1], strict=True):
            np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol)

    # A power of two divides exactly.
    number, arrays = call(name, z / 2, t, weights=weights)
    arrays = arrays[-2:] if "loss" in name and len(arrays) == 3 else arrays
    found, written = call(name, z, t, weights=weights, temperature=2.0)
    written = written[-2:] if "loss" in name and len(written) == 3 else written
    factors = {"loss": [1], "loss_gradient": [1, 2]}.get(name, [2, 4])
    close((found, [a * factor for a, factor in zip(written, factors)]), (number, arrays))
    teacher = rng.normal(0, 3, z.shape).astype(dtype)
    close(
        call(name, z, teacher, logit_targets=True),
        call(name, z.astype(float), soft_bce.sigmoid(teacher.astype(float))),
    )
    with pytest.raises(ValueError, match=r"^t\[3, 4\] is nan and must be a number$"):
        teacher[3, 4] = math.nan
        call(name, z, teacher, logit_targets=True)
    if "hessian" not in name:
        assert_same_bits(call(name, z, t, focal=0.0), call(name, z, t))
    kinds = {"focal": 1.0, "squared_error": True, "logit_targets": True}
    for some in [*itertools.combinations(kinds, 2), kinds]:
        with pytest.raises(ValueError, match="squared_error, focal and logit_targets exclude each other"):
            call(name, z, t, **{kind: kinds[kind] for kind in some})


def test_squared_error_and_focal_loss(rng):
    z, t, _ = example(rng, 100)
    s = soft_bce.sigmoid(z)
    loss, gradient, hessian = soft_bce.loss_gradient_hessian(z, t, squared_error=True)
    np.testing.assert_allclose(loss, (s - t) ** 2, rtol=1e-12, atol=1e-15)
    slope = s * (1 - s)
    np.testing.assert_allclose(gradient, 2 * (s - t) * slope, rtol=1e-12, atol=1e-15)
    right = 2 * slope * (slope + (s - t) * (1 - 2 * s))
    np.testing.assert_allclose(hessian, right, rtol=1e-10, atol=1e-14)
    loss, gradient = soft_bce.loss_gradient(z, t, focal=2.0)
    entropy = soft_bce.loss(z, t)
    np.testing.assert_allclose(loss, (s - t) ** 2 * entropy, rtol=1e-12, atol=1e-15)
    right = (s - t) ** 2 * (s - t) + 2 * (s - t) * slope * entropy
    np.testing.assert_allclose(gradient, right, rtol=1e-11, atol=1e-14)
    with pytest.raises(ValueError, match="[Hh]essian"):
        soft_bce.gradient_hessian(z, t, focal=2.0)
    with pytest.raises(ValueError, match="temperature is 0.0 and must be"):
        soft_bce.loss(z, t, temperature=0.0)


def test_excess_exact_and_tolerance():
    z, t = np.float32([0.0, 1.0]), np.float32([0.5, 0.7310586])
    assert soft_bce.loss(z, t, excess=True)[0] == 0
    assert soft_bce.gradient(z, t, exact=True)[1] == np.float32(-1.8934692e-8)
    assert soft_bce.sum([2.0, -2.0], [1 + 1e-9, -1e-9], target_tolerance=1e-6) == soft_bce.sum(
        [2.0, -2.0], [1.0, 0.0]
    )
    with pytest.raises(ValueError, match="float32 alone"):
        soft_bce.loss(z.astype(float), t, exact=True)
    with pytest.raises(ValueError, match="float32 alone"):
        soft_bce.sigmoid(0.0, exact=True)
    with pytest.raises(ValueError, match="excludes"):
        soft_bce.loss(z, t, excess=True, pos_weight=2.0)


@pytest.mark.parametrize("name", OPERATIONS)
def test_backends_and_threads_give_the_same_bits(rng, name):
    for dtype in DTYPES:
        z, t, weights = example(rng, (300, 1000), dtype)
        right = call(name, z, t, weights=weights)
        for backend in soft_bce.backends():
            assert_same_bits(right, call(name, z, t, weights=weights, backend=backend))
        for threads in (2, 5):
            assert_same_bits(right, call(name, z, t, weights=weights, threads=threads))


def test_functions_on_threads(rng):
    z = rng.normal(0, 9, (7, 30_001)).astype(np.float32)
    for name in ("sigmoid", "log_sigmoid", "softplus"):
        function = getattr(soft_bce, name)
        np.testing.assert_array_equal(function(z), function(z, threads=3))
    p = rng.random(100_000)
    np.testing.assert_array_equal(soft_bce.logit(p), soft_bce.logit(p, threads=3))
    p[[60_000, 90_000]] = 2, 3
    with pytest.raises(ValueError, match=r"^p\[60000\] is 2.0 and must be in \[0, 1\]$"):
        soft_bce.logit(p, threads=3)


# Memory


def fortran(a):
    return np.asfortranarray(a)


def strided(a):
    wide = np.full((*a.shape[:-1], 2 * a.shape[-1]), 7, a.dtype)
    view = wide[..., ::2]
    view[...] = a
    return view


def reversed_rows(a):
    return np.ascontiguousarray(a[::-1])[::-1]


def transposed(a):
    return np.ascontiguousarray(a.T).T


def unaligned(a):
    memory = np.zeros(a.nbytes + 1, np.uint8)
    view = memory[1:].view(a.dtype).reshape(a.shape)
    view[...] = a
    assert not view.flags.aligned
    return view


def broadcast(a):
    """Strides of 0, with the values of the first row."""
    return np.broadcast_to(a[:1], a.shape)


def field(a):
    record = np.zeros(a.shape, [("x", a.dtype), ("pad", np.int8)])
    record["x"] = a
    return record["x"]


LAYOUTS = [np.ascontiguousarray, fortran, strided, reversed_rows, transposed, unaligned, field]


def test_the_memory_order_trap():
    """z in C order and t in Fortran order: slices of memory would pair the wrong elements."""
    z = np.array([[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]])
    t = np.array([[0.0, 0.25, 0.5], [0.75, 1.0, 0.1]])
    right = 1 / (1 + np.exp(-z)) - t
    trap = soft_bce.gradient(z, np.asfortranarray(t))
    np.testing.assert_allclose(trap, right, rtol=1e-14)
    # The test can tell: elements paired by memory are others.
    wrong = soft_bce.gradient(z.ravel(), np.asfortranarray(t).ravel(order="K"))
    assert not np.allclose(wrong, right.ravel())
    both = soft_bce.gradient(np.asfortranarray(z), np.asfortranarray(t))
    np.testing.assert_array_equal(both, trap)


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_layout_gives_the_same_bits(rng, name, dtype):
    z, t, weights = example(rng, (6, 11), dtype)
    right = call(name, z, t, weights=weights)
    for of_z, of_t, of_w in itertools.product(LAYOUTS, repeat=3):
        assert_same_bits(right, call(name, of_z(z), of_t(t), weights=of_w(weights)))
    right = call(name, z, np.array(broadcast(t)), weights=weights)
    assert_same_bits(right, call(name, z, broadcast(t), weights=weights))


@pytest.mark.parametrize("name", WRITING)
@pytest.mark.parametrize("dtype", DTYPES)
def test_out_of_every_layout(rng, name, dtype):
    z, t, _ = example(rng, (6, 11), dtype)
    right = call(name, z, t)
    count = OPERATIONS[name][1]
    for layout in LAYOUTS:
        out = [layout(np.full_like(z, 5)) for _ in range(count)]
        found = call(name, z, t, out=out[0] if count == 1 else tuple(out))
        assert_same_bits(right, found)
        assert all(a is b for a, b in zip(found[1], out))
    if count > 1:
        out = [np.zeros_like(z)] * count
        with pytest.raises(ValueError, match=r"^out\[0\] and out\[1\] share memory$"):
            call(name, z, t, out=tuple(out))
        half = np.zeros_like(z)
        assert call(name, z, t, out=(*[None] * (count - 1), half))[1][-1] is half
        for bad in (half, list(out), tuple(out[1:]), (*out, None)):
            with pytest.raises(TypeError, match=f"^out must be a tuple of {count} arrays or None$"):
                call(name, z, t, out=bad)
    if count == 2:
        memory = np.zeros((6, 22), dtype)
        pair = (memory[:, ::2], memory[:, 1::2])  # interleaved, but apart
        assert_same_bits(right, call(name, z, t, out=pair))
        pair = (memory[:, :11], memory[:, 5:16])
        with pytest.raises(ValueError, match=r"out\[0\] and out\[1\] share memory"):
            call(name, z, t, out=pair)


def tuple_of(count, first):
    return first if count == 1 else (first, *[None] * (count - 1))


@pytest.mark.parametrize("name", WRITING)
def test_out_may_be_an_input(rng, name):
    z, t, weights = example(rng, 100)
    right = call(name, z, t, weights=weights)
    count = OPERATIONS[name][1]
    for place in range(3):
        arrays = [z.copy(), t.copy(), weights.copy()]
        out = tuple_of(count, arrays[place])
        assert_same_bits(right, call(name, *arrays[:2], weights=arrays[2], out=out))
    # Shifted by one element.
    memory = np.append(z, 0.0)
    out = tuple_of(count, memory[1:])
    assert_same_bits(right, call(name, memory[:-1], t, weights=weights, out=out))
    # After an error an input is as it was.
    bad = t.copy()
    bad[50] = 2
    before = z.copy()
    with pytest.raises(ValueError):
        call(name, z, bad, out=tuple_of(count, z))
    np.testing.assert_array_equal(z, before)
    # Also where it was copied for its layout.
    square = rng.random((4, 4))
    square[1, 2] = 2
    before = square.copy()
    for out in (square, square[::-1], square.T):
        with pytest.raises(ValueError):
            call(name, np.zeros((4, 4)), square.T, out=tuple_of(count, out))
        np.testing.assert_array_equal(square, before)
    # The same array as two inputs.
    assert_same_bits(call(name, t, t), call(name, t, t.copy()))


def test_in_place(rng):
    for dtype, layout, threads in itertools.product(DTYPES, LAYOUTS, (1, 2)):
        z, t, weights = example(rng, (6, 11), dtype)
        right = soft_bce.gradient(z, t, weights=weights)
        right = soft_bce.gradient(z, t, weights=weights, row_weights=weights[:, 0], pos_weights=t[0] + 1)
        array = layout(z)
        options = {"row_weights": weights[:, 0], "pos_weights": t[0] + 1}
        soft_bce.gradient_in_place(array, t, weights=weights, threads=threads, **options)
        np.testing.assert_array_equal(array, right)
        right = soft_bce.gradient(z, t, weights=weights)
        array = layout(z)
        assert soft_bce.gradient_in_place(array, t, weights=weights, threads=threads) is None
        np.testing.assert_array_equal(array, right)
        array, z = layout(z), z.copy()
        t[3, 4] = -1
        weights[3, 4] = 1
        with pytest.raises(ValueError, match=r"t\[3, 4\] is -1.0"):
            soft_bce.gradient_in_place(array, t, weights=weights, threads=threads)
        np.testing.assert_array_equal(array, z)
    t = rng.random(9)
    right = soft_bce.gradient(t, t)
    soft_bce.gradient_in_place(t, t)
    np.testing.assert_array_equal(t, right)
    for bad in ([0.0], np.zeros(1, int), np.zeros(1, np.float16)):
        with pytest.raises(TypeError, match="^z must be a NumPy array of dtype float(32|64)$"):
            soft_bce.gradient_in_place(bad, [0.5])


@pytest.mark.parametrize("name", OPERATIONS)
def test_inputs_are_not_changed(rng, name):
    arrays = example(rng, (5, 7))
    for array in arrays:
        array.flags.writeable = False
    call(name, *arrays[:2], weights=arrays[2])


def test_results_do_not_share_memory_with_each_other_or_the_inputs(rng):
    z, t, _ = example(rng, 10)
    _, g, h = soft_bce.sum_gradient_hessian(z, t)
    assert not any(np.shares_memory(a, b) for a, b in itertools.combinations([z, t, g, h], 2))


# Types and shapes


def test_types():
    z = np.array([0.0, 1.0, -1.0], np.float32)
    for t in (
        np.array([0, 1, 1]),
        np.array([0, 1, 1], np.uint8),
        np.array([False, True, True]),
        np.array([0, 1, 1], np.float16),
        np.array([0, 1, 1], np.float64),
        [0, 1, 1],
        (0.0, 1, True),
    ):
        loss = soft_bce.loss(z, t)
        assert loss.dtype == np.float32
        np.testing.assert_array_equal(loss, soft_bce.loss(z, np.float32([0, 1, 1])))
    assert soft_bce.loss(z.astype(np.float16), [0, 1, 1]).dtype == np.float32
    for z in ([0, 1, -1], np.array([0, 1, -1], np.int8), np.array([0.0, 1, -1])):
        assert soft_bce.loss(z, [0, 1, 1]).dtype == np.float64
    scalar = soft_bce.loss(0.0, 0.5)
    assert isinstance(scalar, np.float64) and scalar == math.log(2)
    assert isinstance(soft_bce.sigmoid(np.float32(0)), np.float32)
    assert type(soft_bce.sum(0.0, 0.5)) is float
    assert soft_bce.mean_gradient(0.0, 1.0) == (math.log(2), -0.5)


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (np.zeros(2, ">f8"), "another byte order than this machine's"),
        (np.zeros(2, ">f4"), "another byte order than this machine's"),
        (np.zeros(2, ">i8"), "another byte order than this machine's"),
        (np.zeros(2, object), "has the dtype object"),
        (np.zeros(2, complex), "has the dtype complex128"),
        (np.zeros(2, np.longdouble), "has the dtype float128"),
        (np.array(["0", "1"]), "has the dtype <U1"),
        (np.zeros(2, "datetime64[s]"), "has the dtype datetime64"),
        (np.zeros(2, [("a", float)]), "has the dtype"),
        (np.ma.masked_array([0.0, 1.0], [True, False]), "is a masked array"),
        (None, "has the dtype object"),
    ],
)
def test_what_is_no_array_of_numbers_is_refused(bad, said):
    good = np.array([0.5, 0.5])
    for name in OPERATIONS:
        with pytest.raises(TypeError, match=f"^z .*{said}"):
            call(name, bad, good)
        with pytest.raises(TypeError, match=f"^t .*{said}"):
            call(name, good, bad)
        if bad is not None:
            with pytest.raises(TypeError, match=f"^weights .*{said}"):
                call(name, good, good, weights=bad)
    for name in FUNCTIONS:
        with pytest.raises(TypeError, match=f"^[zp] .*{said}"):
            getattr(soft_bce, name)(bad)
    with pytest.raises(TypeError, match=f"^values .*{said}"):
        soft_bce.LossSum().add_array(bad)


@pytest.mark.parametrize("name", OPERATIONS)
def test_shapes(name):
    z = np.zeros((3, 2))
    for t in (np.zeros(6), np.zeros((2, 3)), np.zeros((3, 1)), 0.5, np.zeros((3, 2, 1))):
        with pytest.raises(ValueError, match=r"^t has the shape \(.*\), not \(3, 2\) as the logits$"):
            call(name, z, t)
        with pytest.raises(ValueError, match=r"^weights has the shape \("):
            call(name, z, z, weights=t)
    for shape in ((), (0,), (1,), (2, 0, 3), (1, 1, 1), (2, 3, 4, 5)):
        z = np.zeros(shape)
        if z.size == 0 and name.startswith("mean"):
            with pytest.raises(ValueError, match="^the mean of nothing is undefined$"):
                call(name, z, z)
            continue
        number, arrays = call(name, z, z)
        assert all(array.shape == shape for array in arrays)
        if number is not None:
            count = 1 if name.startswith("mean") else z.size
            assert number == pytest.approx(count * math.log(2))


def test_bad_out():
    z = np.zeros(3)
    with pytest.raises(TypeError, match="^out must be a NumPy array of dtype float64$"):
        soft_bce.loss(z, z, out=np.zeros(3, np.float32))
    with pytest.raises(TypeError, match="^out must be a NumPy array of dtype float64$"):
        soft_bce.loss(z, z, out=[0.0] * 3)
    with pytest.raises(ValueError, match=r"^out has the shape \(2,\), not \(3,\)"):
        soft_bce.loss(z, z, out=np.zeros(2))
    for layout in (np.ascontiguousarray, strided):
        out = layout(np.zeros(3))
        out.flags.writeable = False
        with pytest.raises(ValueError, match="^out is read-only$"):
            soft_bce.loss(z, z, out=out)
    assert "out" not in soft_bce.sum.__text_signature__
    with pytest.raises(TypeError, match="out"):
        soft_bce.sum(z, z, out=z)
    with pytest.raises(TypeError, match="weight"):
        soft_bce.sum(z, z, weight=z)


# Errors


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("threads", [1, 2])
def test_errors_name_argument_index_and_value(name, threads):
    z, t, weights = np.zeros((40, 1000)), np.full((40, 1000), 0.5), np.ones((40, 1000))
    cases = [
        ("t", t, (38, 999), 1.5, "in [0, 1]"),
        ("t", t, (0, 7), -1e-300, "in [0, 1]"),
        ("t", t, (20, 0), math.nan, "in [0, 1]"),
        ("weights", weights, (39, 0), -1.0, "finite and >= 0"),
        ("weights", weights, (1, 2), math.inf, "finite and >= 0"),
    ]
    for argument, array, index, value, must in cases:
        old, array[index] = array[index], value
        options = {"weights": weights, "threads": threads}
        out = [np.full_like(z, 5) for _ in range(OPERATIONS[name][1])]
        if out:
            options["out"] = out[0] if len(out) == 1 else tuple(out)
        total = soft_bce.LossSum([3.0])
        with pytest.raises(ValueError) as caught:
            if name.startswith("accumulate"):
                getattr(soft_bce, name)(z, t, total, **options)
            else:
                getattr(soft_bce, name)(z, t, **options)
        error = caught.value
        assert str(error) == f"{argument}[{index[0]}, {index[1]}] is {value!r} and must be {must}"
        assert (error.argument, error.index) == (argument, index)
        assert error.value == value or math.isnan(value)
        assert all(np.isnan(array).all() for array in out)
        assert total == soft_bce.LossSum([3.0])
        array[index] = old
    with pytest.raises(ValueError) as caught:
        call(name, z[0], np.full(1000, 2), threads=threads)
    assert str(caught.value) == "t[0] is 2.0 and must be in [0, 1]" and caught.value.index == 0


def test_non_contiguous_out_is_nan_after_an_error():
    out = strided(np.zeros(3))
    with pytest.raises(ValueError):
        soft_bce.loss(np.zeros(3), [0.5, 2, 0.5], out=out)
    assert np.isnan(out).all()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"pos_weight": 0.0}, "pos_weight is 0.0 and must be finite and > 0"),
        ({"pos_weight": math.nan}, "pos_weight is nan and"),
        ({"label_smoothing": 1.5}, r"label_smoothing is 1.5 and must be in \[0, 1\]"),
        ({"target_tolerance": -1.0}, "target_tolerance is -1.0 and must be finite and >= 0"),
        ({"backend": "abacus"}, 'backend is "abacus" and must be one of this machine\'s: .*scalar'),
        ({"threads": 0}, r"threads is 0 and must be in \[1, 1024\]"),
        ({"threads": 5000}, r"threads is 5000 and must be in \[1, 1024\]"),
        ({"exact": True, "weights": np.ones(2, np.float32)}, "exact"),
    ],
)
def test_bad_options(options, said):
    z = np.zeros(2, np.float32)
    for name in OPERATIONS:
        with pytest.raises(ValueError, match=said):
            call(name, z, z, **options)


def test_limits():
    z = np.array([math.inf, math.inf, -math.inf, -math.inf, math.nan])
    t = np.array([1.0, 0.5, 0.0, 0.5, 0.5])
    np.testing.assert_array_equal(soft_bce.loss(z, t), [0, math.inf, 0, math.inf, math.nan])
    gradient, hessian = soft_bce.gradient_hessian(z, t)
    np.testing.assert_array_equal(gradient, [0, 0.5, 0, -0.5, math.nan])
    np.testing.assert_array_equal(hessian, [0, 0, 0, 0, math.nan])
    # A weight of 0 removes what would be an error.
    assert soft_bce.sum([math.nan, 0], [7.0, 0.5], weights=[0, 1]) == math.log(2)


# Threads


def test_the_lock_is_released():
    """A call on much data and a thread that counts, at the same time."""
    z = np.zeros(1 << 22)
    t = np.full_like(z, 0.5)
    out = np.empty_like(z)
    counted, done = [0], threading.Event()

    def count():
        while not done.is_set():
            counted[0] += 1

    thread = threading.Thread(target=count)
    thread.start()
    before = counted[0]
    for _ in range(20):
        soft_bce.loss(z, t, out=out, backend="scalar" if len(soft_bce.backends()) == 1 else None)
    during = counted[0] - before
    done.set()
    thread.join()
    assert during > 100


def test_many_threads_at_once(rng):
    z, t, weights = example(rng, 50_000)
    right = soft_bce.sum_gradient(z, t, weights=weights)
    failed = []

    def work(threads):
        for _ in range(5):
            total, gradient = soft_bce.sum_gradient(z, t, weights=weights, threads=threads)
            if total != right[0] or (gradient != right[1]).any():
                failed.append(threads)

    workers = [threading.Thread(target=work, args=(1 + i % 3,)) for i in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not failed


def test_a_short_call_and_what_another_thread_writes():
    """Short calls register no arrays, unless a call of another thread runs."""
    z = np.zeros(1 << 22)
    t = np.full_like(z, 0.5)
    out = np.zeros_like(z)
    long = threading.Thread(target=lambda: [soft_bce.loss(z, t, out=out) for _ in range(20)])
    calls = {
        "z": lambda: soft_bce.sum(out[:16], t[:16]),
        "t": lambda: soft_bce.sum(z[:16], out[:16]),
        "weights": lambda: soft_bce.sum(z[:16], t[:16], weights=out[:16]),
        "out": lambda: soft_bce.loss(z[:16], t[:16], out=out[:16]),
    }
    calls["z of sigmoid"] = lambda: soft_bce.sigmoid(out[:16])
    seen = dict.fromkeys(calls, False)
    long.start()
    while long.is_alive():
        for name, call in calls.items():
            try:
                call()
            except ValueError as error:
                said = "shares memory with an array that another thread's call uses"
                assert str(error) == f"{name.split()[0]} {said}"
                seen[name] = True
    assert all(seen.values()), seen
    for call in calls.values():
        call()


def test_after_a_fork(rng):
    """A forked process has none of its parent's threads: it must not wait for them."""
    import multiprocessing
    import warnings

    z, t, _ = example(rng, 100_000)
    right = soft_bce.sum(z, t, threads=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # forking with threads is what is tried
        context = multiprocessing.get_context("fork")
        queue = context.SimpleQueue()
        child = context.Process(target=lambda: queue.put(soft_bce.sum(z, t, threads=2)))
        child.start()
    child.join(60)
    if child.is_alive():
        child.kill()
    assert child.exitcode == 0
    assert queue.get() == right


# Anything at all


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_arrays(data):
    dtype = data.draw(st.sampled_from(DTYPES))
    shape = data.draw(hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=40))
    z = data.draw(hnp.arrays(dtype, shape))
    unit = st.floats(0, 1, width=np.dtype(dtype).itemsize * 8)
    t = data.draw(hnp.arrays(dtype, shape, elements=unit))
    order = data.draw(st.permutations(range(len(shape))))
    back = np.argsort(order).astype(int)
    loss = np.asarray(soft_bce.loss(z, t))
    moved = soft_bce.loss(z, t.transpose(order).copy().transpose(back))
    np.testing.assert_array_equal(loss, moved)
    for index in np.ndindex(shape):
        one = soft_bce.loss(z[index], t[index])
        assert one == loss[index] or (np.isnan(one) and np.isnan(loss[index]))
    total = soft_bce.LossSum(loss)
    found = soft_bce.sum(z, t)
    assert found == total.value or (math.isnan(found) and math.isnan(total.value))
    assert total.count == loss.size


def test_values_are_checked_before_they_are_rounded():
    z = np.zeros(3, np.float32)
    for bad, shown in ((1 + 1e-9, "1.000000001"), (-1e-50, "-1e-50")):
        t = np.array([0.5, bad, bad])
        with pytest.raises(ValueError) as caught:
            soft_bce.loss(z, t)
        assert str(caught.value) == f"t[1] is {shown} and must be in [0, 1]"
        assert caught.value.value == bad
        # Not looked at, or tolerated.
        soft_bce.loss(z, t, weights=[1.0, 0.0, 0.0])
        soft_bce.loss(z, t, target_tolerance=1e-8)
    # A tolerance that is more than any value a check might put in place of a bad one.
    for bad in (-7.0, 9.0, math.nan, math.inf):
        with pytest.raises(ValueError, match=rf"^t\[0\] is {bad} and must"):
            soft_bce.loss(z[:1], np.array([bad]), target_tolerance=5.0)
    # Neither the tolerance's rounding nor the target's brings it out of range.
    assert soft_bce.loss(z[:1], [1 + 1.8e-7], target_tolerance=1.8e-7) == soft_bce.loss(z[:1], [1.0])
    # What is too small for the type is 0 as a target.
    assert soft_bce.loss(np.float32([3.0]), [1e-60]) == soft_bce.loss(np.float32([3.0]), [0.0])
    t = np.array([0.1, 0.7, 1.0])
    assert (soft_bce.loss(z, t) == soft_bce.loss(z, t.astype(np.float32))).all()


LOST = [(1e-60, "0.0"), (1e300, "inf")]
WEIGHTS = {"weights": (2,), "row_weights": (2,), "pos_weights": ()}


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("argument", WEIGHTS)
def test_weights_are_checked_before_they_are_rounded(name, argument):
    z = np.zeros((3, 2), np.float32)
    t = np.full((3, 2), 0.5)
    shape = {"weights": (3, 2), "row_weights": (3,), "pos_weights": (2,)}[argument]
    place = (1,) * len(shape)
    shown = ", ".join("1" * len(shape))
    must = "and must be finite and > 0" if argument == "pos_weights" else "and must be finite and >= 0"
    said = [(value, f", which float32 rounds to {to}: logits of float64 keep it") for value, to in LOST]
    said += [(value, f" {must}") for value in (-1e-60, -1e300, -1.0, math.inf, -math.inf, math.nan)]
    for value, text in said:
        weights = np.ones(shape)
        weights[place] = value
        out = [np.full_like(z, 5) for _ in range(OPERATIONS[name][1])]
        given = {argument: weights}
        if out:
            given["out"] = out[0] if len(out) == 1 else tuple(out)
        with pytest.raises(ValueError) as caught:
            call(name, z, t, **given)
        assert str(caught.value) == f"{argument}[{shown}] is {value!r}{text}".replace("e+300", "e300")
        assert (caught.value.argument, caught.value.index) == (argument, place if len(place) > 1 else 1)
        assert caught.value.value == value or math.isnan(value)
        assert np.isnan(out).all()
        if math.isfinite(value) and value > 0:
            call(name, z.astype(float), t, **{argument: weights})
    # What float32 holds, if with fewer digits; -0 is 0.
    weights = np.full(shape, 1e-44)
    assert_same_bits(call(name, z, t, **{argument: weights}), call(name, z, t, **{argument: np.float32(weights)}))
    if argument != "pos_weights":
        weights = np.ones(shape)
        weights[place] = -0.0
        call(name, z, t, **{argument: weights})


def test_logit_targets_are_checked_before_they_are_rounded():
    z = np.zeros(2, np.float32)
    with pytest.raises(ValueError) as caught:
        soft_bce.loss(z, np.array([0.0, -1e300]), logit_targets=True)
    assert str(caught.value) == "t[1] is -1e300, which float32 rounds to -inf: logits of float64 keep it"
    assert soft_bce.loss(z, np.array([1e-60, np.inf]), logit_targets=True).tolist() == [np.float32(math.log(2))] * 2


@pytest.mark.parametrize("name", OPERATIONS)
def test_options_are_checked_before_they_are_rounded(name):
    z, t = np.zeros(2, np.float32), np.full(2, 0.5, np.float32)
    ranges = {
        "pos_weight": ("finite and > 0", (0.0, -1e-60, math.inf)),
        "label_smoothing": ("in [0, 1]", (-1e-60, 1 + 1e-9, 1.1)),
        "target_tolerance": ("finite and >= 0", (-1e-60, math.inf)),
        "temperature": ("finite and > 0", (0.0, -1e-60, -math.inf)),
        "focal": ("finite and >= 0", (-1e-60, math.inf)),
    }
    for option, (range_, values) in ranges.items():
        if option == "focal" and "hessian" in name:
            continue
        for dtype in DTYPES:
            for value in (*values, math.nan):
                out = [np.full(2, 5, dtype) for _ in range(OPERATIONS[name][1])]
                given = {option: value}
                if out:
                    given["out"] = out[0] if len(out) == 1 else tuple(out)
                with pytest.raises(ValueError) as caught:
                    call(name, z.astype(dtype), t, **given)
                assert str(caught.value) == f"{option} is {value!r} and must be {range_}"
                assert caught.value.argument == option
                assert np.isnan(out).all()
        for value, to in LOST:
            if value > 1 and option == "label_smoothing":
                continue
            with pytest.raises(ValueError) as caught:
                call(name, z, t, **{option: value})
            text = f"{option} is {value!r}, which float32 rounds to {to}: logits of float64 keep it"
            assert str(caught.value) == text.replace("e+300", "e300")
    out = [np.full_like(z, 5) for _ in range(OPERATIONS[name][1])]
    if out:
        with pytest.raises(ValueError, match="exclude each other"):
            call(name, z, t, exact=True, excess=True, out=out[0] if len(out) == 1 else tuple(out))
        assert np.isnan(out).all()


def test_options_in_the_words_of_python():
    z = np.zeros(3, np.float32)
    for call in (
        lambda threads: soft_bce.loss(z, z, threads=threads),
        lambda threads: soft_bce.sigmoid(z, threads=threads),
        lambda threads: soft_bce.logit(z, threads=threads),
        lambda threads: soft_bce.gradient_in_place(z.copy(), z, threads=threads),
    ):
        for threads in (-1, 0, 1025):
            with pytest.raises(ValueError, match=f"threads is {threads} and must be in"):
                call(threads)
    with pytest.raises(ValueError, match="exact=True and excess=True exclude each other"):
        soft_bce.loss(z, z, exact=True, excess=True)


# Probabilities


@pytest.mark.parametrize("dtype", DTYPES)
def test_probabilities_are_right(rng, dtype):
    p = np.concatenate([rng.random(200), 10.0 ** -rng.integers(1, 30, 50), [0.5, 1 - 2**-20]]).astype(dtype)
    y = rng.random(len(p)).astype(dtype)
    y[:40] = np.round(y[:40])
    loss, gradient = soft_bce.probability.loss(y, p), soft_bce.probability.gradient(y, p)
    assert loss.dtype == gradient.dtype == dtype
    with mpmath.workdps(60):
        for t, x, found, slope in zip(y, p, loss, gradient):
            t, x = mpmath.mpf(float(t)), mpmath.mpf(float(x))
            right = -t * mpmath.log(x) - (1 - t) * mpmath.log1p(-x)
            assert ulps(found, right, dtype) < 3
            right = (x - t) / (x * (1 - x))
            assert ulps(slope, right, dtype) < 3
    exact = math.fsum(loss.astype(np.float64))
    assert soft_bce.probability.sum(y, p) == exact
    assert soft_bce.probability.mean(y, p) == pytest.approx(exact / len(p), rel=1e-15)
    shape = (4, 63)
    for of_y, of_p in itertools.product(LAYOUTS, repeat=2):
        given = of_y(y.reshape(shape)), of_p(p.reshape(shape))
        for function, right in ((soft_bce.probability.loss, loss), (soft_bce.probability.gradient, gradient)):
            out = of_p(np.zeros(shape, dtype))
            assert function(*given, out=out) is out
            np.testing.assert_array_equal(function(*given), right.reshape(shape))
            np.testing.assert_array_equal(out, right.reshape(shape))
        assert soft_bce.probability.sum(*given) == exact
    both = y.copy()
    np.testing.assert_array_equal(soft_bce.probability.loss(both, p, out=both), loss)


def test_probabilities_at_the_ends_and_errors():
    of = soft_bce.probability
    y, p = [0.0, 1.0, 0.5, 1.0, 0.0, 0.5], [0.0, 1.0, 0.0, 0.0, 1.0, 1.0]
    assert of.loss(y, p).tolist() == [0, 0, math.inf, math.inf, math.inf, math.inf]
    assert of.gradient(y, p).tolist() == [1, -1, -math.inf, -math.inf, math.inf, math.inf]
    assert of.sum([], []) == 0
    assert of.loss(0.0, 0.5) == math.log(2) and isinstance(of.loss(0.0, 0.5), np.float64)
    with pytest.raises(ValueError, match="^the mean of nothing is undefined$"):
        of.mean([], [])
    narrow = np.array([0.5, 0.5], np.float32)
    for name in of.__all__:
        function = getattr(of, name)
        for argument, given, value in (
            ("p", ([0.5, 0.5], [0.5, 1.5]), 1.5),
            ("p", (narrow, np.array([0.5, math.nan], np.float32)), math.nan),
            ("y", ([0.5, -1e-300], [0.5, 0.5]), -1e-300),
            ("y", ([0.5, 1 + 1e-9], narrow), 1 + 1e-9),
            ("y", (np.array([0.5, -1e-60]), narrow), -1e-60),
        ):
            out = {"out": np.ones(2, np.asarray(given[1]).dtype)} if name in ("loss", "gradient") else {}
            with pytest.raises(ValueError) as caught:
                function(*given, **out)
            assert str(caught.value) == f"{argument}[1] is {value!r} and must be in [0, 1]"
            assert (caught.value.argument, caught.value.index) == (argument, 1)
            assert all(np.isnan(array).all() for array in out.values())
        with pytest.raises(ValueError, match=r"^y has the shape \(1,\), not \(2,\) as the probabilities$"):
            function([0.5], narrow)
        with pytest.raises(TypeError, match="^p has the dtype object"):
            function([0.5], [None])
