"""soft_bce.boosting against the libraries' own objectives."""

import doctest
import pickle

import lightgbm
import numpy as np
import pytest
import xgboost

import soft_bce
import soft_bce.boosting
from soft_bce.boosting import CrossEntropy, initial_margin

ROUNDS = 50
XGBOOST = {"max_depth": 4, "eta": 0.3, "nthread": 1, "base_score": 0.5, "tree_method": "hist"}
LIGHTGBM = {"num_leaves": 15, "num_threads": 1, "verbose": -1, "boost_from_average": False, "seed": 1}
KINDS = ["hard", "soft"]


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(20261128)
    x = rng.normal(size=(2000, 5))
    p = soft_bce.sigmoid(1.5 * x[:, 0] - x[:, 1] * x[:, 2] - 0.5)
    soft = np.clip(p + rng.normal(0, 0.1, 2000), 0, 1)
    hard = (rng.random(2000) < p).astype(float)
    return x, {"soft": soft, "hard": hard}, rng.random(2000) + 0.5


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("weighted", [False, True])
def test_xgboost_as_its_own(data, kind, weighted):
    x, labels, weights = data
    weights = weights if weighted else None
    matrix = xgboost.DMatrix(x, labels[kind], weight=weights)
    own = xgboost.train({**XGBOOST, "objective": "binary:logistic"}, matrix, ROUNDS)
    right = own.predict(matrix, output_margin=True)
    assert right.std() > 0.5
    custom = {**XGBOOST, "base_score": 0.0}
    booster = xgboost.train(custom, matrix, ROUNDS, obj=CrossEntropy())
    found = booster.predict(matrix)
    np.testing.assert_allclose(found, right, rtol=0, atol=1e-6 * max(1, abs(right).max()))
    np.testing.assert_allclose(soft_bce.sigmoid(found), own.predict(matrix), atol=1e-6)
    # The scikit-learn interface.
    model = xgboost.XGBRegressor(
        n_estimators=ROUNDS,
        objective=CrossEntropy(),
        max_depth=4,
        learning_rate=0.3,
        n_jobs=1,
        base_score=0.0,
        tree_method="hist",
    )
    model.fit(x, labels[kind], sample_weight=weights)
    np.testing.assert_allclose(model.predict(x), found, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("weighted", [False, True])
def test_lightgbm_as_its_own(data, kind, weighted):
    x, labels, weights = data
    weights = weights if weighted else None

    def train(objective):
        dataset = lightgbm.Dataset(x, labels[kind], weight=weights)
        booster = lightgbm.train({**LIGHTGBM, "objective": objective}, dataset, ROUNDS)
        return booster.predict(x, raw_score=True)

    found = train(CrossEntropy())
    right = train("cross_entropy")
    assert right.std() > 0.5
    np.testing.assert_allclose(found, right, rtol=0, atol=1e-6)
    if kind == "hard":
        np.testing.assert_allclose(found, train("binary"), rtol=0, atol=1e-6)
    model = lightgbm.LGBMRegressor(
        n_estimators=ROUNDS, objective=CrossEntropy(), num_leaves=15, n_jobs=1, verbose=-1
    )
    model.fit(x, labels[kind], sample_weight=weights)
    np.testing.assert_allclose(model.predict(x), found, rtol=0, atol=1e-6)


def test_lightgbms_binary_is_wrong_for_fractions(data):
    x, labels, _ = data
    fractions = np.clip(labels["soft"], 0.01, 0.99)

    def mean_prediction(objective):
        booster = lightgbm.train({**LIGHTGBM, "objective": objective}, lightgbm.Dataset(x, fractions), ROUNDS)
        return soft_bce.sigmoid(booster.predict(x, raw_score=True)).mean()

    assert fractions.mean() < 0.6
    assert mean_prediction("binary") > 0.99
    assert mean_prediction(CrossEntropy()) == pytest.approx(fractions.mean(), abs=0.005)


def test_starting_from_the_mean(data):
    x, labels, _ = data
    y = labels["soft"] * 0.1
    start = initial_margin(y)
    assert soft_bce.sigmoid(start) == pytest.approx(y.mean())
    matrix = xgboost.DMatrix(x, y)
    for base_score, few in ((0.0, False), (start, True)):
        booster = xgboost.train({**XGBOOST, "base_score": base_score}, matrix, 1, obj=CrossEntropy())
        near = abs(soft_bce.sigmoid(booster.predict(matrix)).mean() - y.mean()) < 0.005
        assert near == few
    dataset = lightgbm.Dataset(x, y, init_score=np.full(len(y), start))
    booster = lightgbm.train({**LIGHTGBM, "objective": CrossEntropy()}, dataset, 20)
    assert soft_bce.sigmoid(booster.predict(x) + start).mean() == pytest.approx(y.mean(), abs=0.002)


def test_options_change_the_fit(data):
    x, labels, _ = data
    matrix = xgboost.DMatrix(x, labels["hard"])
    heavier = {**XGBOOST, "objective": "binary:logistic", "scale_pos_weight": 3.0}
    right = xgboost.train(heavier, matrix, 20).predict(matrix, output_margin=True)
    custom = {**XGBOOST, "base_score": 0.0}
    found = xgboost.train(custom, matrix, 20, obj=CrossEntropy(pos_weight=3.0)).predict(matrix)
    np.testing.assert_allclose(found, right, rtol=0, atol=2e-6)
    smoothed = xgboost.train(custom, matrix, 20, obj=CrossEntropy(label_smoothing=0.2)).predict(matrix)
    assert abs(smoothed).max() < abs(found).max()


def test_metrics(data):
    x, labels, weights = data
    y = labels["soft"]
    objective = CrossEntropy()
    matrix = xgboost.DMatrix(x, y, weight=weights)
    log = {}
    params = {**XGBOOST, "base_score": 0.0, "disable_default_eval_metric": 1}
    booster = xgboost.train(
        params,
        matrix,
        20,
        obj=objective,
        custom_metric=objective.xgboost_metric,
        evals=[(matrix, "train")],
        evals_result=log,
        verbose_eval=False,
    )
    found = log["train"]["soft_bce"]
    assert found[-1] == pytest.approx(soft_bce.mean(booster.predict(matrix), y, weights=weights), rel=1e-6)
    assert found[-1] < found[0]
    dataset = lightgbm.Dataset(x, y)
    log = {}
    lightgbm.train(
        {**LIGHTGBM, "objective": objective, "metric": "None"},
        dataset,
        20,
        valid_sets=[dataset],
        feval=objective.lightgbm_metric,
        callbacks=[lightgbm.record_evaluation(log)],
    )
    assert log["training"]["soft_bce"][-1] < log["training"]["soft_bce"][0]


def test_several_outputs(data):
    x, labels, _ = data
    y = np.stack([labels["soft"], labels["hard"]], axis=1)
    matrix = xgboost.DMatrix(x, y)
    booster = xgboost.train({**XGBOOST, "base_score": 0.0}, matrix, 10, obj=CrossEntropy())
    for column in range(2):
        single = xgboost.DMatrix(x, y[:, column])
        one = xgboost.train({**XGBOOST, "base_score": 0.0}, single, 10, obj=CrossEntropy())
        np.testing.assert_allclose(booster.predict(matrix)[:, column], one.predict(single), atol=1e-6)


def test_bad_labels_are_refused(data):
    x, labels, _ = data
    y = labels["soft"].copy()
    y[7] = 1.5
    with pytest.raises(ValueError, match=r"t\[7\] is 1.5"):
        xgboost.train({**XGBOOST, "base_score": 0.0}, xgboost.DMatrix(x, y), 2, obj=CrossEntropy())
    with pytest.raises(ValueError, match=r"t\[7\] is 1.5"):
        lightgbm.train({**LIGHTGBM, "objective": CrossEntropy()}, lightgbm.Dataset(x, y), 2)


def test_pickling_and_docstrings():
    objective = pickle.loads(pickle.dumps(CrossEntropy(pos_weight=2.0)))
    assert objective.pos_weight == 2.0
    result = doctest.testmod(soft_bce.boosting)
    assert result.failed == 0 and result.attempted > 2
