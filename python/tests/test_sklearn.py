"""soft_bce.sklearn: right values, scikit-learn's own checks, and what works with the rest of it."""

import doctest
import pickle
import sys

import mpmath
import numpy as np
import pytest
from sklearn import set_config
from sklearn.base import clone
from sklearn.calibration import calibration_curve
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.validation import check_is_fitted

import soft_bce
import soft_bce.sklearn
from soft_bce.sklearn import FractionalLogit, FractionalLogitCV, TemperatureScaling


@pytest.fixture
def data(rng):
    X = rng.normal(size=(500, 3))
    logit = 0.5 + X @ [1.0, -0.5, 0.25] + rng.normal(size=500)
    y = soft_bce.sigmoid(logit)
    y[rng.random(500) < 0.1] = 1
    return X, y


def right_fit(X, y, weights=None, ridge=0.0):
    """Newton's method at 40 digits: coefficients (intercept first) and nonrobust, hc0 covariances."""
    with mpmath.workdps(40):
        n, d = X.shape
        w = [mpmath.mpf(1)] * n if weights is None else [mpmath.mpf(float(x)) for x in weights]
        A = mpmath.matrix(n, d + 1)
        for i in range(n):
            A[i, 0] = 1
            for j in range(d):
                A[i, j + 1] = mpmath.mpf(float(X[i, j]))
        t = [mpmath.mpf(float(x)) for x in y]
        total = mpmath.fsum(w)
        b = mpmath.zeros(d + 1, 1)
        for _ in range(60):
            z = A * b
            s = [1 / (1 + mpmath.exp(-x)) for x in z]
            g, H, B = mpmath.zeros(d + 1, 1), mpmath.zeros(d + 1), mpmath.zeros(d + 1)
            for i in range(n):
                x = A[i, :].T
                r = w[i] * (s[i] - t[i])
                g += r * x
                outer = x * x.T
                H += w[i] * s[i] * (1 - s[i]) * outer
                B += r * r * outer
            penalised = H.copy()
            for j in range(1, d + 1):
                g[j] += total * ridge * b[j]
                penalised[j, j] += total * ridge
            step = mpmath.lu_solve(penalised, g)
            b -= step
            if mpmath.norm(step) < mpmath.mpf(10) ** -30:
                break
        inverse = H**-1
        as_array = lambda m: np.array(m.tolist(), dtype=float)
        return as_array(b)[:, 0], as_array(inverse), as_array(inverse * B * inverse)


@pytest.mark.parametrize("weighted", [False, True])
def test_right_values(data, rng, weighted):
    X, y = (part[:80] for part in data)
    weights = rng.random(80) if weighted else None
    b, nonrobust, hc0 = right_fit(X, y, weights)
    model = FractionalLogit().fit(X, y, weights)
    np.testing.assert_allclose(np.append(model.intercept_, model.coef_), b, rtol=1e-14)
    np.testing.assert_allclose(model.covariance_, hc0, rtol=1e-12)
    np.testing.assert_allclose(
        model.summary("nonrobust").standard_errors ** 2, np.diag(nonrobust), rtol=1e-12
    )
    ridge = FractionalLogit(penalty="ridge", alpha=0.1).fit(X, y, weights)
    b, _, _ = right_fit(X, y, weights, ridge=mpmath.mpf(0.1))
    np.testing.assert_allclose(np.append(ridge.intercept_, ridge.coef_), b, rtol=1e-13)
    # The test can tell.
    assert abs(ridge.coef_ - model.coef_).max() > 0.01


def test_as_logistic_regression_on_hard_labels(data):
    X, y = data
    y = (y > 0.6).astype(int)
    theirs = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(X, y)
    ours = FractionalLogit().fit(X, y)
    np.testing.assert_allclose(ours.coef_, theirs.coef_[0], rtol=1e-5)
    np.testing.assert_allclose(ours.predict(X), theirs.predict_proba(X)[:, 1], atol=1e-6)
    ridge = LogisticRegression(C=0.5, tol=1e-10, max_iter=1000).fit(X, y)
    ours = FractionalLogit(penalty="ridge", alpha=1 / (len(y) * 0.5)).fit(X, y)
    np.testing.assert_allclose(ours.coef_, ridge.coef_[0], rtol=1e-5)


def test_same_bits_in_any_order_layout_and_number_of_threads(data, rng):
    X, y = data
    weights = rng.random(len(y))
    right = FractionalLogit().fit(X, y, weights)
    order = rng.permutation(len(y))
    for model in (
        FractionalLogit().fit(np.asfortranarray(X), y, weights),
        FractionalLogit().fit(X[order], y[order], weights[order]),
        FractionalLogit(threads=3).fit(X, y, weights),
        FractionalLogit().fit(np.repeat(X, 2, axis=1)[:, ::2], y, weights),
        FractionalLogit().fit(X.tolist(), y.tolist(), weights.tolist()),
    ):
        assert (model.coef_ == right.coef_).all() and model.intercept_ == right.intercept_
        assert (model.covariance_ == right.covariance_).all()
        assert (model.predict(X) == right.predict(np.asfortranarray(X))).all()
    parts = [right.predict(X[:100]), right.predict(X[100:])]
    assert (np.concatenate(parts) == right.predict(X)).all()


def test_single_precision(data):
    X, y = (part.astype(np.float32) for part in data)
    single, double = FractionalLogit().fit(X, y), FractionalLogit().fit(X.astype(float), y.astype(float))
    np.testing.assert_allclose(single.coef_, double.coef_, rtol=1e-12)
    # Targets of float64 are not rounded to the features' float32.
    mixed = FractionalLogit().fit(X, data[1])
    np.testing.assert_array_equal(mixed.coef_, FractionalLogit().fit(X.astype(float), data[1]).coef_)


def test_offset_trials_frequency_and_clusters(data, rng):
    X, y = data
    offset = rng.normal(size=len(y))
    model = FractionalLogit().fit(X, y, offset=offset)
    np.testing.assert_allclose(
        model.predict(X, offset=offset), soft_bce.sigmoid(model.predict_logit(X) + offset), rtol=1e-14
    )
    trials = rng.integers(1, 9, len(y))
    successes = rng.binomial(trials, y)
    of_counts = FractionalLogit(weight_kind="frequency").fit(X, successes, trials=trials)
    of_fractions = FractionalLogit(weight_kind="frequency").fit(X, successes / trials, trials.astype(float))
    np.testing.assert_allclose(of_counts.coef_, of_fractions.coef_, rtol=1e-12)
    repeated = FractionalLogit().fit(np.repeat(X, trials, axis=0), np.repeat(y, trials))
    counted = FractionalLogit(weight_kind="frequency").fit(X, y, trials)
    np.testing.assert_allclose(counted.covariance_, repeated.covariance_, rtol=1e-10)
    clusters = np.array([f"firm {i % 50}" for i in range(len(y))])
    clustered = FractionalLogit().fit(X, y, clusters=clusters)
    assert clustered.clusters_ == 50 and (clustered.coef_ == FractionalLogit().fit(X, y).coef_).all()
    assert "clustered_small_sample" in str(clustered.summary())
    ratio = clustered.covariance_ / clustered.summary("clustered").standard_errors[0] ** 2
    assert ratio[0, 0] == pytest.approx(50 / 49 * 499 / 496)
    # Each row a cluster of its own: the robust errors.
    single = FractionalLogit(covariance="clustered").fit(X, y, clusters=np.arange(len(y)))
    np.testing.assert_allclose(single.covariance_, FractionalLogit().fit(X, y).covariance_, rtol=1e-10)


def test_summary(data):
    X, y = data
    model = FractionalLogit().fit(X, y)
    summary = model.summary()
    assert list(summary.names) == ["(intercept)", "x0", "x1", "x2"] and summary.covariance == "hc0"
    np.testing.assert_allclose(summary.z, summary.values / model.standard_errors_)
    assert (summary.lower < summary.values).all() and (summary.p_values[:2] < 1e-3).all()
    half = summary.upper - summary.values
    np.testing.assert_allclose(half / summary.standard_errors, 1.959964, rtol=1e-6)
    text = str(summary)
    assert "hc0 errors" in text and len(text.splitlines()) == 6
    effects = model.marginal_effects()
    h = 1e-6
    for column in range(3):
        moved = X.copy()
        moved[:, column] += h
        slope = (model.predict(moved) - model.predict(X)).mean() / h
        assert effects.values[column] == pytest.approx(slope, rel=1e-4)
    with pytest.raises(ValueError, match="covariance is 'hc9' and must be one of nonrobust, quasi"):
        model.summary("hc9")
    with pytest.raises(ValueError, match="covariance 'clustered' needs clusters"):
        model.summary("clustered")
    with pytest.raises(ValueError, match="level"):
        model.summary(level=95)
    assert len(FractionalLogit(fit_intercept=False).fit(X, y).summary().names) == 3


def test_score_is_the_deviance_explained(data, rng):
    X, y = data
    weights = rng.random(len(y))
    model = FractionalLogit().fit(X, y, weights)
    assert model.score(X, y, weights) == pytest.approx(model.deviance_explained_, rel=1e-12)
    p, mean = model.predict(X), np.average(y, weights=weights)
    kl = lambda p: np.sum(
        weights
        * (
            np.where(y == 0, 0, y * np.log(np.maximum(y, 1e-300) / p))
            + np.where(y == 1, 0, (1 - y) * np.log(np.maximum(1 - y, 1e-300) / (1 - p)))
        )
    )
    assert model.score(X, y, weights) == pytest.approx(1 - kl(p) / kl(mean), rel=1e-10)
    assert np.isnan(model.score(X, np.full(len(y), 0.5)))


def test_with_the_rest_of_scikit_learn(data):
    X, y = data
    pipeline = make_pipeline(StandardScaler(), FractionalLogit(penalty="ridge"))
    search = GridSearchCV(pipeline, {"fractionallogit__alpha": [1e-4, 1e-2, 1, 100]}, cv=4).fit(X, y)
    assert search.best_params_["fractionallogit__alpha"] <= 1e-2
    assert search.best_score_ > 0.2
    scores = cross_val_score(FractionalLogit(), X, y, groups=np.arange(500) % 7, cv=GroupKFold(5))
    assert len(scores) == 5 and (scores > 0.1).all()
    restored = pickle.loads(pickle.dumps(search))
    assert (restored.predict(X) == search.predict(X)).all()
    model = FractionalLogit().fit(X, y)
    assert str(pickle.loads(pickle.dumps(model)).summary()) == str(model.summary())
    assert clone(FractionalLogit(alpha=3.0)).alpha == 3.0


def test_metadata_routing(data, rng):
    X, y = data
    offset, weights, clusters = rng.normal(size=500), rng.random(500), np.arange(500) % 25
    set_config(enable_metadata_routing=True)
    try:
        model = FractionalLogit().set_fit_request(sample_weight=True, offset=True, clusters=True)
        model.set_predict_request(offset=True).set_score_request(offset=True, sample_weight=True)
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        pipeline = make_pipeline(scaler, model)
        metadata = {"sample_weight": weights, "offset": offset, "clusters": clusters}
        pipeline.fit(X, y, **metadata)
        direct = FractionalLogit().fit(StandardScaler().fit_transform(X), y, weights, offset=offset)
        assert (pipeline[-1].coef_ == direct.coef_).all() and pipeline[-1].clusters_ == 25
        scores = cross_val_score(pipeline, X, y, params=metadata, cv=3)
        assert (
            scores != cross_val_score(make_pipeline(StandardScaler(), FractionalLogit()), X, y, cv=3)
        ).all()
    finally:
        set_config(enable_metadata_routing=False)


def test_cross_validation_of_the_penalty(rng):
    X = rng.normal(size=(120, 30))
    y = soft_bce.sigmoid(X[:, 0] - X[:, 1] + rng.normal(size=120))
    weights = rng.random(120)
    for penalty, l1_ratio in (("ridge", 0.0), ("elastic_net", 0.9)):
        model = FractionalLogitCV(penalty=penalty, l1_ratio=l1_ratio, alphas=[1e-6, 1e-2, 0.05, 10], cv=4)
        model.fit(X, y, weights)
        assert model.alpha_ in (1e-2, 0.05)
        assert model.losses_.shape == (4, 4) and model.alphas_[0] == 10
        single = FractionalLogit(penalty=penalty, l1_ratio=l1_ratio, alpha=model.alpha_).fit(X, y, weights)
        assert (model.coef_ == single.coef_).all()
        assert (model.predict(X) == single.predict(X)).all() and model.score(X, y) > 0.3
        assert "alpha" not in model.get_params()
        assert (pickle.loads(pickle.dumps(clone(model).fit(X, y, weights))).coef_ == model.coef_).all()
    assert (model.coef_ == 0).sum() > 5
    # A loss of a fold is the one of a model that has not seen it.
    train, test = np.arange(30, 120), np.arange(30)
    unseen = FractionalLogit(penalty="elastic_net", l1_ratio=0.9, alpha=10).fit(
        X[train], y[train], weights[train]
    )
    right = soft_bce.mean(unseen.predict_logit(X[test]), y[test], weights=weights[test], excess=True)
    assert model.losses_[0, 0] == right
    for bad in ([], [-1.0], [[1.0]]):
        with pytest.raises(ValueError, match="alphas must be numbers >= 0"):
            FractionalLogitCV(alphas=bad).fit(X, y)


def test_temperature_scaling(rng):
    z = rng.normal(0, 2, 5000)
    y = (rng.random(5000) < soft_bce.sigmoid(z)).astype(int)
    scaling = TemperatureScaling().fit(3 * z, y)
    assert scaling.temperature_ == pytest.approx(3, rel=0.1)
    before, after = soft_bce.sigmoid(3 * z), scaling.predict(3 * z)
    gap = lambda p: np.subtract(*calibration_curve(y, p, n_bins=10)).__abs__().mean()
    assert gap(after) < 0.3 * gap(before)
    temperatures = np.linspace(0.9, 1.1, 5) * scaling.temperature_
    losses = [soft_bce.mean(3 * z / temperature, y) for temperature in temperatures]
    assert np.argmin(losses) == 2
    shifted = TemperatureScaling(fit_intercept=True).fit(3 * z - 6, y)
    np.testing.assert_allclose(shifted.predict(3 * z - 6), after, atol=0.02)
    assert shifted.bias_ == pytest.approx(2, rel=0.2)
    np.testing.assert_allclose(soft_bce.sigmoid(scaling.transform(3 * z)[:, 0]), after)
    with pytest.raises(ValueError, match="no temperature is best"):
        scaling.fit(-z, y)
    with pytest.raises(ValueError, match="2 columns"):
        scaling.fit(np.stack([z, z], axis=1), y)


# Errors


def test_bad_rows_are_named(data):
    X, y = data
    for value, said in ((1.5, "target 1.5 in row 7"), (-0.1, "target -0.1 in row 7")):
        bad = y.copy()
        bad[7] = value
        with pytest.raises(ValueError, match=said):
            FractionalLogit().fit(X, bad)
    weights = np.ones(500)
    weights[3] = -2
    with pytest.raises(ValueError, match="weight -2 in row 3"):
        FractionalLogit().fit(X, y, weights)
    offset = np.zeros(500)
    offset[4] = np.nan
    with pytest.raises(ValueError, match="offset NaN in row 4"):
        FractionalLogit().fit(X, y, offset=offset)
    for name in ("sample_weight", "offset", "clusters", "trials"):
        with pytest.raises(ValueError, match=rf"^{name} has the shape \(3,\), and X has 500 rows$"):
            FractionalLogit().fit(X, y, **{name: np.ones(3)})
    with pytest.raises(TypeError, match="[Ss]parse"):
        from scipy.sparse import csr_array

        FractionalLogit().fit(csr_array(X), y)
    with pytest.raises(ValueError, match="y to be passed"):
        FractionalLogit().fit(X)
    with pytest.raises(ValueError, match="penalty"):
        FractionalLogit(penalty="l3").fit(X, y)


def test_fits_that_do_not_exist_are_refused():
    x = np.arange(20.0).reshape(-1, 1)
    with pytest.raises(ValueError, match="separation: columns .0. predict"):
        FractionalLogit().fit(x, (x[:, 0] > 9).astype(float))
    assert np.isfinite(FractionalLogit(penalty="firth").fit(x, (x[:, 0] > 9).astype(float)).coef_).all()
    assert np.isfinite(
        FractionalLogit(penalty="ridge", alpha=0.01).fit(x, (x[:, 0] > 9).astype(float)).coef_
    ).all()
    with pytest.raises(ValueError, match="singular design"):
        FractionalLogit().fit(np.hstack([x, 2 * x + 1]), np.linspace(0.1, 0.9, 20))
    with pytest.raises(ValueError, match="every target is 1"):
        FractionalLogit().fit(x, np.ones(20))


# scikit-learn's own checks, on targets brought into [0, 1]: they use others.


class Rescaled(FractionalLogit):
    """Takes any y, as scikit-learn's checks expect of a regressor; predicts on the scale of y."""

    def fit(self, X, y=None, sample_weight=None):
        if y is not None:
            y = np.asarray(y)
            y = y.astype(float) if y.dtype == object else y
            if y.ndim < 3 and np.issubdtype(y.dtype, np.number) and y.size and np.isfinite(y).all():
                self.low_, self.high_ = y.min(), y.max()
                y = (y - self.low_) / max(self.high_ - self.low_, 1e-12)
        return super().fit(X, y, sample_weight)

    def predict(self, X):
        check_is_fitted(self)
        return self.low_ + super().predict(X) * (self.high_ - self.low_)

    def score(self, X, y, sample_weight=None):
        y = (np.asarray(y) - self.low_) / (self.high_ - self.low_)
        return super().score(X, np.clip(y, 0, 1), sample_weight)


@parametrize_with_checks([Rescaled(penalty="ridge", alpha=0.01)])
def test_scikit_learns_checks(estimator, check):
    check(estimator)


def test_docstrings():
    result = doctest.testmod(soft_bce.sklearn)
    assert result.failed == 0 and result.attempted > 5


def test_errors_that_nothing_tells(data):
    X, y = (part[:40] for part in data)
    with pytest.raises(ValueError, match="too few clusters: 1"):
        FractionalLogit().fit(X, y, clusters=np.zeros(40, int))
    model = FractionalLogit().fit(X, y, clusters=np.arange(40) % 2)
    for of in (model.summary, model.marginal_effects):
        with pytest.warns(UserWarning, match="2 clusters are not more than coefficients"):
            assert np.isnan(of().p_values).all()
        assert not np.isnan(of("hc0").p_values).any()
    enough = FractionalLogit().fit(X, y, clusters=np.arange(40) % 20)
    assert not np.isnan(enough.summary().p_values).any()
    saturated = FractionalLogit().fit([[1.0], [2.0]], [0.2, 0.7])
    assert np.isnan(saturated.standard_errors_).all()
    assert np.isnan(saturated.summary().p_values).all()
    assert np.isfinite(saturated.summary("nonrobust").p_values).all()


def test_a_formula_without_formulaic(data, monkeypatch):
    monkeypatch.setitem(sys.modules, "formulaic", None)
    with pytest.raises(ImportError, match=r"pip install 'soft-bce\[formulas\]'"):
        FractionalLogit(formula="y ~ x").fit(data[0])
