"""One fit, one loss, on any cluster: the same bits with any number of workers, partitions and files.

A pass over the rows is a function of a partition, and its result an exact sum: merged in whatever order,
whatever the partitions, it is the same bytes. What differs between engines is how partitions are reached:

    rows = distributed.dask(frame)          a Dask DataFrame
    rows = distributed.ray(dataset)         a Ray Dataset
    rows = distributed.spark(frame)         a Spark DataFrame
    rows = distributed.polars(frame)        a Polars DataFrame or LazyFrame, in this process
    rows = distributed.local(parts)         any tables with columns by name, in this process

    fit = distributed.fit(rows, "rate", ["match", "size"], weights="employees")
    loss = distributed.loss(rows, "logit", "rate").mean

>>> import numpy as np
>>> from soft_bce import distributed
>>> table = {"x": np.arange(8.0), "t": np.array([0.1, 0.2, 0.2, 0.4, 0.5, 0.7, 0.6, 0.9])}
>>> whole = distributed.fit(distributed.local([table]), "t", ["x"])
>>> halves = [{name: column[part] for name, column in table.items()} for part in (slice(5, 8), slice(0, 5))]
>>> (distributed.fit(distributed.local(halves), "t", ["x"]).coefficients == whole.coefficients).all()
np.True_

Errors
    A value that cannot be used, a column that a partition lacks, a type that is no number: ValueError or
    TypeError that names the partition, and the row in it. A task that is retried, run twice or lost with its
    worker changes nothing: the engine hands over each partition's state once, or fails.
"""

from __future__ import annotations

import functools
import os
import pickle
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from ._core import Fit, LossSum, Model, Task, accumulate

__all__ = [
    "Loss",
    "Rows",
    "dask",
    "dask_array",
    "exact_sum",
    "fit",
    "local",
    "loss",
    "merged",
    "polars",
    "ray",
    "spark",
]

#: How many states are merged at a time.
_FAN_IN = 16

#: From batches of a partition's rows, and its number, to a state, which pickles.
Part = Callable[[Iterable[Any], int], Any]


class Rows(Protocol):
    """Rows that an engine holds in partitions. To add an engine, write this one method."""

    def reduce(self, part: Part, columns: Sequence[Any]) -> Any:
        """The `merged` states of all partitions; `columns` are all that `part` looks at."""
        ...


def merged(states: Sequence[Any]) -> Any:
    """The state of all rows of these states, which stay as they are: a task may be run again on them."""
    total = pickle.loads(pickle.dumps(states[0]))
    for state in states[1:]:
        total.merge(state)
    return total


class Loss(NamedTuple):
    """Exact sums over all rows."""

    sum: LossSum
    """Of the losses."""
    weight: LossSum
    """Of the weights: without weights, the number of rows."""

    def merge(self, other: Loss) -> None:
        """Adds those of other rows."""
        self.sum.merge(other.sum)
        self.weight.merge(other.weight)

    @property
    def mean(self) -> float:
        """The sum over the total weight."""
        return self.sum.divided_by(self.weight)


def fit(
    rows: Rows,
    target: Any,
    features: Sequence[Any],
    *,
    weights: Any = None,
    trials: Any = None,
    offset: Any = None,
    clusters: Any = None,
    **model: Any,
) -> Fit:
    """Fits a fractional logit in some ten passes over the rows.

    Columns are named as the tables name them; the model's options are those of `soft_bce._core.Model`.
    Coefficients and covariances are those of a single machine, bit for bit. Workers take the backend that their
    environment variable SOFT_BCE_BACKEND names, if there is one.
    """
    of_rows = {"weights": weights, "trials": trials, "offset": offset, "clusters": clusters}
    of_rows = {argument: name for argument, name in of_rows.items() if name is not None}
    features = list(features)
    solver = Model(**model).solver(len(features))
    while True:
        part = functools.partial(_task_part, solver.task(), target, features, of_rows)
        done = solver.step(rows.reduce(part, [target, *features, *of_rows.values()]))
        if done is not None:
            return done


def loss(rows: Rows, logit: Any, target: Any, *, weights: Any = None, **options: Any) -> Loss:
    """The exact sum of the losses of all rows, and of their weights. Options are those of `soft_bce.loss`.

    The backend is that of fit, the type of a partition's losses that of its logits.
    """
    for option, value in options.items():
        try:
            pickle.dumps(value)
        except Exception as error:
            raise TypeError(f"{option} cannot be sent to workers: {error}") from None
    columns = [logit, target] if weights is None else [logit, target, weights]
    return rows.reduce(functools.partial(_loss_part, logit, target, weights, options), columns)


def exact_sum(rows: Rows, column: Any) -> LossSum:
    """The exact sum of a column."""
    return rows.reduce(functools.partial(_sum_part, column), [column])


def local(parts: Iterable[Any]) -> Rows:
    """Tables, one a partition, in this process: pandas, Polars, Arrow, dictionaries of arrays."""
    return _Local(list(parts))


def polars(frame: Any, rows: int = 1 << 16) -> Rows:
    """A Polars DataFrame, or a LazyFrame that is collected for each pass; so many rows at a time."""
    return _Polars(frame, rows)


def dask(frame: Any) -> Rows:
    """A Dask DataFrame. Persist it, or every pass reads it anew."""
    if not hasattr(frame, "to_delayed"):
        found = f"{type(frame).__module__}.{type(frame).__qualname__}"
        raise TypeError(
            f"dask() takes a Dask DataFrame, not {found}: local() takes tables that are in this process"
        )
    return _Dask([[number, part] for number, part in enumerate(frame.to_delayed())], frame)


def dask_array(x: Any, **columns: Any) -> Rows:
    """A Dask array of rows by features, which are named 0, 1, 2, ..., and further columns by name."""
    x = x.rechunk({1: -1})
    others = {name: column.rechunk({0: x.chunks[0]}).to_delayed() for name, column in columns.items()}
    parts = []
    for number, block in enumerate(x.to_delayed()[:, 0]):
        parts.append([number, block, {name: blocks[number] for name, blocks in others.items()}])
    return _Dask(parts, (x, columns))


def ray(dataset: Any) -> Rows:
    """A Ray Dataset, whose blocks are kept in the object store."""
    return _Ray(dataset.to_arrow_refs())


def spark(frame: Any) -> Rows:
    """A Spark DataFrame. Cache it, or every pass reads it anew."""
    return _Spark(frame)


def _column(batch: Any, name: Any) -> np.ndarray:
    if isinstance(batch, Mapping):
        names = batch.keys()
    else:
        # Arrow's `columns` are the columns, those of pandas and Polars the names.
        names = batch.column_names if hasattr(batch, "column_names") else batch.columns
    if name not in names:
        raise ValueError(f"there is no column {name!r}")
    values = np.asarray(batch[name])
    if values.dtype.kind not in "fiub":
        raise TypeError(f"column {name!r} has the type {values.dtype}, which is no number")
    return values


def _numbers(values: np.ndarray, name: Any) -> np.ndarray:
    """The numbers of clusters; negative ones are as good as others."""
    if values.dtype.kind == "f":
        raise TypeError(f"column {name!r} has the type {values.dtype}; clusters are integers")
    return np.ascontiguousarray(values.astype(np.int64)).view(np.uint64)


def _named(part: Callable[..., Any]) -> Callable[..., Any]:
    """Errors say which partition they are of."""

    @functools.wraps(part)
    def named(*arguments: Any) -> Any:
        try:
            return part(*arguments)
        except (ValueError, TypeError) as error:
            kind = ValueError if isinstance(error, ValueError) else TypeError
            raise kind(f"partition {arguments[-1]}: {error}") from None

    return named


@_named
def _task_part(
    task: Task,
    target: Any,
    features: list[Any],
    of_rows: dict[str, Any],
    batches: Iterable[Any],
    number: int,
) -> Any:
    state, first_row = task.start(), 0
    backend = os.environ.get("SOFT_BCE_BACKEND")
    if backend:
        task = task.on(backend)
    for batch in batches:
        columns = [_column(batch, name) for name in features]
        targets = _column(batch, target)
        others = {argument: _column(batch, name) for argument, name in of_rows.items()}
        if "clusters" in others:
            others["clusters"] = _numbers(others["clusters"], of_rows["clusters"])
        state.merge(task.evaluate(columns, targets, first_row=first_row, **others))
        first_row += len(targets)
    return state


@_named
def _loss_part(
    logit: Any, target: Any, weights: Any, options: dict[str, Any], batches: Iterable[Any], number: int
) -> Loss:
    total, first_row = Loss(LossSum(), LossSum()), 0
    backend = os.environ.get("SOFT_BCE_BACKEND")
    if backend:
        options = {**options, "backend": backend}
    for batch in batches:
        z, t = _column(batch, logit), _column(batch, target)
        w = None if weights is None else _column(batch, weights)
        try:
            accumulate(z, t, total.sum, weights=w, **options)
        except ValueError as error:
            place = f", in the rows from {first_row} on" if first_row else ""
            raise ValueError(f"{error}{place}") from None
        if w is None:
            total.weight.add(float(len(z)))
        else:
            # Rounded as the loss has them: float16 is computed as float32.
            narrow = z.dtype.kind == "f" and z.dtype.itemsize <= 4
            total.weight.add_array(w.astype(np.float32) if narrow else w)
        first_row += len(z)
    return total


@_named
def _sum_part(column: Any, batches: Iterable[Any], number: int) -> LossSum:
    total = LossSum()
    for batch in batches:
        total.add_array(_column(batch, column))
    return total


class _Local:
    def __init__(self, parts: list[Any]) -> None:
        self.parts = parts

    def reduce(self, part: Part, columns: Sequence[Any]) -> Any:
        return merged([part([rows], number) for number, rows in enumerate(self.parts)] or [part([], 0)])


class _Polars:
    def __init__(self, frame: Any, rows: int) -> None:
        self.frame, self.rows = frame, rows

    def reduce(self, part: Part, columns: Sequence[Any]) -> Any:
        frame = self.frame
        if hasattr(frame, "collect"):
            known = frame.collect_schema().names()
            frame = frame.select([name for name in dict.fromkeys(columns) if name in known]).collect()
        return part(frame.iter_slices(self.rows), 0)


def _array_columns(x: np.ndarray, others: dict[str, np.ndarray]) -> dict[Any, np.ndarray]:
    return {**{index: x[:, index] for index in range(x.shape[1])}, **others}


def _dask_part(part: Part, number: int, rows: Any, others: dict[str, Any] | None = None) -> Any:
    return part([rows if others is None else _array_columns(rows, others)], number)


class _Dask:
    def __init__(self, parts: list[list[Any]], collections: Any) -> None:
        # Persisted blocks live as long as what they were persisted as.
        self.parts, self.collections = parts, collections

    def reduce(self, part: Part, columns: Sequence[Any]) -> Any:
        from dask import delayed

        states = [delayed(_dask_part)(part, *rows) for rows in self.parts]
        while len(states) > 1:
            groups = range(0, len(states), _FAN_IN)
            states = [delayed(merged)(states[at : at + _FAN_IN]) for at in groups]
        return states[0].compute()


def _ray_part(part: Part, rows: Any, number: int) -> Any:
    return part([rows], number)


def _ray_merged(*states: Any) -> Any:
    return merged(states)


class _Ray:
    def __init__(self, blocks: list[Any]) -> None:
        self.blocks = blocks

    def reduce(self, part: Part, columns: Sequence[Any]) -> Any:
        import ray

        evaluate, join = ray.remote(_ray_part), ray.remote(_ray_merged)
        states = [evaluate.remote(part, rows, number) for number, rows in enumerate(self.blocks)]
        while len(states) > 1:
            groups = range(0, len(states), _FAN_IN)
            states = [join.remote(*states[at : at + _FAN_IN]) for at in groups]
        try:
            return ray.get(states[0]) if states else part([], 0)
        except ray.exceptions.RayTaskError as error:
            cause = error.cause if isinstance(error.cause, (ValueError, TypeError)) else error
            raise cause from None


class _Spark:
    def __init__(self, frame: Any) -> None:
        self.frame = frame

    def reduce(self, part: Part, columns: Sequence[Any]) -> Any:
        from pyspark.errors import PythonException

        def state(batches: Iterable[Any]) -> Iterable[Any]:
            import pyarrow
            from pyspark import TaskContext

            number = TaskContext.get().partitionId()
            yield pyarrow.RecordBatch.from_pydict({"state": [pickle.dumps(part(batches, number))]})

        known = [name for name in dict.fromkeys(columns) if name in self.frame.columns]
        try:
            rows = self.frame.select(*known).mapInArrow(state, "state binary").collect()
        except PythonException as error:
            named = re.search(r"(ValueError|TypeError): (partition \d+: .*)", str(error))
            if named is None:
                raise
            kind = ValueError if named[1] == "ValueError" else TypeError
            raise kind(named[2]) from None
        return merged([pickle.loads(row.state) for row in rows] or [part([], 0)])
