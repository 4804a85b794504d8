"""Cross-entropy of probabilities themselves: L(y, p) = -y ln p - (1 - y) ln(1 - p).

>>> import numpy as np
>>> from soft_bce import probability
>>> probability.mean(np.array([0.9, 0.0]), np.array([0.8, 0.1]))
0.23356675154201256

Logits are the better argument where there is a choice: a float32 p near 1 has no digits left that tell how near, and
from the logit 20 on it is 1. What these functions are given they use to the last digit, and nothing is clipped.

y, p     arrays of the same shape, in [0, 1]; p decides the type, as logits do in soft_bce
out      an array to write to
errors   ValueError that names argument, index and value; an output is then NaN

Sums are exact until one rounding, and the bits the same on every machine.
"""

from ._core import probability_gradient as gradient
from ._core import probability_loss as loss
from ._core import probability_mean as mean
from ._core import probability_sum as sum

__all__ = ["gradient", "loss", "mean", "sum"]
