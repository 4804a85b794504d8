"""Binary cross-entropy with soft targets, from logits.

With z the logit, t the target in [0, 1] and s = sigmoid(z) = 1/(1 + e^-z):

    loss      -t ln s - (1 - t) ln(1 - s)
    gradient  s - t           by z
    Hessian   s (1 - s)       by z

>>> import numpy as np, soft_bce
>>> z, t = np.array([2.0, -1.0, 0.0]), np.array([0.9, 0.25, 0.5])
>>> mean, gradient = soft_bce.mean_gradient(z, t)
>>> mean
0.5277789597070468

The same input gives the same bits on every machine and number of threads, and sums are exact until one
rounding. Infinite logits give the mathematical limits, a NaN logit NaN. Probabilities instead of logits:
soft_bce.probability.

Arrays
    z decides: float32 stays float32, float16 becomes float32, all else is float64; t, weights and numbers
    among the options are checked and then rounded to that. A weight or an option that would become 0 or
    infinite is an error; a target may become 0. They have the shape of z: nothing broadcasts. Arrays in C
    order of the right type are read where they are; all others are copied first. Big-endian, masked and
    object arrays are a TypeError. The interpreter's lock is released; do not change arrays that another
    thread's call is working on.

Options of every operation
    weights             multiply loss, gradient and Hessian; finite and >= 0. 0 removes an element: neither its
                        logit nor its target is looked at
    row_weights         of the first axes' shape: one for each row of rows x classes. Multiplies weights
    pos_weight          multiplies the positive term: -p t ln s - (1 - t) ln(1 - s); > 0
    pos_weights         of the last axes' shape: a pos_weight for each class. Excludes pos_weight
    label_smoothing     t' = (1 - a) t + a/2, with a in [0, 1]
    target_tolerance    targets outside [0, 1] by at most this are taken for 0 or 1
    temperature         z, and a teacher's logits, divided by this; derivatives by the undivided z; > 0
    logit_targets       t holds logits u, a teacher's: the target is sigmoid(u), never rounded to 0 or 1
    squared_error       (s - t)^2 instead of cross-entropy
    focal               |t - s|^beta times cross-entropy, the (quality) focal loss, with this beta; no Hessian
                        logit_targets, squared_error and focal exclude each other
    exact               every result correctly rounded; float32 alone; excludes weights, pos_weight and
                        label_smoothing
    excess              losses above the least that the target admits, its entropy: the Kullback-Leibler
                        divergence of s from t; without pos_weight, label_smoothing and exact
    backend             one of backends() instead of the fastest: the same bits
    threads             how many the call may use: the same bits
    out                 arrays to write to, of any layout; may be one of the inputs

Errors
    ValueError names argument, index and value, which are also its attributes:

    >>> soft_bce.sum([0.0, 1.0], [0.5, 1.5])
    Traceback (most recent call last):
    ValueError: t[1] is 1.5 and must be in [0, 1]

    Every element of every output is then NaN, unless the output is also an input; a LossSum is as it was.
"""

from . import probability
from ._core import (
    LossSum,
    __version__,
    accumulate,
    accumulate_gradient,
    accumulate_gradient_hessian,
    backends,
    gradient,
    gradient_hessian,
    gradient_in_place,
    log_sigmoid,
    logit,
    loss,
    loss_gradient,
    loss_gradient_hessian,
    mean,
    mean_gradient,
    sigmoid,
    softplus,
    sum,
    sum_gradient,
    sum_gradient_hessian,
)

__all__ = [
    "LossSum",
    "__version__",
    "accumulate",
    "accumulate_gradient",
    "accumulate_gradient_hessian",
    "backends",
    "gradient",
    "gradient_hessian",
    "gradient_in_place",
    "log_sigmoid",
    "logit",
    "loss",
    "loss_gradient",
    "loss_gradient_hessian",
    "mean",
    "mean_gradient",
    "probability",
    "sigmoid",
    "softplus",
    "sum",
    "sum_gradient",
    "sum_gradient_hessian",
]
