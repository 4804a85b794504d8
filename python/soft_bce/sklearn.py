"""Fractional logit regression and temperature scaling as scikit-learn estimators.

>>> import numpy as np
>>> from soft_bce.sklearn import FractionalLogit
>>> X = np.array([[0.2], [0.5], [0.3], [1.0], [0.8], [0.1]])     # match rate of a plan
>>> y = np.array([0.7, 0.8, 0.6, 1.0, 0.95, 0.75])               # share of employees who take part
>>> model = FractionalLogit().fit(X, y)
>>> model.predict([[0.4]]).round(3)
array([0.803])

The fit is that of the fractional-logit package of this repository: coefficients and standard errors that depend on no
order of the rows, layout, thread or CPU, to the bit.
"""

import numbers
import warnings

import numpy as np
from scipy import stats
from sklearn.base import BaseEstimator, RegressorMixin, TransformerMixin
from sklearn.model_selection import check_cv
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

import soft_bce

from . import _core

__all__ = ["FractionalLogit", "FractionalLogitCV", "Summary", "TemperatureScaling"]

COVARIANCES = _core.COVARIANCES


class FractionalLogit(RegressorMixin, BaseEstimator):
    """E y = sigmoid(intercept + x'b + offset) for y in [0, 1], by minimising the mean cross-entropy.

    Papke and Wooldridge (1996). Targets are fractions, 0 and 1 among them; with hard labels it is logistic regression.
    A fit that does not exist is a ValueError that says why: separated targets, collinear columns, too few rows.

    Parameters
    ----------
    penalty : None, "ridge", "elastic_net" or "firth"
        None: maximum quasi-likelihood. ridge: alpha/2 |b|^2 is added to the mean loss. elastic_net: alpha (l1_ratio
        |b|_1 + (1 - l1_ratio)/2 |b|^2). firth: the bias-reducing correction, finite where targets are separated. The
        intercept is never penalised.
    alpha : float >= 0
        The penalty's strength. scikit-learn's LogisticRegression(C) has alpha = 1/(n C).
    l1_ratio : float in [0, 1]
        Of elastic_net: 1 is the lasso.
    fit_intercept : bool
    weight_kind : "sampling", "frequency" or "analytic"
        What sample_weight says: that a row stands for so many rows of the population; that it was seen so often (the
        same as repeating it); that its target is the mean of so many observations. Coefficients are the same.
    covariance : "nonrobust", "quasi", "hc0", "hc1", "clustered", "clustered_small_sample" or None
        Of the standard errors in summary(). None: hc0, or clustered_small_sample with clusters.
    formula : str or None
        For formulaic, such as "match + np.log(size)": X is then a data frame. With a left side, y may be None.
    threads : int
        The same bits on any number.

    Attributes
    ----------
    coef_, intercept_ : the coefficients, by column, and the intercept (0 without)
    n_iter_ : Newton steps
    covariance_ : of the coefficients, the intercept's first
    standard_errors_ : the square roots of its diagonal; NaN where the residuals that tell an error are 0
    n_features_in_, feature_names_in_ : of X
    mean_loss_, mean_excess_, deviance_explained_, dispersion_ : of the fit

    Rows of weight 0 are left out: nothing in them is looked at but that X is finite.
    """

    _parameter_constraints = {
        "penalty": [None, StrOptions({"ridge", "elastic_net", "firth"})],
        "alpha": [Interval(numbers.Real, 0, None, closed="left")],
        "l1_ratio": [Interval(numbers.Real, 0, 1, closed="both")],
        "fit_intercept": ["boolean"],
        "weight_kind": [StrOptions({"sampling", "frequency", "analytic"})],
        "covariance": [None, StrOptions(set(COVARIANCES))],
        "formula": [None, str],
        "threads": [Interval(numbers.Integral, 1, 1024, closed="both")],
    }

    def __init__(
        self,
        *,
        penalty=None,
        alpha=0.0,
        l1_ratio=0.0,
        fit_intercept=True,
        weight_kind="sampling",
        covariance=None,
        formula=None,
        threads=1,
    ):
        self.penalty = penalty
        self.alpha = alpha
        self.l1_ratio = l1_ratio
        self.fit_intercept = fit_intercept
        self.weight_kind = weight_kind
        self.covariance = covariance
        self.formula = formula
        self.threads = threads

    def fit(self, X, y=None, sample_weight=None, *, offset=None, clusters=None, trials=None):
        """Fits to rows X, a matrix or a data frame of numbers, and targets y in [0, 1].

        sample_weight: finite and >= 0. offset: added to the logit. clusters: labels of any kind; asks for clustered
        errors. trials: y counts successes among so many.
        """
        self._validate_params()
        X, y, intercept = self._training_data(X, y)
        columns = _Features(X)
        dtype = columns.dtype if columns.dtype == y.dtype == np.float32 else np.dtype(np.float64)
        model = _core.Model(
            intercept=intercept,
            weight_kind=self.weight_kind,
            penalty=self.penalty,
            alpha=float(self.alpha),
            l1_ratio=float(self.l1_ratio),
            threads=int(self.threads),
        )
        if clusters is not None:
            clusters = _row_values(clusters, columns, "clusters")
            clusters = np.unique(clusters, return_inverse=True)[1].astype(np.uint64)
        sample_weight = _row_values(sample_weight, columns, "sample_weight")
        if sample_weight is not None and not np.any(sample_weight):
            raise ValueError("every sample_weight is zero")
        try:
            fit = model.fit(
                columns.of(dtype),
                _row_values(y, columns, "y"),
                weights=sample_weight,
                offset=_row_values(offset, columns, "offset"),
                trials=_row_values(trials, columns, "trials"),
                clusters=clusters,
            )
        except ValueError as error:
            raise self._in_names(error) from None
        constant = int(intercept)
        self.intercept_ = float(fit.coefficients[0]) if constant else 0.0
        self.coef_ = fit.coefficients[constant:]
        self.n_iter_ = max(1, fit.steps)
        for name in (
            "rows",
            "observations",
            "clusters",
            "mean_target",
            "mean_loss",
            "mean_excess",
            "deviance_explained",
            "dispersion",
            "brier_score",
            "mean_prediction",
            "total_weight",
        ):
            setattr(self, f"{name}_", getattr(fit, name))
        self._constant = constant
        self._covariances = {name: fit.covariance(name) for name in COVARIANCES}
        self._effects = {name: fit.marginal_effects(name) for name in COVARIANCES}
        return self

    def _training_data(self, X, y):
        """X and y checked, and whether there is an intercept."""
        if self.formula is not None:
            return self._of_formula(X, y)
        if _is_frame(X):
            X = validate_data(self, X, skip_check_array=True)
            if y is None:
                raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None")
            return X, _targets(y), self.fit_intercept
        X, y = validate_data(
            self, X, y, dtype=[np.float64, np.float32], order=None, y_numeric=True, ensure_min_samples=2
        )
        return X, y, self.fit_intercept

    def _of_formula(self, X, y):
        try:
            from formulaic import Formula
        except ImportError as error:
            raise ImportError("formula= needs formulaic: pip install 'soft-bce[formulas]'") from error
        if not _is_frame(X):
            raise TypeError("with a formula X must be a data frame")
        formula = Formula(self.formula)
        sides = formula.get_model_matrix(X, na_action="ignore")
        self._model_spec = getattr(sides, "rhs", sides).model_spec
        if hasattr(sides, "lhs"):
            if y is not None:
                raise ValueError("y is given twice: by the formula, and as an argument")
            y = np.asarray(sides.lhs)[:, 0]
        elif y is None:
            raise ValueError("y is None, and the formula has no left side")
        self.feature_names_in_ = np.asarray(list(X.columns), object)
        self.n_features_in_ = len(self.feature_names_in_)
        matrix, intercept = self._without_constant(getattr(sides, "rhs", sides))
        return matrix, _targets(y), intercept

    def _without_constant(self, matrix):
        names = list(self._model_spec.column_names)
        intercept = "Intercept" in names
        matrix = np.asarray(matrix, np.float64)
        if intercept:
            matrix = np.delete(matrix, names.index("Intercept"), axis=1)
            names.remove("Intercept")
        self._names = names
        return matrix, intercept

    def _features(self, X):
        check_is_fitted(self)
        if self.formula is not None:
            matrix = self._model_spec.get_model_matrix(X, na_action="ignore")
            return _Features(self._without_constant(matrix)[0])
        if _is_frame(X):
            validate_data(self, X, reset=False, skip_check_array=True)
        else:
            X = validate_data(self, X, dtype=[np.float64, np.float32], order=None, reset=False)
        return _Features(X)

    def predict_logit(self, X, *, offset=None):
        """intercept + x'b + offset of every row."""
        columns = self._features(X)
        try:
            return _core.linear_logits(
                columns.of(np.dtype(np.float64)),
                np.asarray(self.coef_, np.float64),
                self.intercept_,
                offset=_row_values(offset, columns, "offset"),
            )
        except ValueError as error:
            raise self._in_names(error) from None

    def predict(self, X, *, offset=None):
        """The mean of y at every row of X."""
        return soft_bce.sigmoid(self.predict_logit(X, offset=offset))

    def score(self, X, y, sample_weight=None, *, offset=None):
        """The share of the deviance explained: 1 where every prediction is its target, 0 for the mean of y.

        NaN if all targets are equal.
        """
        z = self.predict_logit(X, offset=offset)
        y = _targets(y)
        weights = None if sample_weight is None else np.asarray(sample_weight, np.float64)
        options = {"weights": weights, "excess": True}
        total = soft_bce.LossSum(np.ones_like(y) if weights is None else weights)
        mean = soft_bce.LossSum(y if weights is None else y * weights).divided_by(total)
        of_mean = soft_bce.sum(np.full_like(z, soft_bce.logit(mean)), y, **options)
        if not of_mean > 0:
            return float("nan")
        return 1.0 - soft_bce.sum(z, y, **options) / of_mean

    def _covariance_name(self, name):
        if name is None:
            name = self.covariance
        if name is None:
            name = "hc0" if self.clusters_ is None else "clustered_small_sample"
        if name not in COVARIANCES:
            raise ValueError(f"covariance is {name!r} and must be one of {', '.join(COVARIANCES)}")
        if self._covariances[name] is None:
            needed = "clusters" if "clustered" in name else "more rows than coefficients"
            raise ValueError(f"covariance {name!r} needs {needed}")
        return name

    @property
    def covariance_(self):
        check_is_fitted(self)
        return self._covariances[self._covariance_name(None)]

    @property
    def standard_errors_(self):
        return np.sqrt(np.diag(self.covariance_))

    def summary(self, covariance=None, level=0.95):
        """Coefficients with standard errors, z, p-values and intervals of this confidence: a Summary."""
        check_is_fitted(self)
        name = self._covariance_name(covariance)
        values = np.concatenate([[self.intercept_] * self._constant, self.coef_])
        self._warn_of_few_clusters(name)
        errors = np.sqrt(np.diag(self._covariances[name]))
        names = ["(intercept)"] * self._constant + self._column_names()
        return Summary(self, names, values, errors, name, level)

    def marginal_effects(self, covariance=None, level=0.95):
        """By how much the mean prediction rises for each unit of a column: a Summary."""
        check_is_fitted(self)
        name = self._covariance_name(covariance)
        self._warn_of_few_clusters(name)
        values, errors = self._effects[name]
        return Summary(self, self._column_names(), values, errors, name, level)

    def _has_few_clusters(self, name):
        """Whether the clustered covariance lacks rank: its errors are then too small."""
        return "clustered" in name and self.clusters_ <= len(self.coef_) + self._constant

    def _warn_of_few_clusters(self, name):
        if self._has_few_clusters(name):
            warnings.warn(
                f"{self.clusters_} clusters are not more than coefficients: errors are too small, and p_values NaN",
                stacklevel=3,
            )

    def _column_names(self):
        if self.formula is not None:
            return list(self._names)
        names = getattr(self, "feature_names_in_", None)
        return [f"x{i}" for i in range(len(self.coef_))] if names is None else list(names)

    def _in_names(self, error):
        """The error with the names of the columns that it speaks of."""
        columns = getattr(error, "columns", ())
        if self.formula is not None:
            names = self._names
        else:
            names = getattr(self, "feature_names_in_", None)
        if names is None or not columns:
            return error
        known = ", ".join(f"column {column} is {names[column]!r}" for column in columns)
        named = ValueError(f"{error} ({known})")
        named.__dict__.update(error.__dict__)
        return named

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = self.formula is None
        return tags


class Summary:
    """Estimates with their errors: names, values, standard_errors, z, p_values, lower, upper. Prints as a table."""

    def __init__(self, model, names, values, standard_errors, covariance, level):
        if not 0 < level < 1:
            raise ValueError(f"level is {level} and must be in (0, 1)")
        self.names = names
        self.values = values
        self.standard_errors = standard_errors
        self.covariance = covariance
        self.level = level
        with np.errstate(divide="ignore", invalid="ignore"):
            self.z = values / standard_errors
        self.p_values = 2 * stats.norm.sf(abs(self.z))
        if model._has_few_clusters(covariance):
            self.p_values = np.full_like(self.z, np.nan)
        half = stats.norm.isf((1 - level) / 2) * standard_errors
        self.lower, self.upper = values - half, values + half
        self._head = f"{model.observations_:g} observations, mean target {model.mean_target_:.4f}, " + (
            ""
            if model.deviance_explained_ is None
            else f"deviance explained {model.deviance_explained_:.4f}, "
        )

    def to_frame(self):
        """As a pandas data frame, a row for each estimate."""
        import pandas

        columns = {"value": self.values, "standard_error": self.standard_errors, "z": self.z}
        columns |= {"p_value": self.p_values, "lower": self.lower, "upper": self.upper}
        return pandas.DataFrame(columns, index=list(self.names))

    def __str__(self):
        width = max([len(str(name)) for name in self.names] + [8])
        percent = f"{100 * self.level:g} %"
        lines = [
            f"{self._head}{self.covariance} errors",
            f"{'':{width}} {'value':>12} {'error':>12} {'z':>9} {'p':>9} {percent + ' from':>12} {'to':>12}",
        ]
        rows = zip(
            self.names, self.values, self.standard_errors, self.z, self.p_values, self.lower, self.upper
        )
        for name, value, error, z, p, lower, upper in rows:
            lines.append(
                f"{name!s:{width}} {value:12.6g} {error:12.4g} {z:9.3f} {p:9.3g} {lower:12.6g} {upper:12.6g}"
            )
        return "\n".join(lines)

    __repr__ = __str__


class FractionalLogitCV(FractionalLogit):
    """FractionalLogit with the penalty's strength chosen by cross-validation.

    Parameters are those of FractionalLogit, but for

    alphas : the strengths to try; None: 13 from 1e-5 to 10, by factors
    cv : number of folds, splitter or splits, as in scikit-learn; None is 5
    penalty : "ridge" or "elastic_net"

    Attributes beside those of FractionalLogit, which is fitted to all rows with the best strength:

    alpha_ : the best, by the weighted mean held-out loss
    alphas_ : all, the strongest first
    losses_ : mean held-out excess loss, a row for each strength, a column for each fold
    """

    _parameter_constraints = {
        **{k: v for k, v in FractionalLogit._parameter_constraints.items() if k != "alpha"},
        "penalty": [StrOptions({"ridge", "elastic_net"})],
        "alphas": [None, "array-like"],
        "cv": ["cv_object"],
    }

    def __init__(
        self,
        *,
        alphas=None,
        cv=None,
        penalty="ridge",
        l1_ratio=0.0,
        fit_intercept=True,
        weight_kind="sampling",
        covariance=None,
        formula=None,
        threads=1,
    ):
        super().__init__(
            penalty=penalty,
            l1_ratio=l1_ratio,
            fit_intercept=fit_intercept,
            weight_kind=weight_kind,
            covariance=covariance,
            formula=formula,
            threads=threads,
        )
        del self.alpha
        self.alphas = alphas
        self.cv = cv

    def fit(self, X, y=None, sample_weight=None, *, offset=None, clusters=None, trials=None):
        """As FractionalLogit.fit; rows are split by cv."""
        self._validate_params()
        matrix, target, intercept = self._training_data(X, y)
        columns = _Features(matrix)
        of_rows = {
            "sample_weight": _row_values(sample_weight, columns, "sample_weight"),
            "offset": _row_values(offset, columns, "offset"),
            "trials": _row_values(trials, columns, "trials"),
        }
        alphas = np.logspace(-5, 1, 13) if self.alphas is None else np.asarray(self.alphas, np.float64)
        if alphas.ndim != 1 or len(alphas) == 0 or not (alphas >= 0).all():
            raise ValueError("alphas must be numbers >= 0, at least one")
        self.alphas_ = np.sort(alphas)[::-1]
        matrix = columns.rows()
        splits = list(check_cv(5 if self.cv is None else self.cv).split(matrix, target))
        losses = np.empty((len(self.alphas_), len(splits)))
        totals = np.empty(len(splits))
        for fold, (train, test) in enumerate(splits):
            part = {name: None if values is None else values[train] for name, values in of_rows.items()}
            weights = _test_weights(of_rows, test)
            t = target[test] if trials is None else target[test] / np.maximum(of_rows["trials"][test], 1)
            held_offset = None if offset is None else of_rows["offset"][test]
            totals[fold] = len(test) if weights is None else weights.sum()
            for row, alpha in enumerate(self.alphas_):
                model = FractionalLogit(
                    penalty=self.penalty,
                    alpha=alpha,
                    l1_ratio=self.l1_ratio,
                    fit_intercept=intercept,
                    weight_kind=self.weight_kind,
                    threads=self.threads,
                ).fit(matrix[train], target[train], **part)
                z = model.predict_logit(matrix[test], offset=held_offset)
                losses[row, fold] = soft_bce.mean(z, t, weights=weights, excess=True)
        self.losses_ = losses
        best = np.argmin(losses @ totals)
        self.alpha_ = self.alpha = float(self.alphas_[best])
        try:
            return super().fit(X, y, sample_weight, offset=offset, clusters=clusters, trials=trials)
        finally:
            del self.alpha


def _test_weights(of_rows, test):
    weights, trials = of_rows["sample_weight"], of_rows["trials"]
    if trials is not None:
        weights = trials if weights is None else weights * trials
    return None if weights is None else weights[test]


class TemperatureScaling(TransformerMixin, BaseEstimator):
    """Calibrates the logits of a model: p = sigmoid(z / temperature), by the least cross-entropy.

    >>> z, y = np.array([4.0, 4.0, -4.0, -4.0]), np.array([0.9, 0.8, 0.1, 0.3])   # too sure of itself
    >>> TemperatureScaling().fit(z, y).temperature_.round(3)
    np.float64(2.58)

    fit_intercept: also shifts, p = sigmoid(z / temperature + bias): Platt's scaling. Targets may be fractions.
    Guo et al., On calibration of modern neural networks, ICML 2017.
    """

    _parameter_constraints = {"fit_intercept": ["boolean"]}

    def __init__(self, *, fit_intercept=False):
        self.fit_intercept = fit_intercept

    def fit(self, z, y, sample_weight=None):
        """z: logits, one a row (n or n x 1). y: targets in [0, 1]."""
        self._validate_params()
        model = FractionalLogit(fit_intercept=self.fit_intercept)
        model.fit(self._column(z, reset=True), y, sample_weight)
        if not model.coef_[0] > 0:
            raise ValueError(
                f"no temperature is best: the targets fall with the logits (slope {model.coef_[0]:.3g})"
            )
        self.temperature_ = 1 / model.coef_[0]
        self.bias_ = model.intercept_
        return self

    def transform(self, z):
        """The calibrated logits, n x 1."""
        check_is_fitted(self)
        return self._column(z, reset=False) / self.temperature_ + self.bias_

    def predict(self, z):
        """The calibrated probabilities."""
        return soft_bce.sigmoid(self.transform(z)[:, 0])

    def _column(self, z, reset):
        z = check_array(z, dtype=np.float64, ensure_2d=False)
        z = validate_data(self, z.reshape(-1, 1) if z.ndim == 1 else z, reset=reset)
        if z.shape[1] != 1:
            raise ValueError(f"z has {z.shape[1]} columns; a temperature is of one logit a row")
        return z


def _is_frame(X):
    """pandas, polars and Arrow tables: named columns that to_numpy() gives."""
    return hasattr(X, "columns") and (hasattr(X, "column_names") or hasattr(X, "dtypes"))


class _Features:
    """The columns or rows of a matrix, as they lie."""

    def __init__(self, X):
        if _is_frame(X):
            self._arrays = list(map(_column, _series(X)))
            self._names = list(getattr(X, "column_names", X.columns))
            self.row_count = len(X)
        else:
            self._arrays = X
            self.row_count = len(X)

    @property
    def dtype(self):
        if isinstance(self._arrays, list):
            kinds = {array.dtype for array in self._arrays}
            return np.dtype(np.float32 if kinds == {np.dtype(np.float32)} else np.float64)
        return self._arrays.dtype

    def of(self, dtype):
        """What the compiled module takes: rows in C order, or a list of columns."""
        X = self._arrays
        if isinstance(X, list):
            return [np.require(column, dtype, "CA") for column in X]
        if X.dtype == dtype and X.flags.f_contiguous and not X.flags.c_contiguous:
            return list(X.T)
        return np.require(X, dtype, "CA")

    def rows(self):
        return np.column_stack(self._arrays) if isinstance(self._arrays, list) else self._arrays


def _series(X):
    if hasattr(X, "iloc"):
        return [X.iloc[:, place] for place in range(X.shape[1])]  # names may occur twice
    return [X[name] for name in getattr(X, "column_names", X.columns)]


def _column(series):
    """A column's values, without a copy where the frame holds them side by side. Missing ones are NaN."""
    values = series.to_numpy()
    if values.dtype.kind in "fiub":
        return values
    try:
        if hasattr(series, "isna"):
            return series.to_numpy(dtype=np.float64, na_value=np.nan)
        return values.astype(np.float64)
    except (TypeError, ValueError):
        name = getattr(series, "name", None)
        raise ValueError(f"column {name!r} has the dtype {series.dtype}; features must be numbers") from None


def _targets(y):
    y = np.asarray(y)
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    return y if y.dtype in (np.float32, np.float64) else y.astype(np.float64)


def _row_values(values, columns, name):
    """Values of rows as an array, or None."""
    if values is None:
        return None
    values = np.asarray(values)
    if values.ndim == 0 and name == "sample_weight":
        values = np.full(columns.row_count, values)
    if values.shape != (columns.row_count,):
        raise ValueError(f"{name} has the shape {values.shape}, and X has {columns.row_count} rows")
    return values
