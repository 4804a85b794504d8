"""The same fit and the same loss on every engine: a table of hashes, and what becomes of faults.

    python clusters.py dask dask-array ray spark spark-cluster polars
    python clusters.py --workers 2 --partitions 1,8 dask

Starts each engine on the loopback interface, with each number of workers, and stops it. Ends with an error
unless every hash is that of one partition in one process, and every fault gives that hash or an error that
names it.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import hashlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

import soft_bce
from soft_bce import distributed

ROWS, FEATURES = 20_000, ["a", "b", "c", "d", "e", "f"]


def table() -> pa.Table:
    """Columns of different magnitude, 10 % hard targets, weights over nine orders of magnitude."""
    rng = np.random.default_rng(20261128)
    columns = {name: rng.standard_normal(ROWS) * 10.0**power for power, name in enumerate(FEATURES, -2)}
    logit = sum(column / column.std() for column in columns.values()) - 0.5
    rate = 1 / (1 + np.exp(-logit - rng.standard_normal(ROWS)))
    columns["rate"] = np.where(rng.random(ROWS) < 0.1, np.round(rate), rate)
    columns["size"] = np.exp(3 * rng.standard_normal(ROWS))
    return pa.table(columns)


def pieces(data: pa.Table, partitions: int) -> list[pa.Table]:
    """Another order of the rows for each number of partitions, of unequal sizes; the first is empty."""
    data = data.take(np.random.default_rng(partitions).permutation(len(data)))
    if partitions == 1:
        return [data]
    cuts = (len(data) * (np.arange(partitions) / (partitions - 1)) ** 2).astype(int)
    return [data.slice(0, 0), *(data.slice(a, b - a) for a, b in zip(cuts[:-1], cuts[1:], strict=True))]


def hashes(rows: distributed.Rows, features: Sequence[Any]) -> tuple[str, str]:
    """Of the coefficients with their robust covariance, and of the sums of losses and weights."""
    fit = distributed.fit(rows, "rate", features, weights="size")
    loss = distributed.loss(rows, features[2], "rate", weights="size")
    numbers = np.array([*fit.coefficients, *fit.covariance("hc0").ravel()])
    states = loss.sum.to_bytes() + loss.weight.to_bytes()
    return hashlib.sha256(numbers.tobytes()).hexdigest()[:12], hashlib.sha256(states).hexdigest()[:12]


class Local:
    """No engine: this process."""

    features: Sequence[Any] = FEATURES
    #: How many generations above the process that runs Python the worker is that can be killed.
    worker: int | None = None

    def start(self, workers: int) -> contextlib.AbstractContextManager[Any]:
        return contextlib.nullcontext()

    def rows(self, parts: list[pa.Table]) -> distributed.Rows:
        return distributed.local(parts)


class Polars(Local):
    """This process again; partitions are slices."""

    def rows(self, parts: list[pa.Table]) -> distributed.Rows:
        import polars

        return distributed.polars(polars.concat([polars.from_arrow(part) for part in parts]), rows=997)


class Dask(Local):
    """Worker processes, of which the first has the slowest backend."""

    worker = 0

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
            client.run(os.environ.__setitem__, "SOFT_BCE_BACKEND", "scalar", workers=[first])
            yield

    def rows(self, parts: list[pa.Table]) -> distributed.Rows:
        import dask.dataframe
        from dask import delayed

        frames = [delayed(part.to_pandas)() for part in parts]
        frame = dask.dataframe.from_delayed(frames, meta=parts[0].slice(0, 0).to_pandas())
        return distributed.dask(frame.persist())


class DaskArray(Dask):
    """The same, of arrays."""

    features: Sequence[Any] = range(len(FEATURES))

    def rows(self, parts: list[pa.Table]) -> distributed.Rows:
        import dask
        import dask.array

        def column(name: str) -> Any:
            blocks = [dask.array.from_array(part[name].to_numpy(), chunks=-1) for part in parts if len(part)]
            return dask.array.concatenate(blocks)

        x = dask.array.stack([column(name) for name in FEATURES], axis=1).rechunk({1: -1})
        x, rate, size = dask.persist(x, column("rate"), column("size"))
        return distributed.dask_array(x, rate=rate, size=size)


class Ray(Local):
    """Worker processes."""

    worker = 0

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

    def rows(self, parts: list[pa.Table]) -> distributed.Rows:
        frame = self.spark.createDataFrame(pa.concat_tables(parts))
        return distributed.spark(frame.repartition(len(parts)).cache())


class SparkCluster(Spark):
    """A master and its workers, each a JVM that starts another for its tasks."""

    worker = 2

    @contextlib.contextmanager
    def start(self, workers: int) -> Iterator[Any]:
        import pyspark

        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
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
        of = [[run, "org.apache.spark.deploy.master.Master", *common, "--port", str(port)], *[one] * workers]
        with tempfile.TemporaryDirectory() as directory, contextlib.ExitStack() as stack:
            environment = {**os.environ, "SPARK_LOCAL_IP": "127.0.0.1", "SPARK_WORKER_DIR": directory}
            for command in of:
                process = subprocess.Popen(
                    command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
                )
                stack.callback(process.wait)
                stack.callback(process.terminate)
            with self.session(master):
                yield


ENGINES = {"dask": Dask, "dask-array": DaskArray, "ray": Ray, "spark": Spark}
ENGINES |= {"spark-cluster": SparkCluster, "polars": Polars}


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


def faults(engine: Any, data: pa.Table, expected: tuple[str, str]) -> Iterator[tuple[str, bool, str]]:
    parts = pieces(data, 4)
    bad = parts[2].to_pandas()
    bad.loc[17, "rate"] = 1.5
    wrong = [*parts[:2], pa.Table.from_pandas(bad, preserve_index=False), *parts[3:]]
    try:
        found = hashes(engine.rows(wrong), engine.features)
        yield "a target of 1.5", False, "  ".join(found)
    except ValueError as error:
        yield "a target of 1.5", "partition" in str(error) and "1.5" in str(error), str(error)
    found = hashes(engine.rows(parts), engine.features)
    yield "the cluster after it", found == expected, "  ".join(found)
    if engine.worker is not None:
        with tempfile.TemporaryDirectory() as directory:
            mark = Path(directory) / "killed"
            found = hashes(Killing(engine.rows(parts), engine.worker, mark), engine.features)
            yield "a worker killed", found == expected and mark.exists(), "  ".join(found)


def numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("engines", nargs="+", choices=ENGINES)
    parser.add_argument("--workers", type=numbers, default=[1, 2])
    parser.add_argument("--partitions", type=numbers, default=[1, 2, 3, 8, 64])
    arguments = parser.parse_args()

    data = table()
    expected = hashes(distributed.local([data]), FEATURES)
    print(f"soft_bce {soft_bce.__version__}, {ROWS} rows, backends {', '.join(soft_bce.backends())}\n")
    print("| engine | workers | partitions | fit | loss | s |\n|---|---|---|---|---|---|")
    print(f"| one process |  | 1 | {expected[0]} | {expected[1]} |  |", flush=True)
    right, other = True, []
    for name in arguments.engines:
        engine = ENGINES[name]()
        for workers in arguments.workers if engine.worker is not None else [1]:
            with engine.start(workers):
                for partitions in arguments.partitions:
                    rows, start = engine.rows(pieces(data, partitions)), time.perf_counter()
                    found = hashes(rows, engine.features)
                    right &= found == expected
                    seconds = time.perf_counter() - start
                    print(
                        f"| {name} | {workers} | {partitions} | {found[0]} | {found[1]} | {seconds:.1f} |",
                        flush=True,
                    )
                if workers == max(arguments.workers) or engine.worker is None:
                    other += [(name, *fault) for fault in faults(engine, data, expected)]
    print("\n| engine | fault | as it should be | outcome |\n|---|---|---|---|")
    for name, fault, passed, outcome in other:
        right &= passed
        print(f"| {name} | {fault} | {'yes' if passed else 'NO'} | {outcome.splitlines()[0]} |")
    print("\nEvery hash is equal." if right else "\nNot every hash is equal.")
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
