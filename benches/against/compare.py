#!/usr/bin/env python3
"""Times two builds of measured.rs in turn, A B B A, on the same memory, and prints their ratios.

Called by benches/against.sh. Every case is measured in every pass over all cases, so that a
disturbance of some milliseconds meets many cases once and none always. What counts is the median of
the ratios B / A of neighbouring samples.
"""

import argparse
import array
import ctypes
import mmap
import re
import statistics
import time
from random import Random

BACKENDS = ["scalar", "wide", "avx2", "avx512", "neon"]
OPERATIONS = ["loss", "sum", "gradient", "sum_gradient", "gradient_hessian", "sum_gradient_hessian"]
MEANS = ["mean", "mean_gradient"]
FUNCTIONS = ["sigmoid", "log_sigmoid", "softplus", "logit"]
LENGTHS = [1, 16, 64, 67, 100, 128, 512, 1000, 16384, 1 << 24]
IN_CACHE = 16384
SAMPLE = 100e-6  # seconds


def cases():
    """Every case that measured.rs may know: type/backend/mode/operation/length."""
    for element in ["f32", "f64"]:
        for backend in BACKENDS:
            for operation in OPERATIONS + MEANS + FUNCTIONS:
                for n in LENGTHS:
                    yield f"{element}/{backend}//{operation}/{n}"
            for mode in ["exact", "excess", "weights", "options"]:
                for operation in OPERATIONS + MEANS:
                    for n in LENGTHS:
                        yield f"{element}/{backend}/{mode}/{operation}/{n}"


def is_default(case):
    """Left out unless asked for: long inputs on backends that only compute; modes and means at
    most lengths."""
    _, backend, mode, operation, n = case.split("/")
    n = int(n)
    if mode or operation in MEANS:
        return n in (67, IN_CACHE) and operation in ("gradient", "sum_gradient", "mean_gradient")
    return n <= IN_CACHE or backend not in ("scalar", "wide")


class Slices(ctypes.Structure):
    """z, t, w, g, h, each from a page on: logits of standard deviation 3, targets uniform in [0, 1),
    weights in [0, 4), outputs. They repeat after 2^16 elements, which no branch predictor learns."""

    _fields_ = [(name, ctypes.c_void_p) for name in "ztwgh"]
    PERIOD = 1 << 16
    VALUES = {
        "z": lambda random: random.gauss(0, 3),
        "t": lambda random: random.randrange(1 << 24) / (1 << 24),
        "w": lambda random: random.randrange(1 << 24) / (1 << 22),
        "g": lambda random: 0,
        "h": lambda random: 0,
    }

    def __init__(self, code, length):
        super().__init__()
        self.maps = []
        for name, value in self.VALUES.items():
            random = Random(name)
            period = array.array(code, [value(random) for _ in range(min(length, self.PERIOD))])
            # Private: shared memory has small pages whatever is advised.
            memory = mmap.mmap(-1, length * period.itemsize, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            memory.madvise(mmap.MADV_HUGEPAGE)
            for _ in range(length // len(period)):
                memory.write(period)
            setattr(self, name, ctypes.addressof(ctypes.c_char.from_buffer(memory)))
            self.maps.append(memory)


def load(path):
    library = ctypes.CDLL(path)
    library.time.restype = ctypes.c_double
    library.time.argtypes = [ctypes.c_char_p, ctypes.POINTER(Slices), ctypes.c_size_t]
    return library


class Case:
    def __init__(self, name, slices, libraries):
        self.name, self.slices = name, slices
        self.n = int(name.rsplit("/", 1)[1])
        self.functions = [library.time for library in libraries]
        self.key = name.encode()
        self.times = [[], []]
        self.ratios = []
        once = [self.sample(which, 1) for which in (0, 1)]
        self.exists = min(once) > 0
        if self.exists:
            once = max(self.sample(which, 1) for which in (0, 1))
            once = max(self.sample(which, max(1, int(20e3 / once))) for which in (0, 1))
            self.calls = max(1, round(SAMPLE * 1e9 / once))

    def sample(self, which, calls):
        return self.functions[which](self.key, self.slices, calls)

    def measure(self):
        # Untimed: code and branch history come back.
        for which in (0, 1):
            self.sample(which, max(1, self.calls // 10) if self.n < 1 << 20 else 1)
        a, b, b2, a2 = (self.sample(which, self.calls) for which in (0, 1, 1, 0))
        self.times[0] += [a, a2]
        self.times[1] += [b, b2]
        self.ratios += [b / a, b2 / a2]

    @property
    def ratio(self):
        return statistics.median(self.ratios)


def table(head, rows):
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    for row in [head, *rows]:
        print("  ".join(cell.ljust(w) if i < 4 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths))))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("libraries", nargs=2)
    parser.add_argument("--names", nargs=2, default=["A", "B"])
    parser.add_argument("--filter", help="cases whose name type/backend/mode/operation/length matches, "
                        "those outside the default set too; e.g. '^f32/avx2//sum/'")
    parser.add_argument("--seconds", type=float, default=45, help="of measuring")
    parser.add_argument("--csv", help="writes every case: name, ns per call of both, ratio")
    arguments = parser.parse_args()

    started = time.monotonic()
    libraries = [load(path) for path in arguments.libraries]
    chosen = [case for case in cases() if
              (re.search(arguments.filter, case) if arguments.filter else is_default(case))]
    longest = max((int(case.rsplit("/", 1)[1]) for case in chosen), default=0)
    length = 1 << (max(longest, 1024) - 1).bit_length()
    slices = {element: Slices(code, length) for element, code in [("f32", "f"), ("f64", "d")]
              if any(case.startswith(element) for case in chosen)}
    measured = [case for name in chosen if (case := Case(name, slices[name[:3]], libraries)).exists]
    if not measured:
        parser.error("no such case in both revisions on this machine")

    passes = 0
    while passes < 3 or time.monotonic() - started < arguments.seconds:
        for case in measured:
            # Long ones take most of the time.
            if case.n <= IN_CACHE or passes % 4 == 0:
                case.measure()
        passes += 1

    new_over_base = "{1} / {0}".format(*arguments.names)
    print(f"time of {new_over_base}; below 1 is faster. Medians of {2 * passes} interleaved pairs "
          f"({min(len(case.ratios) for case in measured)} above {IN_CACHE} elements).\n")
    lengths = sorted({case.n for case in measured})
    rows = {}
    for case in measured:
        rows.setdefault(tuple(case.name.split("/")[:4]), {})[case.n] = f"{case.ratio:.3f}"
    table(["type", "backend", "mode", "operation", *map(str, lengths)],
          [[*key, *(row.get(n, "") for n in lengths)] for key, row in rows.items()])

    print("\nmedian ratio")
    groups = {"all": measured}
    for case in measured:
        element, backend = case.name.split("/")[:2]
        where = "in cache" if 1000 <= case.n <= IN_CACHE else "short" if case.n < 1000 else "long"
        groups.setdefault(f"{element} {backend} {where}", []).append(case)
    for name, group in groups.items():
        ratios = [case.ratio for case in group]
        print(f"  {name:24} {statistics.median(ratios):.3f}   {min(ratios):.3f} to {max(ratios):.3f}, {len(group)} cases")
    print("\nslowest against the base, ns per call")
    for case in sorted(measured, key=lambda case: -case.ratio)[:12]:
        base, new = map(statistics.median, case.times)
        print(f"  {case.name:44} {base:12.1f} {new:12.1f}  {case.ratio:.3f}")
    if arguments.csv:
        with open(arguments.csv, "w", encoding="ascii") as file:
            print("case,base_ns,new_ns,ratio", file=file)
            for case in measured:
                base, new = map(statistics.median, case.times)
                print(f"{case.name},{base:.2f},{new:.2f},{case.ratio:.4f}", file=file)
    print(f"\n{time.monotonic() - started:.0f} s of measuring")


main()
