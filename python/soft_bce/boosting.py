"""Cross-entropy with soft labels as an objective of XGBoost and LightGBM, by soft_bce.

One object serves all four interfaces:

    objective = soft_bce.boosting.CrossEntropy()
    xgboost.train({"base_score": 0}, data, obj=objective)
    xgboost.XGBRegressor(objective=objective, base_score=0).fit(X, y)
    lightgbm.train({"objective": objective}, data)
    lightgbm.LGBMRegressor(objective=objective).fit(X, y)

Labels are fractions in [0, 1]; others are a ValueError. Weights multiply gradient and Hessian.

Margins and probabilities
    With an objective of their own neither library knows the link: predict gives margins (logits, in XGBoost with
    output_margin=True or not), and soft_bce.sigmoid(margin) the probability.
    For the same reason neither starts from the mean label. XGBoost's base_score is then a margin: 0 is a
    probability of 1/2, initial_margin(y) that of the mean label, which saves rounds. LightGBM takes
    it as init_score of the data set (np.full(n, initial_margin(y))), and leaves it out of predict: add it.

What the libraries have themselves
    XGBoost's binary:logistic and reg:logistic, and LightGBM's cross_entropy, take fractions and are right. LightGBM's
    binary takes them too, and fits them as if every label above 0 were 1: mean prediction 1.000 for a
    mean label of 0.418. This objective refuses labels outside [0, 1], offers pos_weight and label_smoothing, and its
    metric is exact.
"""

import numpy as np

import soft_bce

__all__ = ["CrossEntropy", "initial_margin"]


class CrossEntropy:
    """The objective; also the metric to stop early by.

    pos_weight, label_smoothing: as of soft_bce.gradient_hessian. threads: of each call.

    >>> objective = CrossEntropy()
    >>> objective(np.array([1.0, 0.25]), np.array([0.0, 0.0]))    # labels, margins: scikit-learn's order
    (array([-0.5 ,  0.25]), array([0.25, 0.25]))
    """

    def __init__(self, *, pos_weight=1.0, label_smoothing=0.0, threads=1):
        self.pos_weight = pos_weight
        self.label_smoothing = label_smoothing
        self.threads = threads

    def __call__(self, labels, margins, sample_weight=None):
        """(gradient, Hessian) by the margins.

        Called as (labels, margins[, sample_weight]) by scikit-learn's interfaces, as (margins, data) by the
        libraries' own.
        """
        if hasattr(margins, "get_label"):
            labels, margins, sample_weight = _unpacked(labels, margins)
        return self._call(soft_bce.gradient_hessian, labels, margins, sample_weight)

    def xgboost_metric(self, margins, data):
        """As custom_metric of xgboost.train: the mean loss."""
        return "soft_bce", self._call(soft_bce.mean, *_unpacked(margins, data))

    def lightgbm_metric(self, margins, data):
        """As feval of lightgbm.train: the mean loss, of which less is better."""
        return "soft_bce", self._call(soft_bce.mean, *_unpacked(margins, data)), False

    def _call(self, function, labels, margins, weights):
        margins = np.asarray(margins)
        # Several outputs are columns; weights are those of rows.
        labels = np.reshape(labels, margins.shape)
        if weights is not None:
            weights = np.broadcast_to(np.reshape(weights, (-1,) + (1,) * (margins.ndim - 1)), margins.shape)
        return function(
            margins,
            labels,
            weights=weights,
            pos_weight=self.pos_weight,
            label_smoothing=self.label_smoothing,
            threads=self.threads,
        )


def _unpacked(margins, data):
    """Labels, margins and weights of a DMatrix or a Dataset."""
    weights = data.get_weight()
    if weights is not None and len(weights) == 0:
        weights = None
    return data.get_label(), margins, weights


def initial_margin(labels, sample_weight=None):
    """The logit of the (weighted) mean label, from which boosting starts best.

    >>> initial_margin([0.25, 0.75, 1.0, 0.0])
    0.0
    """
    labels = np.asarray(labels, np.float64)
    weights = np.ones_like(labels) if sample_weight is None else np.asarray(sample_weight, np.float64)
    mean = soft_bce.LossSum(labels * weights).divided_by(soft_bce.LossSum(weights))
    return float(soft_bce.logit(mean))
