"""LossSum: exact, mergeable, the same bytes in any order."""

import copy
import functools
import math
import operator
import pickle

import numpy as np
import pytest

import soft_bce
from soft_bce import LossSum


def test_any_order_and_partition_gives_the_same_state(rng):
    values = rng.standard_cauchy(10_000) * 10.0 ** rng.integers(-300, 290, 10_000)
    whole = LossSum(values)
    assert whole.value == math.fsum(values)
    parts = [LossSum(part) for part in np.array_split(rng.permutation(values), 7)]
    merged = sum(parts)
    assert merged == whole and merged.to_bytes() == whole.to_bytes()
    one_by_one = LossSum()
    for value in values[::-1]:
        one_by_one.add(value)
    assert one_by_one == whole and one_by_one.count == 10_000
    total = LossSum()
    for part in parts:
        total += part
    assert total == whole
    # Additions are not exact: the test can tell.
    assert functools.reduce(operator.add, values.tolist()) != whole.value


def test_arrays_of_every_kind(rng):
    values = rng.normal(size=(7, 5))
    right = LossSum(values)
    for array in (np.asfortranarray(values), values[::-1], values.tolist()):
        assert LossSum(array) == right
    single = values.astype(np.float32)
    assert LossSum(single) == LossSum(single.astype(float)) != right
    assert LossSum([1, 2, 3]).value == 6 and LossSum(np.float16([0.5])).value == 0.5
    assert LossSum(4.0).count == 1 and LossSum([]).count == 0 == LossSum().count


def test_it_is_the_sum_of_operations(rng):
    z, t = rng.normal(0, 5, 1000), rng.random(1000)
    total = LossSum()
    soft_bce.accumulate(z[:300], t[:300], total)
    soft_bce.accumulate_gradient(z[300:], t[300:], total)
    assert total == LossSum(soft_bce.loss(z, t)) and total.value == soft_bce.sum(z, t)
    losses, weights = LossSum(), rng.random(1000)
    soft_bce.accumulate_gradient_hessian(z, t, losses, weights=weights)
    assert losses.divided_by(LossSum(weights)) == soft_bce.mean(z, t, weights=weights)


def test_merging_with_itself():
    total = LossSum([0.1])
    total.merge(total)
    assert total == LossSum([0.1, 0.1])
    total += total
    assert total.value == pytest.approx(0.4) and total.count == 4
    assert total.divided_by(total) == 1


def test_pickle_copy_and_bytes():
    total = LossSum([1e300, -3.5, 5e-324])
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(total, protocol)) == total
    assert len(total.to_bytes()) == 288 and len(pickle.dumps(total)) < 400
    assert LossSum.from_bytes(total.to_bytes()) == total
    for other in (copy.copy(total), copy.deepcopy(total)):
        other.add(1.0)
        assert other != total and other.count == total.count + 1
    for bad in (b"", total.to_bytes()[:-1], b"x" * 288):
        with pytest.raises(ValueError, match="^bytes are not a serialised LossSum$"):
            LossSum.from_bytes(bad)
    with pytest.raises(TypeError):
        hash(total)


def test_values_that_are_not_finite():
    assert LossSum([math.inf]).value == math.inf
    assert math.isnan(LossSum([math.inf, -math.inf]).value)
    assert repr(LossSum([math.nan])) == "LossSum(value=nan, count=1)"
    assert repr(LossSum([0.5, 1])) == "LossSum(value=1.5, count=2)"


def test_other_operands():
    total = LossSum([1.0])
    assert (total + total).value == 2 and total.value == 1
    assert total != 1.0 and total != LossSum([1.0, 0.0])
    for bad in (1.0, [1.0], None):
        with pytest.raises(TypeError):
            total += bad
        with pytest.raises(TypeError):
            total.merge(bad)
    with pytest.raises((TypeError, ValueError)):
        sum([total], 3)
    with pytest.raises(TypeError):
        soft_bce.accumulate([0.0], [0.5], 0.0)
