"""A fit in passes over rows that lie anywhere: Model, Solver, Task, State."""

import pickle

import numpy as np
import pytest

import soft_bce
from soft_bce._core import COVARIANCES, Model, State, Task


@pytest.fixture
def data(rng):
    x = rng.normal(size=(300, 4))
    t = soft_bce.sigmoid(x @ [1.0, -1.0, 0.5, 0.0] + rng.normal(size=300))
    return x, t, {"weights": rng.random(300), "clusters": rng.integers(0, 20, 300).astype(np.uint64)}


def fit_in_parts(model, x, t, rows, parts, order=list):
    solver, fit = model.solver(x.shape[1]), None
    while fit is None:
        task = pickle.loads(pickle.dumps(solver.task()))
        states = []
        for part in parts:
            of_part = {name: values[part] for name, values in rows.items()}
            state = task.evaluate(x[part], t[part], **of_part)
            states.append(pickle.loads(pickle.dumps(state)))
        total = task.start()
        for state in order(states):
            total.merge(state)
        fit = solver.step(total)
    return fit


def assert_same(a, b):
    assert (a.coefficients == b.coefficients).all()
    for name in COVARIANCES:
        assert (a.covariance(name) == b.covariance(name)).all(), name
        for left, right in zip(a.marginal_effects(name), b.marginal_effects(name)):
            assert (left == right).all(), name
    assert (a.mean_loss, a.mean_excess, a.rows, a.clusters) == (
        b.mean_loss,
        b.mean_excess,
        b.rows,
        b.clusters,
    )


def test_any_partition_gives_the_same_fit(data, rng):
    x, t, rows = data
    for options in ({}, {"penalty": "ridge", "alpha": 0.1}, {"intercept": False}):
        model = Model(**options)
        right = model.fit(x, t, **rows)
        order = rng.permutation(300)
        for parts in ([slice(None)], [slice(0), slice(7), slice(7, 300)], np.array_split(order, 16)):
            assert_same(fit_in_parts(model, x, t, rows, parts), right)
            assert_same(fit_in_parts(model, x, t, rows, parts, order=reversed), right)
    # A row less is another fit.
    other = fit_in_parts(Model(), x, t, rows, [slice(299)])
    assert (other.coefficients != Model().fit(x, t, **rows).coefficients).any()


def test_columns_and_types(data):
    x, t, rows = data
    right = Model().fit(x, t, **rows)
    assert_same(Model().fit(list(np.asfortranarray(x).T), t, **rows), right)
    assert_same(Model().fit([x[:, 0], *np.asfortranarray(x).T[1:]], t, **rows), right)
    single = x.astype(np.float32), t.astype(np.float32)
    weights = {"weights": rows["weights"].astype(np.float32)}
    a = Model().fit(*single, **weights)
    b = Model().fit(list(np.asfortranarray(single[0]).T), single[1], **weights)
    assert (a.coefficients == b.coefficients).all()
    none = Model().fit([], t)
    assert soft_bce.sigmoid(none.coefficients[0]) == pytest.approx(t.mean(), rel=1e-14)


def test_errors_name_the_row_of_the_data_set(data):
    x, t, rows = data
    task = Model().solver(4).task()
    bad = x.copy()
    bad[105, 2] = np.nan
    with pytest.raises(ValueError, match="feature 2 NaN in row 1105") as caught:
        task.evaluate(bad[100:200], t[100:200], first_row=1100)
    assert (caught.value.row, caught.value.columns, caught.value.argument) == (1105, [2], "features")
    t[3] = 1.5
    with pytest.raises(ValueError, match="target 1.5 in row 3") as caught:
        Model().fit(x, t)
    assert (caught.value.row, caught.value.value) == (3, 1.5)
    # Not of rows of weight 0.
    rows["weights"][3] = 0
    assert np.isfinite(Model().fit(x, t, **rows).coefficients).all()
    for arguments, said in (
        ((x[:, 0], t), "features has 1 dimensions, not 2"),
        ((x, t[:, None]), "targets has 2 dimensions, not 1"),
        ((x, t[:5]), "targets"),
        (([x], t), r"features\[0\] has 2 dimensions"),
    ):
        with pytest.raises(ValueError, match=said):
            Model().fit(*arguments)
    with pytest.raises(TypeError, match="clusters must be an array of dtype uint64"):
        Model().fit(x, t, clusters=np.zeros(300))


def test_states_of_other_tasks_are_refused(data):
    x, t, rows = data
    solver = Model().solver(4)
    first = solver.task().evaluate(x, t)
    solver.step(first)
    with pytest.raises(ValueError, match="another task|different tasks"):
        solver.step(first)
    with pytest.raises(ValueError, match="different tasks"):
        solver.task().start().merge(first)
    for bad in (b"", first.to_bytes()[:-1], solver.task().to_bytes()):
        with pytest.raises(ValueError, match="no state of this version"):
            State.from_bytes(bad)
        with pytest.raises(ValueError, match="no task of this version"):
            Task.from_bytes(first.to_bytes())
    assert State.from_bytes(first.to_bytes()) == first
    for options in ({"weight_kind": "x"}, {"penalty": "x"}):
        with pytest.raises(ValueError, match="must be"):
            Model(**options)
    with pytest.raises(ValueError, match="ridge penalty must be finite"):
        Model(penalty="ridge", alpha=-1.0).solver(4)
    with pytest.raises(ValueError, match="covariance is .x. and must be one of nonrobust"):
        Model().fit(x, t).covariance("x")
