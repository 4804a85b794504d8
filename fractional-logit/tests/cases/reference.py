#!/usr/bin/env python3
"""The right values of the cases, by mpmath with 50 digits: python3 reference.py > reference.json (3 minutes).

Newton's method on the mean cross-entropy, from exactly the decimal numbers of the CSV files (as f64 reads them).
"""
import csv, json, os, sys
from mpmath import mp, mpf, matrix, exp, log, log1p, sqrt

mp.dps = 50
HERE = os.path.dirname(os.path.abspath(__file__))

# target, features; trials or failures, weight, offset, cluster, constant, ridge, firth
CASES = [
    dict(file="unequal_weights.csv", target="y", features=["g"], weight="w"),
    dict(file="rare_group.csv", target="y", features=["g"]),
    dict(file="frequencies.csv", target="y", features=["x"], weight="freq"),
    dict(file="timestamps.csv", target="y", features=["x"]),
    dict(file="weight_zero.csv", target="rate", features=["match"], weight="count"),
    dict(file="no_trials.csv", target="y", features=["x"], weight="n"),
    dict(file="beetles.csv", target="killed", features=["dose"], trials="n"),
    dict(file="successes.csv", target="suc", features=["x"], failures="fail"),
    dict(file="growth.csv", target="p", features=["day"], weight="n"),
    dict(file="cluster.csv", target="y", features=["x"], cluster="firm"),
    dict(file="cluster.csv", target="y", features=["x"], offset="off"),
    dict(file="cluster.csv", target="y", features=["x"], constant=False),
    dict(file="cluster.csv", target="y", features=[], cluster="firm"),
    dict(file="complete_separation.csv", target="Y", features=["X1", "X2"], ridge="0.125"),
    dict(file="complete_separation.csv", target="Y", features=["X1", "X2"], firth=True),
    dict(file="quasi_separation.csv", target="Y", features=["X1", "X2"], ridge="0.125"),
    dict(file="quasi_separation.csv", target="Y", features=["X1", "X2"], firth=True),
    dict(file="hidden_weights.csv", target="y", features=["side", "x"], weight="w"),
    dict(file="../../data/401k.csv", target="prate",
         features=["mrate", "ln(totemp)", "ln(totemp)^2", "age", "age^2", "sole"]),
    # Public data sets that statsmodels ships as public domain.
    dict(file="anes96.csv", target="vote", features=["TVnews", "selfLR", "PID", "age", "educ", "income"]),
    dict(file="statecrime.csv", target="graduates", features=["violent", "murder", "poverty", "single", "white", "urban"]),
    dict(file="modechoice.csv", target="choice", features=["ttme", "invc", "invt", "gc", "hinc", "psize"]),
    dict(file="longley.csv", target="unemployed", features=["GNPDEFL", "GNP", "ARMED", "POP", "YEAR"]),
    dict(file="macrodata.csv", target="share", features=["year", "quarter", "unemp", "infl", "realint", "pop"]),
    dict(file="engel.csv", target="share", features=["income", "income^2", "income^3"]),
    dict(file="stackloss.csv", target="loss", features=["AIRFLOW", "WATERTEMP", "ACIDCONC"]),
    dict(file="strikes.csv", target="share", features=["iprod"]),
]


def term(row, feature):
    base, _, power = feature.partition("^")
    name = base[3:-1] if base.startswith("ln(") else base
    x = mpf(float(row[name]))
    return (log(x) if base.startswith("ln(") else x) ** int(power or 1)


def read(case):
    rows = []
    for row in csv.DictReader(open(os.path.join(HERE, case["file"]))):
        w = mpf(float(row[case["weight"]])) if "weight" in case else mpf(1)
        if w == 0:
            continue
        t = mpf(float(row[case["target"]]))
        n = mpf(1)
        if "trials" in case:
            n = mpf(float(row[case["trials"]]))
        if "failures" in case:
            n = t + mpf(float(row[case["failures"]]))
        x = [term(row, feature) for feature in case["features"]]
        if case.get("constant", True):
            x = [mpf(1)] + x
        offset = mpf(float(row[case["offset"]])) if "offset" in case else mpf(0)
        rows.append((x, t / n, w * n, offset, row.get(case.get("cluster"))))
    return rows


def gram(rows, factors):
    p = len(rows[0][0])
    sums = matrix(p, p)
    for (x, *_), factor in zip(rows, factors):
        for i in range(p):
            y = factor * x[i]
            for j in range(i + 1):
                sums[i, j] += y * x[j]
    for i in range(p):
        for j in range(i):
            sums[j, i] = sums[i, j]
    return sums


def fit(case):
    rows = read(case)
    constant = case.get("constant", True)
    # Columns are centered and scaled: Newton then starts well, and digits are not lost.
    p = len(rows[0][0])
    first = 1 if constant else 0
    center, scale = [mpf(0)] * p, [mpf(1)] * p
    for j in range(first, p):
        values = [x[j] for x, *_ in rows]
        center[j] = sum(values) / len(values) if constant else mpf(0)
        scale[j] = max(abs(v - center[j]) for v in values)
    raw = rows
    rows = [([(x[j] - center[j]) / scale[j] for j in range(p)], *rest) for x, *rest in rows]
    total = sum(w for _, _, w, *_ in rows)
    ridge = [mpf(0)] * p
    for j in range(first, p):
        ridge[j] = mpf(case.get("ridge", 0)) * total / scale[j] ** 2
    b = matrix(p, 1)

    def predictions(b):
        z = [sum(c * d for c, d in zip(x, b)) + offset for x, _, _, offset, _ in rows]
        return z, [1 / (1 + exp(-v)) if v >= 0 else exp(v) / (1 + exp(v)) for v in z]

    def objective(b):
        z, _ = predictions(b)
        value = sum(w * (log1p(exp(-abs(v))) + (max(v, 0) - t * v)) for v, (_, t, w, *_) in zip(z, rows))
        return value + sum(r * c * c for r, c in zip(ridge, b)) / 2

    for step in range(400):
        z, s = predictions(b)
        h = [w * v * (1 - v) for v, (_, _, w, *_) in zip(s, rows)]
        a = gram(rows, h)
        for j in range(p):
            a[j, j] += ridge[j]
        r = [w * (v - t) for v, (_, t, w, *_) in zip(s, rows)]
        if case.get("firth"):
            inverse = a ** -1
            hat = [k * sum(x[i] * inverse[i, j] * x[j] for i in range(p) for j in range(p)) for k, (x, *_) in zip(h, rows)]
            r = [v + k * (q - mpf(1) / 2) for v, k, q in zip(r, hat, s)]
        g = matrix([sum(v * x[j] for v, (x, *_) in zip(r, rows)) + ridge[j] * b[j] for j in range(p)])
        d = mp.lu_solve(a, -g)
        if not case.get("firth"):
            here = objective(b)
            while max(abs(v) for v in d) > mpf(10) ** -15 and objective(b + d) > here:
                d = d / 2
        b = b + d
        if max(abs(v) for v in d) < mpf(10) ** -40:
            break
    else:
        sys.exit(f"no convergence: {case}")

    z, s = predictions(b)
    h = [w * v * (1 - v) for v, (_, _, w, *_) in zip(s, rows)]
    a = gram(rows, h)
    for j in range(p):
        a[j, j] += ridge[j]
    inverse = a ** -1
    # Back to the columns themselves.
    back = matrix(p, p)
    for j in range(p):
        back[j, j] = 1 / scale[j]
        if j and constant:
            back[0, j] = -center[j] / scale[j]
    errors = lambda meat: [sqrt(v) for v in diagonal(back * inverse * meat * inverse * back.T)]
    diagonal = lambda m: [m[j, j] for j in range(p)]
    result = dict(coef=list(back * b), nonrobust=[sqrt(v) for v in diagonal(back * inverse * back.T)])
    r = [v - t for v, (_, t, *_) in zip(s, rows)]
    meat = gram(rows, [(w * v) ** 2 for v, (_, _, w, *_) in zip(r, rows)])
    result["hc0"] = errors(meat)
    result["hc0_freq"] = errors(gram(rows, [w * v * v for v, (_, _, w, *_) in zip(r, rows)]))
    if "cluster" in case:
        clusters = {}
        for v, (x, _, w, _, c) in zip(r, rows):
            g = clusters.setdefault(c, [mpf(0)] * p)
            for j in range(p):
                g[j] += w * v * x[j]
        result["clustered"] = errors(gram([(g,) for g in clusters.values()], [1] * len(clusters)))
    loss = lambda v, t, y: log1p(exp(-abs(y))) + (max(y, 0) - t * y)
    entropy = lambda t: -sum(k * log(k) for k in (t, 1 - t) if k > 0)
    result["mean_loss"] = [sum(w * loss(v, t, y) for v, y, (_, t, w, *_) in zip(s, z, rows)) / total]
    result["mean_excess"] = [sum(w * (loss(v, t, y) - entropy(t)) for v, y, (_, t, w, *_) in zip(s, z, rows)) / total]
    mean = sum(w * t for _, t, w, *_ in rows) / total
    if "offset" not in case:
        null = sum(w * (-t * log(mean) - (1 - t) * log(1 - mean) - entropy(t)) for _, t, w, *_ in rows) / total
        if null > mpf(10) ** -30:
            result["deviance_explained"] = [1 - result["mean_excess"][0] / null]
    result["brier"] = [sum(w * v * v for v, (_, _, w, *_) in zip(r, rows)) / total]
    if len(rows) > p:
        result["dispersion"] = [sum(w * v * v / (q * (1 - q)) for v, q, (_, _, w, *_) in zip(r, s, rows)) / (len(rows) - p)]
    # Average marginal effects, errors by the delta method with HC0.
    slope = sum(h) / total
    bends = [sum(k * (1 - 2 * v) * x[j] for k, v, (x, *_) in zip(h, s, raw)) / total for j in range(p)]
    covariance = back * inverse * meat * inverse * back.T
    coefficients = back * b
    effects, of_effects = [], []
    for j in range(first, p):
        g = [coefficients[j] * v for v in bends]
        g[j] += slope
        effects.append(coefficients[j] * slope)
        of_effects.append(sqrt(sum(g[i] * covariance[i, k] * g[k] for i in range(p) for k in range(p))))
    result["effects"], result["effect_errors"] = effects, of_effects
    # What a column of nothing but 0 and 1 changes.
    changes, of_changes = [], []
    for j in range(first, p):
        if any(x[j] not in (0, 1) for x, *_ in raw):
            continue
        g, total_change = [mpf(0)] * p, mpf(0)
        for x, _, w, offset, _ in raw:
            for value, sign in ((1, 1), (0, -1)):
                y = list(x)
                y[j] = mpf(value)
                q = 1 / (1 + exp(-(sum(c * d for c, d in zip(y, coefficients)) + offset)))
                total_change += sign * w * q
                for k in range(p):
                    g[k] += sign * w * q * (1 - q) * y[k]
        g = [v / total for v in g]
        changes.append(total_change / total)
        of_changes.append(sqrt(sum(g[i] * covariance[i, k] * g[k] for i in range(p) for k in range(p))))
    result["changes"], result["change_errors"] = changes, of_changes
    return dict(case, rows=len(rows), **{key: [mp.nstr(v, 20) for v in values] for key, values in result.items()})


def main():
    cases = []
    for case in CASES:
        print(case["file"], case["features"], file=sys.stderr, flush=True)
        cases.append(json.dumps(fit(case)))
    print("[\n" + ",\n".join(cases) + "\n]")


main()
