"""Times each client's own function and soft_bce's in turn, one thread each: python heavy/against.py [torch jax ...]

Prints rows of a table: what, soft_bce, the client's own, how many times as fast. The least of several runs each.
"""

import sys
import time
import warnings

import numpy as np

import soft_bce

rng = np.random.default_rng(20261128)


def least(functions, seconds=0.6):
    """The least time of each, run in turn."""
    best = [np.inf] * len(functions)
    for function in functions:
        function()
    end = time.perf_counter() + seconds * len(functions)
    while time.perf_counter() < end:
        for i, function in enumerate(functions):
            start = time.perf_counter()
            function()
            best[i] = min(best[i], time.perf_counter() - start)
    return best


def row(client, what, ours, theirs, seconds=0.6):
    a, b = least([ours, theirs], seconds)
    unit, scale = ("µs", 1e6) if b < 0.01 else ("ms", 1e3)
    print(
        f"| {client} | {what} | {a * scale:.3g} {unit} | {b * scale:.3g} {unit} | {b / a:.2g} |", flush=True
    )


def with_numpy():
    def plain(z, t, out):
        np.subtract(1 / (1 + np.exp(-z)), t, out=out)
        return np.sum(np.maximum(z, 0) - t * z + np.log1p(np.exp(-np.abs(z))))

    for n in (16, 1024, 1 << 20):
        z, t = rng.normal(0, 3, n).astype(np.float32), rng.random(n).astype(np.float32)
        out = np.empty_like(z)
        what = f"sum and gradient, {n:,} float32"
        row("NumPy", what, lambda: soft_bce.sum_gradient(z, t, out=out), lambda: plain(z, t, out))


def with_torch():
    import torch
    import torch.nn.functional as F

    from soft_bce.torch import binary_cross_entropy_with_logits

    torch.set_num_threads(1)
    for n in (1024, 1 << 14, 1 << 16, 1 << 20):
        z = (3 * torch.randn(n)).requires_grad_()
        t = torch.rand(n)

        def step(function):
            z.grad = None
            function(z, t).backward()

        what = f"mean and backward, {n:,} float32"
        row(
            "PyTorch",
            what,
            lambda: step(binary_cross_entropy_with_logits),
            lambda: step(F.binary_cross_entropy_with_logits),
        )


def with_jax():
    import jax
    import jax.numpy as jnp
    import optax

    from soft_bce.jax import mean

    for n in (1 << 14, 1 << 20):
        z = jnp.asarray(rng.normal(0, 3, n), jnp.float32)
        t = jnp.asarray(rng.random(n), jnp.float32)
        ours = jax.jit(jax.value_and_grad(mean))
        theirs = jax.jit(jax.value_and_grad(lambda z, t: optax.sigmoid_binary_cross_entropy(z, t).mean()))
        row(
            "JAX",
            f"mean and gradient under jit, {n:,} float32",
            lambda: ours(z, t)[1].block_until_ready(),
            lambda: theirs(z, t)[1].block_until_ready(),
        )


def with_boosting():
    import lightgbm
    import xgboost

    from soft_bce.boosting import CrossEntropy

    x = rng.normal(size=(50_000, 10))
    y = soft_bce.sigmoid(x[:, 0] + rng.normal(size=len(x)))
    matrix = xgboost.DMatrix(x, y)
    params = {"max_depth": 6, "nthread": 1, "base_score": 0.5, "objective": "binary:logistic"}
    ours = {**params, "base_score": 0.0}
    del ours["objective"]
    row(
        "XGBoost",
        "50 rounds, 50,000 x 10",
        lambda: xgboost.train(ours, matrix, 50, obj=CrossEntropy()),
        lambda: xgboost.train(params, matrix, 50),
        5,
    )
    params = {"num_threads": 1, "verbose": -1, "boost_from_average": False}

    def train(objective):
        lightgbm.train({**params, "objective": objective}, lightgbm.Dataset(x, y), 50)

    row(
        "LightGBM", "50 rounds, 50,000 x 10", lambda: train(CrossEntropy()), lambda: train("cross_entropy"), 5
    )


def with_sklearn():
    import statsmodels.api as sm
    from sklearn.linear_model import LogisticRegression

    from soft_bce.sklearn import FractionalLogit

    X = rng.normal(size=(100_000, 20))
    y = soft_bce.sigmoid(X @ np.linspace(-1, 1, 20) + rng.normal(size=len(X)))
    design = sm.add_constant(X)
    row(
        "statsmodels",
        "GLM with HC0 errors, 100,000 x 20",
        lambda: FractionalLogit().fit(X, y),
        lambda: sm.GLM(y, design, family=sm.families.Binomial()).fit(tol=1e-10, cov_type="HC0"),
        3,
    )
    hard = (y > 0.5).astype(int)
    row(
        "scikit-learn",
        "LogisticRegression (lbfgs, tol 1e-8), hard labels, 100,000 x 20",
        lambda: FractionalLogit().fit(X, hard),
        lambda: LogisticRegression(C=np.inf, tol=1e-8, max_iter=1000).fit(X, hard),
        3,
    )


CLIENTS = {
    "numpy": with_numpy,
    "torch": with_torch,
    "jax": with_jax,
    "boosting": with_boosting,
    "sklearn": with_sklearn,
}

if __name__ == "__main__":
    warnings.simplefilter("ignore")
    print("| client | what | soft_bce | its own | times as fast |\n|---|---|---|---|---|")
    for name in sys.argv[1:] or CLIENTS:
        CLIENTS[name]()
