"""Fits and losses in parts are those of the whole, bit for bit; what engines add is in heavy/clusters.py."""

import threading

import numpy as np
import pytest

import soft_bce
from soft_bce import distributed
from soft_bce._core import Model

FEATURES = ["a", "b", "c"]


def table(rows=700):
    rng = np.random.default_rng(28)
    columns = {
        name: rng.standard_normal(rows) * scale for name, scale in zip(FEATURES, (1e-3, 1, 1e4), strict=True)
    }
    logit = columns["a"] * 1e3 - columns["b"] + columns["c"] / 1e4 + rng.standard_normal(rows)
    rate = 1 / (1 + np.exp(-logit))
    columns["rate"] = np.where(rng.random(rows) < 0.2, np.round(rate), rate)
    columns["size"] = np.exp(2 * rng.standard_normal(rows))
    columns["before"] = rng.standard_normal(rows)
    columns["firm"] = rng.integers(-20, 20, rows)
    return columns


def cut(columns, parts, seed=0):
    order = np.random.default_rng(seed).permutation(len(columns["rate"]))
    bounds = np.linspace(0, 1, parts + 1) ** 2 * len(order)
    pieces = [order[int(a) : int(b)] for a, b in zip(bounds[:-1], bounds[1:], strict=True)]
    return [{name: column[piece] for name, column in columns.items()} for piece in pieces]


def bits(fit, covariance="hc0"):
    return fit.coefficients.tobytes() + fit.covariance(covariance).tobytes()


@pytest.mark.parametrize("parts", [1, 2, 7, 64])
def test_a_fit_in_parts_is_that_of_the_whole(parts):
    columns = table()
    x = np.column_stack([columns[name] for name in FEATURES])
    rows = distributed.local(
        [*cut(columns, parts, seed=parts), *cut({k: v[:0] for k, v in columns.items()}, 1)]
    )
    plain = distributed.fit(rows, "rate", FEATURES)
    assert bits(plain) == bits(Model().fit(x, columns["rate"]))
    others = {"weights": "size", "offset": "before", "clusters": "firm"}
    found = distributed.fit(rows, "rate", FEATURES, penalty="ridge", alpha=0.01, **others)
    arrays = {argument: columns[name] for argument, name in others.items()}
    arrays["clusters"] = arrays["clusters"].view(np.uint64)
    whole = Model(penalty="ridge", alpha=0.01).fit(x, columns["rate"], **arrays)
    assert found.clusters == 40
    assert bits(found, "clustered") == bits(whole, "clustered")


@pytest.mark.parametrize("parts", [1, 5])
def test_losses_and_sums(parts, monkeypatch):
    columns = table()
    rows = distributed.local(cut(columns, parts))
    z, t, w = columns["b"], columns["rate"], columns["size"]
    found = distributed.loss(rows, "b", "rate", weights="size", label_smoothing=0.1)
    assert found.sum.value == soft_bce.sum(z, t, weights=w, label_smoothing=0.1)
    assert found.mean == soft_bce.mean(z, t, weights=w, label_smoothing=0.1)
    assert distributed.loss(rows, "b", "rate").mean == soft_bce.mean(z, t)
    assert distributed.exact_sum(rows, "c") == soft_bce.LossSum(columns["c"])
    fitted = bits(distributed.fit(rows, "rate", FEATURES, weights="size"))
    for backend in soft_bce.backends():
        monkeypatch.setenv("SOFT_BCE_BACKEND", backend)
        again = distributed.loss(rows, "b", "rate", weights="size", label_smoothing=0.1)
        assert (again.sum, again.weight) == (found.sum, found.weight)
        assert bits(distributed.fit(rows, "rate", FEATURES, weights="size")) == fitted
    monkeypatch.setenv("SOFT_BCE_BACKEND", "abacus")
    with pytest.raises(ValueError, match="partition 0: backend is .*abacus"):
        distributed.loss(rows, "b", "rate")
    with pytest.raises(ValueError, match="partition 0: backend is .*abacus"):
        distributed.fit(rows, "rate", FEATURES)


def test_types_and_layouts_of_parts_may_differ():
    columns = {name: np.round(column * 64) / 64 for name, column in table().items()}
    columns["a"] = np.arange(700) % 13
    expected = bits(distributed.fit(distributed.local([columns]), "rate", FEATURES))
    parts = cut(columns, 3)
    parts[0] = {name: column.astype(np.float32) for name, column in parts[0].items()}
    parts[1]["a"] = parts[1]["a"].astype(np.int8)
    matrix = np.zeros((len(parts[2]["a"]), 9))
    for place, (name, column) in enumerate(parts[2].items()):
        matrix[:, place] = column
        parts[2][name] = matrix[::-1, place][::-1]
    assert bits(distributed.fit(distributed.local(parts), "rate", FEATURES)) == expected


@pytest.mark.parametrize("matrix", [False, True])
def test_nothing_is_rounded_to_the_type_of_the_features(matrix):
    """Columns of float32 beside targets and weights of float64: the fit of all as float64."""
    columns = table()
    narrow = {**columns, **{name: columns[name].astype(np.float32) for name in FEATURES}}
    wide = {**narrow, **{name: narrow[name].astype(np.float64) for name in FEATURES}}
    others = {"weights": "size", "offset": "before"}
    if matrix:
        fits = []
        for of in (narrow, wide):
            arrays = {argument: of[name] for argument, name in others.items()}
            fits.append(Model().fit(np.column_stack([of[name] for name in FEATURES]), of["rate"], **arrays))
    else:
        fits = [distributed.fit(distributed.local([of]), "rate", FEATURES, **others) for of in (narrow, wide)]
    assert bits(fits[0]) == bits(fits[1])
    for name, value in (("rate", 1 + 1e-9), ("rate", -1e-60), ("size", -1e-60)):
        spoilt = {**narrow, name: narrow[name].copy()}
        spoilt[name][5] = value
        with pytest.raises(ValueError, match=f"{value!r}.* row 5 "):
            distributed.fit(distributed.local([spoilt]), "rate", FEATURES, **others)
    # A weight that float32 has not is one all the same.
    tiny = {**narrow, "size": narrow["size"] * 1e-60}
    assert distributed.fit(distributed.local([tiny]), "rate", FEATURES, weights="size").rows == 700


def test_the_mean_is_over_the_weights_that_the_losses_have():
    z, t, w = np.float32([1.0, -2.0]), np.float32([0.5, 0.25]), np.array([0.1, 0.7])
    found = distributed.loss(distributed.local([{"z": z, "t": t, "w": w}]), "z", "t", weights="w")
    assert found.mean == soft_bce.mean(z, t, weights=w)
    assert found.weight == soft_bce.LossSum(w.astype(np.float32))


def test_states_that_are_merged_stay_as_they_are():
    states = [distributed.Loss(soft_bce.LossSum([x]), soft_bce.LossSum([1.0])) for x in (0.5, 0.25)]
    once, again = distributed.merged(states), distributed.merged(states)
    assert once == again
    assert (once.mean, states[0].sum.value) == (0.375, 0.5)
    solver = Model().solver(1)
    states = [solver.task().evaluate([np.ones(2)], np.array([0.5, t])) for t in (0.1, 0.9)]
    assert distributed.merged(states) == distributed.merged(states)


@pytest.mark.parametrize(
    ("kind", "message", "spoil"),
    [
        (ValueError, r"partition 2: target 1\.5 in row 3", lambda part: part["rate"].__setitem__(3, 1.5)),
        (ValueError, r"partition 2: feature 1 .*nan in row 5", lambda part: part["b"].__setitem__(5, np.nan)),
        (ValueError, r"partition 2: there is no column 'c'", lambda part: part.pop("c")),
        (
            TypeError,
            r"partition 2: column 'a' .* no number",
            lambda part: part.update(a=np.array(["x"] * 300)),
        ),
        (ValueError, r"partition 2: .* length", lambda part: part.update(a=part["a"][1:])),
        (TypeError, r"partition 2: column 'firm' .* integers", lambda part: part.update(firm=part["b"])),
    ],
)
def test_errors_name_partition_and_row(kind, message, spoil):
    parts = cut(table(), 4)
    spoil(parts[2])
    with pytest.raises(kind, match=f"(?i){message}"):
        distributed.fit(distributed.local(parts), "rate", FEATURES, clusters="firm")


def test_rows_are_counted_through_the_batches_of_a_partition():
    class Batches:
        def reduce(self, part, columns):
            batches = cut(table(), 4)
            batches[2]["rate"][3] = -1.0
            return part(iter(batches), 9)

    before = 700 // 4
    with pytest.raises(ValueError, match=f"partition 9: target -1 in row {before + 3} "):
        distributed.fit(Batches(), "rate", FEATURES)
    with pytest.raises(ValueError, match=f"partition 9: .*-1.* in the rows from {before} on"):
        distributed.loss(Batches(), "b", "rate")


def test_options_that_are_of_no_use():
    rows = distributed.local(cut(table(), 2))
    for value in (threading.Lock(), lambda: 0):
        with pytest.raises(TypeError, match="^focal cannot be sent to workers: "):
            distributed.loss(rows, "b", "rate", focal=value)
    with pytest.raises(TypeError, match="^partition 0: "):
        distributed.loss(rows, "b", "rate", focal="much")
    with pytest.raises(ValueError, match=r"^partition 0: label_smoothing is 2.0 and must be in \[0, 1\]"):
        distributed.loss(rows, "b", "rate", label_smoothing=2.0)
    with pytest.raises(TypeError, match="real number"):
        distributed.fit(rows, "rate", FEATURES, penalty="ridge", alpha=threading.Lock())


def test_nothing():
    for parts in ([], cut({name: column[:0] for name, column in table().items()}, 2)):
        with pytest.raises(ValueError, match="too few rows"):
            distributed.fit(distributed.local(parts), "rate", FEATURES)
        assert distributed.loss(distributed.local(parts), "b", "rate").weight.value == 0.0
        assert distributed.exact_sum(distributed.local(parts), "b").value == 0.0


def test_dask_takes_frames_of_dask():
    with pytest.raises(TypeError, match=r"dask\(\) takes a Dask DataFrame, not builtins.dict"):
        distributed.dask({"x": [1.0]})
