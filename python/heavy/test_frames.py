"""soft_bce.sklearn with pandas, polars, Arrow and formulas, on the 401(k) data, and against statsmodels."""

import json
import pathlib
import tracemalloc

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import statsmodels.api as sm

from soft_bce.sklearn import FractionalLogit, FractionalLogitCV

DATA = pathlib.Path(__file__).parents[2] / "fractional-logit" / "data"
PUBLISHED = json.loads((DATA / "401k-reference.json").read_text())
FORMULA = "mrate + np.log(totemp) + np.log(totemp)**2 + age + age**2 + sole"
NAMES = ["mrate", "ltotemp", "ltotemp2", "age", "age2", "sole"]


@pytest.fixture(scope="module")
def frame():
    data = pd.read_csv(DATA / "401k.csv")
    data["ltotemp"] = np.log(data["totemp"])
    data["ltotemp2"] = data["ltotemp"] ** 2
    data["age2"] = data["age"] ** 2
    return data


def assert_published(model):
    coefficients = np.append(model.intercept_, model.coef_)
    np.testing.assert_allclose(coefficients, list(PUBLISHED["coef"].values()), rtol=1e-11)
    for name, key in (("hc0", "se_robust_hc0"), ("nonrobust", "se_nonrobust")):
        errors = model.summary(name).standard_errors
        np.testing.assert_allclose(errors, list(PUBLISHED[key].values()), rtol=1e-9)
    assert model.mean_loss_ == pytest.approx(PUBLISHED["mean_loss"], rel=1e-13)


def test_the_published_fit(frame):
    model = FractionalLogit().fit(frame[NAMES], frame["prate"])
    assert_published(model)
    assert list(model.feature_names_in_) == NAMES
    table = model.summary().to_frame()
    assert list(table.index) == ["(intercept)", *NAMES]
    assert table.loc["sole", "p_value"] == pytest.approx(0.175022, abs=5e-7)
    effects = model.marginal_effects().to_frame()["value"]
    assert effects["mrate"] == pytest.approx(0.0933396, abs=5e-8)
    size = np.log(1000)
    row = pd.DataFrame([[0.5, size, size**2, 10, 100, 0]], columns=NAMES)
    assert model.predict(row)[0] == pytest.approx(0.840177, abs=5e-7)


def test_every_kind_of_frame_gives_the_same_bits(frame):
    X, y = frame[NAMES], frame["prate"]
    right = FractionalLogit().fit(X.to_numpy(), y.to_numpy())
    frames = {
        "pandas": X,
        "pandas, nullable": X.convert_dtypes(),
        "pandas, by Arrow": X.convert_dtypes(dtype_backend="pyarrow"),
        "polars": pl.from_pandas(X),
        "polars, in pieces": pl.concat([pl.from_pandas(X[:500]), pl.from_pandas(X[500:])]),
        "Arrow": pa.Table.from_pandas(X),
        "Arrow, in pieces": pa.concat_tables([pa.Table.from_pandas(X[:500]), pa.Table.from_pandas(X[500:])]),
    }
    for name, of_kind in frames.items():
        model = FractionalLogit().fit(of_kind, pl.from_pandas(y) if name.startswith("polars") else y)
        assert (model.coef_ == right.coef_).all(), name
        assert (model.predict(of_kind) == right.predict(X.to_numpy())).all(), name
        assert list(model.feature_names_in_) == NAMES, name
        assert model.score(of_kind, y) == right.score(X.to_numpy(), y), name
    with pytest.raises(ValueError, match="[Ff]eature names"):
        model.predict(X[NAMES[::-1]])
    with pytest.raises(ValueError, match="now missing"):
        model.predict(X[NAMES[:3]])


def test_no_copy_into_row_order():
    """Columns are read where they lie: a fit of 16 MB of them takes much less."""
    columns = {f"x{i}": np.random.default_rng(i).normal(size=200_000) for i in range(10)}
    y = np.random.default_rng(10).random(200_000)
    frames = [pd.DataFrame(columns, copy=False), pl.DataFrame(columns), pa.table(columns)]
    for frame in frames:
        tracemalloc.start()
        FractionalLogit().fit(frame, y)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 5e6, type(frame)


def test_missing_values_and_bad_columns_are_named(frame):
    X, y = frame[NAMES].astype(float), frame["prate"]
    X.loc[5, "age"] = np.nan
    for of_kind in (X, pl.from_pandas(X, nan_to_null=True), pa.Table.from_pandas(X), X.convert_dtypes()):
        with pytest.raises(ValueError, match=r"feature 3 NaN in row 5.*column 3 is 'age'"):
            FractionalLogit().fit(of_kind, y)
    with pytest.raises(ValueError, match="column 'name' has the dtype"):
        FractionalLogit().fit(frame[["mrate"]].assign(name="x"), y)
    twice = frame[["mrate", "age"]].assign(double=2 * frame["age"])
    with pytest.raises(ValueError, match="singular design.*column 2 is 'double'"):
        FractionalLogit().fit(twice, y)


def test_formulas(frame):
    plain = frame[["prate", "mrate", "totemp", "age", "sole"]]
    formula = FORMULA.replace("np.log(totemp)**2", "I(np.log(totemp)**2)").replace("age**2", "I(age**2)")
    model = FractionalLogit(formula=f"prate ~ {formula}").fit(plain)
    assert_published(model)
    other = FractionalLogit(formula=formula).fit(plain.drop(columns="prate"), plain["prate"])
    assert (other.coef_ == model.coef_).all()
    direct = FractionalLogit().fit(frame[NAMES], frame["prate"])
    np.testing.assert_allclose(model.predict(plain), direct.predict(frame[NAMES]), rtol=1e-12)
    assert "np.log(totemp)" in str(model.summary())
    # Means of the training data, where the formula takes them, are kept.
    centered = FractionalLogit(formula="center(mrate)").fit(plain, plain["prate"])
    np.testing.assert_allclose(centered.predict(plain[:10]), centered.predict(plain)[:10])
    assert FractionalLogit(formula="mrate - 1").fit(plain, plain["prate"]).intercept_ == 0
    assert FractionalLogitCV(formula=formula, alphas=[1e-3, 1e-1]).fit(plain, plain["prate"]).alpha_ == 1e-3
    with pytest.raises(ValueError, match="y is given twice"):
        FractionalLogit(formula="prate ~ mrate").fit(plain, plain["prate"])
    with pytest.raises(TypeError, match="data frame"):
        FractionalLogit(formula="a").fit(plain.to_numpy(), plain["prate"])


def test_as_statsmodels(frame):
    """Where it is right: weights of rows, clusters, offsets."""
    rng = np.random.default_rng(1)
    X, y = frame[NAMES], frame["prate"]
    design = sm.add_constant(X)
    offset, clusters = rng.normal(0, 0.1, len(y)), rng.integers(0, 60, len(y))
    counts = rng.integers(1, 5, len(y)).astype(float)
    binomial = sm.families.Binomial()
    theirs = sm.GLM(y, design, family=binomial, offset=offset).fit(tol=1e-14, cov_type="HC0")
    ours = FractionalLogit().fit(X, y, offset=offset)
    np.testing.assert_allclose(ours.summary().values, theirs.params, rtol=1e-9)
    np.testing.assert_allclose(ours.standard_errors_, theirs.bse, rtol=1e-7)
    np.testing.assert_allclose(ours.summary().p_values, theirs.pvalues, rtol=1e-5)
    theirs = sm.GLM(y, design, family=binomial).fit(
        tol=1e-14, cov_type="cluster", cov_kwds={"groups": clusters}
    )
    ours = FractionalLogit().fit(X, y, clusters=clusters)
    np.testing.assert_allclose(ours.standard_errors_, theirs.bse, rtol=1e-7)
    theirs = sm.GLM(y, design, family=binomial, freq_weights=counts).fit(tol=1e-14)
    ours = FractionalLogit(weight_kind="frequency", covariance="nonrobust").fit(X, y, counts)
    np.testing.assert_allclose(ours.summary().values, theirs.params, rtol=1e-9)
    np.testing.assert_allclose(ours.standard_errors_, theirs.bse, rtol=1e-7)
