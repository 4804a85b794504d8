#!/usr/bin/env python3
"""Fits of fractions by this crate and by what else fits them: seconds, extra memory, digits. The table of fits.md.

    cargo build --release -p fractional-logit --example fit_npy
    pip install numpy statsmodels glum scikit-learn torch
    taskset -c 1 python docs/speed/fit_bench.py CASE WHO...        CASE: n100k, n2m, n2mf32, levels
    taskset -c 1 python docs/speed/fit_bench.py CASE gen           makes the data, in the directory FITS (default target/fits)

X is rows x columns, standard normal (seed 20261128); logits -0.5 + X b + standard normal, b_j = (-1)^j/sqrt(columns); targets
their sigmoids, one in twenty rounded to 0 or 1. `levels` is 500,000 x 4 and a category of 1,000 levels, whose effects are standard
normal. Digits are those of the worst coefficient, against Newton's method in f64
whose last steps no longer move them. Each contender runs in a process of its own, with one thread.
"""
import json, os, subprocess, sys, time

HERE = os.path.dirname(os.path.abspath(__file__))
FITS = os.environ.get("FITS", os.path.join(HERE, "..", "..", "target", "fits"))
PROGRAM = os.path.join(os.environ.get("CARGO_TARGET_DIR", os.path.join(HERE, "..", "..", "target")), "release", "examples", "fit_npy")
CASES = {"n100k": (100_000, 20), "n2m": (2_000_000, 64), "levels": (500_000, 4)}
LEVELS = 1000
path = lambda case, what: os.path.join(FITS, f"{case}-{what}.npy")


def generate(case):
    import numpy as np

    os.makedirs(FITS, exist_ok=True)
    rows, columns = CASES[case.replace("f32", "")]
    if case == "levels":
        return generate_levels(rows, columns)
    rng = np.random.default_rng(20261128)
    x, t = np.empty((rows, columns)), np.empty(rows)
    b = np.array([(-1.0) ** j for j in range(columns)]) / columns**0.5
    for i in range(0, rows, 65536):
        k = min(65536, rows - i)
        x[i : i + k] = rng.standard_normal((k, columns))
        z = -0.5 + x[i : i + k] @ b + rng.standard_normal(k)
        u, p = rng.random(k), 1 / (1 + np.exp(-z))
        t[i : i + k] = np.where(u < 0.05, np.round(p), p)
    dtype = np.float32 if case.endswith("f32") else np.float64
    np.save(path(case, "X"), x.astype(dtype))
    np.save(path(case, "t"), t.astype(dtype))
    b = np.zeros(columns + 1)
    for _ in range(9):
        g, h = np.zeros(columns + 1), np.zeros((columns + 1, columns + 1))
        for i in range(0, rows, 4096):
            a = np.column_stack([np.ones(len(t[i : i + 4096])), x[i : i + 4096].astype(dtype).astype(float)])
            p = 1 / (1 + np.exp(-(a @ b)))
            g += a.T @ (p - t[i : i + 4096].astype(dtype).astype(float))
            h += a.T @ (a * (p * (1 - p))[:, None])
        b -= np.linalg.solve(h, g)
    np.save(path(case, "ref"), b)


def generate_levels(rows, columns):
    import numpy as np

    rng = np.random.default_rng(20261128)
    x, level, effect = rng.standard_normal((rows, columns)), rng.integers(0, LEVELS, rows), rng.standard_normal(LEVELS)
    p = 1 / (1 + np.exp(-(-0.5 + x @ (np.arange(columns) - 1.5) / 2 + effect[level] + rng.standard_normal(rows))))
    t = np.where(rng.random(rows) < 0.05, np.round(p), p)
    np.save(path("levels", "X"), np.column_stack([x, level]))
    np.save(path("levels", "t"), t)
    # A level's coefficient is its own; the columns' system is what is left of them.
    sums = lambda y: np.bincount(level, y, LEVELS)
    b, of_level = np.zeros(columns), np.zeros(LEVELS)
    for _ in range(12):
        p = 1 / (1 + np.exp(-(x @ b + of_level[level])))
        h, r = p * (1 - p), p - t
        d, g = sums(h), sums(r)
        cross = np.column_stack([sums(h * x[:, j]) for j in range(columns)])
        hessian = x.T @ (x * h[:, None]) - cross.T @ (cross / d[:, None])
        step = np.linalg.solve(hessian, x.T @ r - cross.T @ (g / d))
        b -= step
        of_level -= (g - cross @ step) / d
    np.save(path("levels", "ref"), np.r_[of_level[0], b, of_level[1:] - of_level[0]])


def own(mode, *more):
    def run(case):
        command = [PROGRAM, path(case, "X"), path(case, "t"), "1", mode, *more]
        result = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        return result["coefficients"], result["wall"], result["extra_mib"]

    return run


def measured(fit):
    def run(case):
        import numpy as np

        x, t = np.load(path(case, "X")), np.load(path(case, "t"))
        fit(x[:600].copy(), t[:600].copy())  # imports, lazy set-up
        status = lambda key: int(next(l for l in open("/proc/self/status") if l.startswith(key)).split()[1]) / 1024
        open("/proc/self/clear_refs", "w").write("5")
        before, start = status("VmRSS"), time.perf_counter()
        b = fit(x, t)
        return b, time.perf_counter() - start, status("VmHWM") - before

    return run


@measured
def statsmodels(x, t):
    import statsmodels.api as sm

    fit = sm.GLM(t, sm.add_constant(x, has_constant="add"), family=sm.families.Binomial()).fit(tol=1e-10, cov_type="HC0")
    return fit.params


def of_glum(**options):
    @measured
    def run(x, t):
        import numpy as np
        from glum import GeneralizedLinearRegressor

        model = GeneralizedLinearRegressor(family="binomial", alpha=0, max_iter=1000, **options).fit(x, t)
        return np.r_[model.intercept_, model.coef_]

    return run


def glum_levels(errors):
    @measured
    def run(x, t):
        import numpy as np
        import pandas as pd
        from glum import GeneralizedLinearRegressor

        x = pd.DataFrame(x, columns=list("abcdl"))
        x["l"] = pd.Categorical(x["l"].astype(int))
        model = GeneralizedLinearRegressor(family="binomial", alpha=0, max_iter=1000, gradient_tol=1e-10, drop_first=True)
        model.fit(x, t)
        if errors:
            model.std_errors(x, t, robust=True)
        return np.r_[model.intercept_, model.coef_]

    return run


@measured
def glum_errors(x, t):
    import numpy as np
    from glum import GeneralizedLinearRegressor

    model = GeneralizedLinearRegressor(family="binomial", alpha=0, gradient_tol=1e-10).fit(x, t)
    model.std_errors(x, t, robust=True)
    return np.r_[model.intercept_, model.coef_]


@measured
def sklearn(x, t):
    """LogisticRegression refuses fractions; this is the private class below it."""
    import numpy as np
    from sklearn._loss import HalfBinomialLoss
    from sklearn.linear_model._glm.glm import _GeneralizedLinearRegressor

    class Model(_GeneralizedLinearRegressor):
        def _get_loss(self, **_):
            return HalfBinomialLoss()

    model = Model(alpha=0, solver="newton-cholesky", tol=1e-9 if x.dtype == np.float64 else 1e-6, max_iter=200).fit(x, t)
    return np.r_[model.intercept_, model.coef_]


@measured
def torch(x, t):
    import numpy as np
    import torch

    torch.set_num_threads(1)
    x, t = torch.from_numpy(x), torch.from_numpy(t)
    b = torch.zeros(x.shape[1], dtype=x.dtype, requires_grad=True)
    c = torch.zeros(1, dtype=x.dtype, requires_grad=True)
    tolerance = 1e-10 if x.dtype == torch.float64 else 1e-6
    options = dict(max_iter=2000, max_eval=5000, tolerance_grad=tolerance, tolerance_change=0, history_size=10)
    optimizer = torch.optim.LBFGS([b, c], line_search_fn="strong_wolfe", **options)

    def closure():
        optimizer.zero_grad()
        loss = torch.nn.functional.binary_cross_entropy_with_logits(x @ b + c, t)
        loss.backward()
        return loss

    optimizer.step(closure)
    return np.r_[c.detach().numpy(), b.detach().numpy()]


WHO = {
    "own-fast": own("fast"),
    "own-coefficients": own("coefficients"),
    "own-errors": own("errors"),
    "own-errors-columns": own("errors", "columns"),
    "own-levels": own("errors", "levels"),
    "glum-levels": glum_levels(False),
    "glum-levels-errors": glum_levels(True),
    "statsmodels-hc0": statsmodels,
    "glum": of_glum(gradient_tol=1e-10),
    "glum-f32": of_glum(gradient_tol=1e-6),
    "glum-default": of_glum(),
    "glum-errors": glum_errors,
    "sklearn-private": sklearn,
    "torch-lbfgs": torch,
}


def main():
    case, *who = sys.argv[1:]
    if who == ["gen"]:
        return generate(case)
    if len(who) == 1:
        import numpy as np

        b, wall, memory = WHO[who[0]](case)
        b, right = np.asarray(b, dtype=float).ravel(), np.load(path(case, "ref"))
        digits = -np.log10(max(np.max(np.abs(b - right) / np.abs(right)), 1e-17))
        print(f"| {case} | {who[0]} | {wall:.3f} | {memory:.0f} | {digits:.1f} |", flush=True)
        return
    threads = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")}
    for one in who:
        subprocess.run([sys.executable, __file__, case, one], env={**os.environ, **threads})


main()
