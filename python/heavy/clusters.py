"""The same fit and the same loss on every engine: a table of hashes, and what becomes of faults.

    python clusters.py dask dask-array ray spark spark-cluster polars
    python clusters.py --workers 2 --partitions 1,8 dask
    python clusters.py datafusion ballista                   # by integrations/ballista, which cargo builds
    python clusters.py --rates dask                          # rows a second, against the engine's own sums
    python clusters.py --costs                               # bytes and time of a partition's states, no engine

Starts each engine on the loopback interface, with each number of workers, and stops it. Ends with an error
unless every hash is that of one partition in one process, and every fault gives that hash or an error that
names it. Of a cluster's workers the first computes by the slowest backend, the others by the fastest.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import hashlib
import os
import pickle
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

import soft_bce
from soft_bce import distributed

# Enough for the linear head, which takes a fit unless its weights are uneven.
ROWS, FEATURES = 100_000, ["a", "b", "c", "d", "e", "f"]


def table(rows: int = ROWS) -> pa.Table:
    """Columns of different magnitude, 10 % hard targets, weights over nine orders of magnitude."""
    rng = np.random.default_rng(20261128)
    columns = {name: rng.standard_normal(rows) * 10.0**power for power, name in enumerate(FEATURES, -2)}
    logit = sum(column / column.std() for column in columns.values()) - 0.5
    rate = 1 / (1 + np.exp(-logit - rng.standard_normal(rows)))
    columns["rate"] = np.where(rng.random(rows) < 0.1, np.round(rate), rate)
    columns["size"] = np.exp(3 * rng.standard_normal(rows))
    return pa.table(columns)


def pieces(data: pa.Table, partitions: int) -> list[pa.Table]:
    """Another order of the rows for each number of partitions, of unequal sizes; the first is empty."""
    data = data.take(np.random.default_rng(partitions).permutation(len(data)))
    if partitions == 1:
        return [data]
    cuts = (len(data) * (np.arange(partitions) / (partitions - 1)) ** 2).astype(int)
    return [data.slice(0, 0), *(data.slice(a, b - a) for a, b in zip(cuts[:-1], cuts[1:], strict=True))]


def digest(found: bytes | list[float]) -> str:
    content = found if isinstance(found, bytes) else np.array(found, np.float64).tobytes()
    return hashlib.sha256(content).hexdigest()[:12]


def hashes(rows: distributed.Rows, features: Sequence[Any]) -> tuple[str, ...]:
    """Of coefficients and robust covariances, with weights and without; of the sums of losses and weights
    and the mean, rounded; of the states of these sums."""
    fits = [distributed.fit(rows, "rate", features, weights=of) for of in ("size", None)]
    of_fits = [number for fit in fits for number in (*fit.coefficients, *fit.covariance("hc0").ravel())]
    loss = distributed.loss(rows, features[2], "rate", weights="size")
    rounded = [loss.sum.value, loss.weight.value, loss.mean]
    return digest(of_fits), digest(rounded), digest(loss.sum.to_bytes() + loss.weight.to_bytes())


class Local:
    """No engine: this process."""

    features: Sequence[Any] = FEATURES
    #: How many generations above the process that runs Python the worker is that can be killed.
    worker: int | None = None
    #: Whether partitions may differ in their columns and types.
    uneven = False
    #: Whether the first of several workers computes by the scalar backend, the others by the fastest.
    mixed = False
    #: Of the slices of Polars.
    slice_rows = 997
    #: What rates() gives.
    rated = "own X'g | loss | step | fit | largest state"

    def start(self, workers: int) -> contextlib.AbstractContextManager[Any]:
        return contextlib.nullcontext()

    def rows(self, parts: list[pa.Table]) -> distributed.Rows:
        return distributed.local(parts)

    def hashes(self, parts: list[pa.Table]) -> tuple[str, ...]:
        return hashes(self.rows(parts), self.features)

    def faults(self, data: pa.Table, expected: tuple[str, ...]) -> Iterable[tuple[str, bool, str]]:
        return faults(self, data, expected)

    def rates(self, name: str, workers: int, rows: int) -> Iterable[str]:
        return rates(self, name, workers, rows)


class Polars(Local):
    """This process again; partitions are slices."""

    def own_sums(self, parts: list[pa.Table]) -> Callable[[], Any]:
        import polars

        frame = polars.concat([polars.from_arrow(part) for part in parts])
        sums = [(polars.col(name) * polars.col("rate")).sum() for name in FEATURES]
        return lambda: frame.select(sums)

    def rows(self, parts: list[pa.Table]) -> distributed.Rows:
        import polars

        return distributed.polars(polars.concat([polars.from_arrow(part) for part in parts]), rows=self.slice_rows)


def _take_the_scalar_backend() -> None:
    # Not os.environ.__setitem__: what reaches the worker is that of a copy.
    os.environ["SOFT_BCE_BACKEND"] = "scalar"


class Dask(Local):
    """Worker processes."""

    worker = 0
    uneven = True
    mixed = True

    @contextlib.contextmanager
    def start(self, workers: int) -> Iterator[Any]:
        from dask.distributed import Client, LocalCluster

        with (
            LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                processes=True,
                host="127.0.0.1",
                dashboard_address=None,
            ) as cluster,
            Client(cluster) as client,
        ):
            first = min(client.scheduler_info()["workers"])
            if self.mixed and workers > 1:
                client.run(_take_the_scalar_backend, workers=[first])
            yield

    def rows(self, parts: list[pa.Table]) -> distributed.Rows:
        import dask.dataframe
        from dask import delayed

        frames = [delayed(part.to_pandas)() for part in parts]
        meta = parts[0].slice(0, 0).to_pandas()
        frame = dask.dataframe.from_delayed(frames, meta=meta, verify_meta=False)
        return distributed.dask(frame.persist())

    def own_sums(self, parts: list[pa.Table]) -> Callable[[], Any]:
        import dask
        import dask.array

        x, g = dask.persist(*self.arrays(parts)[:2])
        return lambda: (x.T @ g).compute()

    def arrays(self, parts: list[pa.Table]) -> tuple[Any, Any, Any]:
        """Features, targets and weights."""
        import dask.array

        def column(name: str) -> Any:
            blocks = [dask.array.from_array(part[name].to_numpy(), chunks=-1) for part in parts if len(part)]
            return dask.array.concatenate(blocks)

        x = dask.array.stack([column(name) for name in FEATURES], axis=1).rechunk({1: -1})
        return x, column("rate"), column("size")


class DaskArray(Dask):
    """The same, of arrays."""

    features: Sequence[Any] = range(len(FEATURES))
    uneven = False

    def rows(self, parts: list[pa.Table]) -> distributed.Rows:
        import dask

        x, rate, size = dask.persist(*self.arrays(parts))
        return distributed.dask_array(x, rate=rate, size=size)


class Ray(Local):
    """Worker processes."""

    worker = 0
    uneven = True

    @contextlib.contextmanager
    def start(self, workers: int) -> Iterator[Any]:
        os.environ["RAY_DATA_DISABLE_PROGRESS_BARS"] = "1"
        import ray

        ray.init(
            num_cpus=workers,
            include_dashboard=False,
            _node_ip_address="127.0.0.1",
            object_store_memory=200 << 20,
            log_to_driver=False,
            logging_level="ERROR",
        )
        try:
            yield
        finally:
            ray.shutdown()

    def rows(self, parts: list[pa.Table]) -> distributed.Rows:
        import ray.data

        return distributed.ray(ray.data.from_arrow(parts))

    def own_sums(self, parts: list[pa.Table]) -> Callable[[], Any]:
        import ray.data

        def sums(batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            g = batch["rate"]
            return {name: np.array([batch[name] @ g]) for name in FEATURES}

        dataset = ray.data.from_arrow(parts).materialize()
        # Not Dataset.sum, whose hash aggregate does not end on one processor.
        of_parts = dataset.map_batches(sums, batch_size=None)
        return lambda: {name: sum(of[name] for of in of_parts.take_all()) for name in FEATURES}


class Spark(Local):
    """Threads of one JVM, each with a process of Python."""

    worker = 0

    @contextlib.contextmanager
    def start(self, workers: int) -> Iterator[Any]:
        with self.session(f"local[{workers},4]"):
            yield

    @contextlib.contextmanager
    def session(self, master: str) -> Iterator[Any]:
        from pyspark.sql import SparkSession

        os.environ |= {"PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"}
        builder = SparkSession.builder.master(master)
        for key, value in {
            "spark.driver.host": "127.0.0.1",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.ui.enabled": "false",
            "spark.ui.showConsoleProgress": "false",
            "spark.executor.memory": "512m",
            "spark.log.level": "OFF",
        }.items():
            builder = builder.config(key, value)
        self.spark = builder.getOrCreate()
        try:
            yield
        finally:
            self.spark.stop()

    def frame(self, parts: list[pa.Table]) -> Any:
        return self.spark.createDataFrame(pa.concat_tables(parts)).repartition(len(parts)).cache()

    def rows(self, parts: list[pa.Table]) -> distributed.Rows:
        return distributed.spark(self.frame(parts))

    def own_sums(self, parts: list[pa.Table]) -> Callable[[], Any]:
        frame = self.frame(parts)
        sums = [f"sum({name} * rate)" for name in FEATURES]
        return lambda: frame.selectExpr(*sums).collect()


class SparkCluster(Spark):
    """A master and its workers, each a JVM that starts another for its tasks."""

    worker = 2
    mixed = True

    @contextlib.contextmanager
    def start(self, workers: int) -> Iterator[Any]:
        import pyspark

        port = free_port()
        master = f"spark://127.0.0.1:{port}"
        run = str(Path(pyspark.__file__).parent / "bin" / "spark-class")
        common = ["--host", "127.0.0.1", "--webui-port", "0"]
        one = [
            run,
            "org.apache.spark.deploy.worker.Worker",
            *common,
            "--cores",
            "1",
            "--memory",
            "1g",
            master,
        ]
        of = [[run, "org.apache.spark.deploy.master.Master", *common, "--port", port], *[one] * workers]
        with tempfile.TemporaryDirectory() as directory, contextlib.ExitStack() as stack:
            environment = {**os.environ, "SPARK_LOCAL_IP": "127.0.0.1", "SPARK_WORKER_DIR": directory}
            for number, command in enumerate(of):
                own = {"SOFT_BCE_BACKEND": "scalar"} if self.mixed and number == 1 < workers else {}
                process = subprocess.Popen(
                    command, env={**environment, **own}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
                )
                stack.callback(process.wait)
                stack.callback(process.terminate)
            with self.session(master):
                yield


def free_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


class DataFusion(Local):
    """A program that reads Parquet files: threads for workers. Its faults are in integrations/*/tests."""

    worker = 0
    rated = "SUM(c) | exact_sum(c) | SUM(c * rate) | bce_sum(c, rate) | bce_sum(c, rate, size)"
    threads = 1
    scheduler: Sequence[str] = ()

    @contextlib.contextmanager
    def start(self, workers: int) -> Iterator[Any]:
        subprocess.run(self.cargo("build", "--bins", "--examples"), check=True)
        self.threads = workers
        yield

    def cargo(self, *command: str) -> list[str]:
        manifest = Path(__file__).parents[2] / "integrations" / "ballista" / "Cargo.toml"
        return ["cargo", *command, "--release", "--quiet", "--locked", f"--manifest-path={manifest}"]

    def run(self, parts: list[pa.Table], *options: str) -> list[tuple[str, list[float]]]:
        """What the program prints."""
        import pyarrow.parquet

        with tempfile.TemporaryDirectory() as directory:
            for number, part in enumerate(parts):
                pyarrow.parquet.write_table(part, f"{directory}/{number}.parquet", compression="none")
            features = ",".join(FEATURES)
            named = [f"--features={features}", "--target=rate", "--weight=size", f"--logit={FEATURES[2]}"]
            options = (*named, *self.scheduler, f"--partitions={len(parts)}", *options)
            command = [*self.cargo("run", "--example=fit"), "--", directory, *options]
            environment = {**os.environ, "TOKIO_WORKER_THREADS": str(self.threads)}
            process = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
        lines = [line.rpartition(": ") for line in process.stdout.splitlines()]
        return [(what, [float(number) for number in numbers.split()]) for what, _, numbers in lines]

    def hashes(self, parts: list[pa.Table]) -> tuple[str, ...]:
        """But for the states, which SQL does not give."""
        found = self.run(parts)
        fits = [number for what, numbers in found for number in numbers if what != "sums"]
        return digest(fits), digest(dict(found)["sums"])

    def faults(self, data: pa.Table, expected: tuple[str, ...]) -> Iterable[tuple[str, bool, str]]:
        return ()

    def rates(self, name: str, workers: int, rows: int) -> Iterable[str]:
        data, size = table(rows), -(-rows // 8)
        parts = [data.slice(first, size) for first in range(0, rows, size)]
        found = self.run(parts, *(f"--rate={select}" for select in self.rated.split(" | ")))
        return [f"| {name} | {workers} | {' | '.join(f'{rate:.2g}' for _, (rate,) in found)} |"]


class Ballista(DataFusion):
    """A scheduler and executors, each a process and with one task at a time."""

    @contextlib.contextmanager
    def start(self, workers: int) -> Iterator[Any]:
        with super().start(1), tempfile.TemporaryDirectory() as directory, contextlib.ExitStack() as stack:

            def node(*arguments: str, port: str) -> None:
                command = [*self.cargo("run"), "--", *arguments, "--port", port]
                process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
                stack.callback(process.wait)
                stack.callback(process.terminate)
                while process.poll() is None:
                    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", int(port))):
                        return
                    time.sleep(0.05)
                raise RuntimeError(f"a node ended: {' '.join(command)}")

            scheduler = free_port()
            node("scheduler", port=scheduler)
            self.scheduler = [f"--scheduler=df://127.0.0.1:{scheduler}"]
            for number in range(workers):
                results = Path(directory) / str(number)
                results.mkdir()
                ports = ["--grpc-port", free_port(), "--scheduler-port", scheduler]
                node("executor", *ports, "--directory", str(results), port=free_port())
            yield
            idle = [of.name for of in Path(directory).iterdir() if not any(of.rglob("*.arrow"))]
            if idle:
                raise RuntimeError(f"executors without results: {idle}")


ENGINES = {"dask": Dask, "dask-array": DaskArray, "ray": Ray, "spark": Spark}
ENGINES |= {"spark-cluster": SparkCluster, "polars": Polars, "datafusion": DataFusion, "ballista": Ballista}


class Killing:
    """Rows whose second partition kills its worker once, when it has its state, and so is run twice."""

    def __init__(self, rows: distributed.Rows, worker: int, mark: Path) -> None:
        self.rows, self.worker, self.mark = rows, worker, mark

    def reduce(self, part: Any, columns: Any) -> Any:
        return self.rows.reduce(functools.partial(_kill, part, self.worker, str(self.mark)), columns)


def _kill(part: Callable[..., Any], worker: int, mark: str, batches: Iterable[Any], number: int) -> Any:
    state = part(batches, number)
    if number == 1 and not os.path.exists(mark):
        Path(mark).touch()
        process = os.getpid()
        for _ in range(worker):
            process = int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
        os.kill(process, signal.SIGKILL)
    return state


def spoilt(parts: list[pa.Table], column: str, change: Callable[[np.ndarray], Any] | None) -> list[pa.Table]:
    """The same but for a column of the third partition, which it lacks without a change."""
    part = parts[2]
    at = part.column_names.index(column)
    if change is None:
        part = part.remove_column(at)
    else:
        part = part.set_column(at, column, pa.array(change(part[column].to_numpy().copy())))
    return [*parts[:2], part, *parts[3:]]


def put(value: float) -> Callable[[np.ndarray], np.ndarray]:
    def change(values: np.ndarray) -> np.ndarray:
        values[17] = value
        return values

    return change


def _backends(batches: Iterable[Any], number: int) -> soft_bce.LossSum:
    """1 where the backend is the scalar one, 1024 where it is the fastest."""
    return soft_bce.LossSum([1.0 if os.environ.get("SOFT_BCE_BACKEND") == "scalar" else 1024.0])


def faults(engine: Any, data: pa.Table, expected: tuple[str, ...]) -> Iterator[tuple[str, bool, str]]:
    """What was done, whether the outcome is as it should be, and the outcome."""
    parts = pieces(data, 4)

    def outcome(parts: list[pa.Table]) -> str:
        try:
            return "  ".join(hashes(engine.rows(parts), engine.features))
        except (ValueError, TypeError) as error:
            return str(error).splitlines()[0]

    bad: list[tuple[str, str, Callable[[np.ndarray], Any] | None, str]] = [
        ("a target of 1.5", "rate", put(1.5), "target 1.5 in row"),
        ("a NaN feature", "c", put(np.nan), "NaN in row"),
        ("a negative weight", "size", put(-1e-60), "weight -1e-60 in row"),
    ]
    if engine.uneven:
        bad += [
            ("a partition without a column", "c", None, "partition 2: there is no column 'c'"),
            ("a column of text in a partition", "c", lambda c: c.astype(str), "partition 2: column 'c' has"),
        ]
    for what, column, change, said in bad:
        found = outcome(spoilt(parts, column, change))
        yield what, "partition" in found and said in found, found
    if engine.uneven:
        narrow = spoilt(parts, "c", lambda c: c.astype(np.float32))
        right = "  ".join(hashes(distributed.local(narrow), FEATURES))
        found = outcome(narrow)
        yield "a column of float32 in a partition", found == right, found
    try:
        distributed.loss(engine.rows(parts), engine.features[2], "rate", backend=open)
        yield "an option of no use", False, "no error"
    except TypeError as error:
        yield "an option of no use", "partition" in str(error), str(error).splitlines()[0]
    try:
        distributed.loss(engine.rows(parts), engine.features[2], "rate", backend=threading.Lock())
        yield "an option that does not pickle", False, "no error"
    except TypeError as error:
        yield "an option that does not pickle", "backend" in str(error), str(error).splitlines()[0]
    found = outcome(parts)
    yield "the cluster after them", found == "  ".join(expected), found
    if engine.mixed:
        fastest, scalar = divmod(engine.rows(pieces(data, 64)).reduce(_backends, ["c"]).value, 1024)
        counts = f"{scalar:.0f} partitions by the scalar backend, {fastest:.0f} by the fastest"
        yield "workers of two kinds", scalar > 0 < fastest, counts
    if engine.worker is not None:
        with tempfile.TemporaryDirectory() as directory:
            mark = Path(directory) / "killed"
            killed = hashes(Killing(engine.rows(parts), engine.worker, mark), engine.features)
            yield "a worker killed", killed == expected and mark.exists(), "  ".join(killed)


class Timed:
    """Rows that add up the time of each kind of pass."""

    def __init__(self, rows: distributed.Rows) -> None:
        self.rows = rows
        self.seconds: list[float] = []
        self.bytes: list[int] = []

    def reduce(self, part: Any, columns: Any) -> Any:
        start = time.perf_counter()
        state = self.rows.reduce(part, columns)
        self.seconds.append(time.perf_counter() - start)
        self.bytes.append(len(pickle.dumps(state)))
        return state


def rates(engine: Any, name: str, workers: int, rows: int) -> Iterator[str]:
    """Million rows a second: the engine's own X.T @ rate, the loss, a step of a fit."""
    parts = np.array_split(np.arange(rows), 8)
    data = table(rows)
    parts = [data.slice(part[0], len(part)) for part in parts]

    def best(call: Callable[[], Any]) -> float:
        call()
        seconds = []
        for _ in range(3):
            start = time.perf_counter()
            call()
            seconds.append(time.perf_counter() - start)
        return min(seconds)

    held = engine.rows(parts)
    own = best(engine.own_sums(parts))
    loss = best(lambda: distributed.loss(held, engine.features[2], "rate"))
    timed = Timed(held)
    distributed.fit(timed, "rate", engine.features)
    # The scan and the centers come first, the report last; of those between some look at a sample.
    newton = float(np.median(timed.seconds[2:-1]))
    figures = " | ".join(f"{rows / seconds / 1e6:.2g}" for seconds in (own, loss, newton))
    fit = sum(timed.seconds)
    yield f"| {name} | {workers} | {figures} | {fit:.1f} s, {len(timed.seconds)} passes | {max(timed.bytes):,} bytes |"


class Metered:
    """Rows in this process that note bytes and time of each partition's state, pass by pass."""

    def __init__(self, parts: list[Any]) -> None:
        self.parts = parts
        self.passes: list[tuple[list[int], float]] = []

    def reduce(self, part: Any, columns: Any) -> Any:
        start = time.perf_counter()
        states = [part([rows], number) for number, rows in enumerate(self.parts)]
        seconds = time.perf_counter() - start
        self.passes.append(([len(pickle.dumps(state)) for state in states], seconds))
        return distributed.merged(states)


#: Of the estimate on paper; the tree of states has 16 branches.
PAPER_ROWS, PAPER_WORKERS, BRANCHES = 10**12, 1000, 16


def costs() -> Iterator[str]:
    """What a partition sends, pass by pass, by columns, weights and partitions; the estimate from these."""
    yield "| columns | weights | partitions | rows | passes | scan | gradient | Hessian | report | ns a row |"
    yield "|---|---|---|---|---|---|---|---|---|---|"
    paper = []
    for weights in (None, "size"):
        for columns, rows, partitions in [
            (2, 1_200_000, 4),
            (4, 300_000, 4),
            (8, 300_000, 1),
            (8, 300_000, 8),
            (8, 300_000, 64),
            (16, 100_000, 4),
            (32, 100_000, 4),
        ]:
            if weights:
                rows //= 8
            rng = np.random.default_rng(columns)
            data = {f"x{number}": rng.standard_normal(rows) for number in range(columns)}
            names = list(data)
            data["rate"] = 1 / (1 + np.exp(-sum(data.values()) / columns - rng.standard_normal(rows)))
            data["size"] = np.exp(3 * rng.standard_normal(rows))
            cuts = np.linspace(0, rows, partitions + 1).astype(int)
            bounds = zip(cuts[:-1], cuts[1:], strict=True)
            parts = [{name: of[a:b] for name, of in data.items()} for a, b in bounds]
            metered = Metered(parts)
            distributed.fit(metered, "rate", names, weights=weights)
            if any(max(sizes) != min(sizes) for sizes, _ in metered.passes):
                raise RuntimeError(f"states of partitions differ in size: {metered.passes}")
            sizes = [of[0] for of, _ in metered.passes]
            steps = sizes[1:-1]
            nanoseconds = sum(seconds for _, seconds in metered.passes) / rows * 1e9
            figures = [len(sizes), sizes[0], min(steps), max(steps), sizes[-1], round(nanoseconds)]
            cells = [columns, weights or "none", partitions, rows, *figures]
            yield "| " + " | ".join(f"{cell:,}" if isinstance(cell, int) else cell for cell in cells) + " |"
            if columns == 8 and partitions == 8:
                paper.append((weights or "none", sizes, nanoseconds))
    yield f"\n{PAPER_ROWS:.0e} rows of 8 columns on {PAPER_WORKERS:,} workers, merged {BRANCHES} at a time:\n"
    yield "| weights | time of a worker's rows | states merged | bytes merged in a fit | bytes that the last merge reads |"
    yield "|---|---|---|---|---|"
    levels = [PAPER_WORKERS]
    while levels[-1] > 1:
        levels.append(-(-levels[-1] // BRANCHES))
    merged = sum(levels[:-1])
    for weights, sizes, nanoseconds in paper:
        minutes = PAPER_ROWS / PAPER_WORKERS * nanoseconds / 1e9 / 60
        total, last = merged * sum(sizes) / 1e6, levels[-2] * max(sizes)
        yield f"| {weights} | {minutes:.1f} minutes | {merged:,} a pass | {total:.1f} MB | up to {last:,} |"


def numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("engines", nargs="*", metavar="engine", help=", ".join(ENGINES))
    parser.add_argument("--workers", type=numbers, default=[1, 2])
    parser.add_argument("--partitions", type=numbers, default=[1, 2, 3, 8, 64])
    parser.add_argument("--rates", nargs="?", const=1_000_000, type=int, metavar="ROWS")
    parser.add_argument("--costs", action="store_true")
    arguments = parser.parse_args()
    unknown = set(arguments.engines) - set(ENGINES)
    if unknown or bool(arguments.engines) == arguments.costs:
        parser.error(f"no engine: {', '.join(unknown)}" if unknown else "either engines or --costs")

    if arguments.costs:
        for line in costs():
            print(line, flush=True)
        return 0
    if arguments.rates:
        rated = None
        for name in arguments.engines:
            engine = ENGINES[name]()
            engine.mixed, engine.slice_rows = False, 1 << 16
            if engine.rated != rated:
                rated = engine.rated
                print(f"| engine | workers | {rated} |\n|---|---|{'---|' * len(rated.split(' | '))}")
            for workers in arguments.workers if engine.worker is not None else [1]:
                with engine.start(workers):
                    for line in engine.rates(name, workers, arguments.rates):
                        print(line, flush=True)
        return 0

    data = table()
    print(f"soft_bce {soft_bce.__version__}, {ROWS} rows, backends {', '.join(soft_bce.backends())}\n")
    print("| engine | workers | partitions | fit | sums | states | s |\n|---|---|---|---|---|---|---|")
    expected = hashes(distributed.local([data]), FEATURES)
    print(f"| one process |  | 1 | {' | '.join(expected)} |  |", flush=True)
    right, other = True, []
    for name in arguments.engines:
        engine = ENGINES[name]()
        for workers in arguments.workers if engine.worker is not None else [1]:
            with engine.start(workers):
                for partitions in arguments.partitions:
                    parts, start = pieces(data, partitions), time.perf_counter()
                    found = engine.hashes(parts)
                    right &= found == expected[: len(found)]
                    cells = [name, workers, partitions, *found, *[""] * (len(expected) - len(found))]
                    cells.append(f"{time.perf_counter() - start:.1f}")
                    print(f"| {' | '.join(map(str, cells))} |", flush=True)
                if workers == max(arguments.workers) or engine.worker is None:
                    other += [(name, *fault) for fault in engine.faults(data, expected)]
    if other:
        print("\n| engine | fault | as it should be | outcome |\n|---|---|---|---|")
    for name, fault, passed, outcome in other:
        right &= passed
        print(f"| {name} | {fault} | {'yes' if passed else 'NO'} | {outcome.splitlines()[0]} |")
    print("\nEvery hash is equal." if right else "\nNot every hash is equal.")
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
