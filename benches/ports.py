#!/usr/bin/env python3
"""Static port counts of the hot loops: what llvm-mca predicts for their machine code.

Builds the instruction-count benchmark with readable symbols, disassembles the fast loops of
the AVX2 and AVX-512 walks, and writes docs/speed/ports.md. Needs llvm-22 (Debian package):
llvm-mca, llvm-objdump.
"""

import collections
import json
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LLVM = Path(os.environ.get("LLVM", "/usr/lib/llvm-22/bin"))
CPUS = ["znver4", "sapphirerapids"]
LOSS, GRADIENT, HESSIAN, SUM = 1, 2, 4, 8
OPERATIONS = {
    LOSS: "loss",
    SUM: "sum",
    GRADIENT: "gradient",
    SUM | GRADIENT: "sum_gradient",
    GRADIENT | HESSIAN: "gradient_hessian",
    SUM | GRADIENT | HESSIAN: "sum_gradient_hessian",
}
# Cycles that the floating-point multiply-add pipes are busy with one 512-bit (256-bit)
# operation on Zen 4, measured on it with eight independent copies of each.
BUSY = {"fma": (1.0, 0.5), "div ps": (5.76, 2.87), "div pd": (8.64, 4.4)}


def run(*command, **options):
    return subprocess.run(command, check=True, capture_output=True, text=True, **options).stdout


def build():
    environment = dict(os.environ, RUSTFLAGS="-C symbol-mangling-version=v0")
    log = run("cargo", "bench", "--bench", "instructions", "--no-run", "--message-format=json",
              cwd=ROOT, env=environment)
    for line in log.splitlines():
        message = json.loads(line)
        if message.get("executable") and message["target"]["name"] == "instructions":
            return message["executable"]
    sys.exit("cargo built no executable")


def functions(executable):
    """(type, backend, operation) and the instructions of each walk, as (address, text)."""
    listing = run(LLVM / "llvm-objdump", "-d", "--demangle", "--no-show-raw-insn", executable)
    for part in re.split(r"\n\n(?=[0-9a-f]{16} <)", listing):
        head, *lines = part.strip().splitlines()
        match = re.search(r"::(Avx2|Avx512)\b.*with_features::<.*Walk<(f32|f64),.*Plain, (\d+)", head)
        if match and int(match[3]) in OPERATIONS:
            code = re.findall(r"^\s*([0-9a-f]+):\s+(.+?)\s*(?:#.*|<.*)?$", "\n".join(lines), re.M)
            key = match[2], match[1].lower(), OPERATIONS[int(match[3])]
            yield key, [(int(address, 16), " ".join(text.split())) for address, text in code]


def innermost_loops(code):
    index = {address: i for i, (address, _) in enumerate(code)}
    loops = []
    for i, (_, text) in enumerate(code):
        jump = re.match(r"j\w+ (?:0x)?([0-9a-f]+)", text)
        start = index.get(int(jump[1], 16)) if jump else None
        if start is not None and start <= i:
            loops.append((start, i))
    for start, end in loops:
        inside = any(start <= a and b <= end and (a, b) != (start, end) for a, b in loops)
        body = [text for _, text in code[start:end + 1]]
        if not inside and not any(text.startswith("call") for text in body):
            yield body


def choose(code, size):
    """The fast loop without streaming stores, its elements, and the loop of the exact sum."""
    loops = list(innermost_loops(code))
    lines = lambda body: sum(text.startswith("prefetch") for text in body)
    kernel = [b for b in loops if lines(b) and any("vdiv" in t for t in b) and not any("movnt" in t for t in b)]
    # Without divisions where no gradient is wanted.
    kernel = kernel or [b for b in loops if lines(b) and sum("fm" in t for t in b) > 8
                        and not any("movnt" in t for t in b)]
    if not kernel:
        return None
    kernel = max(kernel, key=lambda body: (lines(body), -len(body)))
    return kernel, lines(kernel) * 64 // (2 * size)


def assembly(body):
    # Jump targets are of no interest to the simulation.
    return "\n".join(re.sub(r"^(j\w+) .*", r"\1 1f", text) for text in body) + "\n1:\n"


def simulate(body, cpu):
    output = run(LLVM / "llvm-mca", f"-mcpu={cpu}", "-mtriple=x86_64", "-iterations=200",
                 "--register-file-size=0", input=assembly(body))
    number = lambda name: float(re.search(rf"{name}:\s+([\d.]+)", output)[1])
    return number("Block RThroughput"), number("Total Cycles") / 200


def busy(body):
    """Cycles of Zen 4's multiply-add pipes, which 512-bit operations take both of."""
    cycles = 0.0
    for text in body:
        narrow = "zmm" not in text
        if re.match(r"v(fn?m(add|sub)\d+|mul)p[sd]", text):
            cycles += BUSY["fma"][narrow]
        elif re.match(r"vdivp[sd]", text):
            cycles += BUSY["div " + text[4:6]][narrow]
    return cycles


def main():
    rows = []
    for (kind, backend, operation), code in functions(build()):
        chosen = choose(code, int(kind[1:]) // 8)
        if chosen is None:
            print(f"no loop found: {kind} {backend} {operation}", file=sys.stderr)
            continue
        body, elements = chosen
        counts = collections.Counter()
        for text in body:
            counts["fma"] += bool(re.match(r"v(fn?m(add|sub)\d+|mul)p", text))
            counts["div"] += text.startswith("vdivp")
            counts["moves"] += bool(re.match(r"vmov[au]p[sd] %[xyz]mm\d+, %[xyz]mm\d+$", text))
            counts["spills"] += "(%rsp" in text or "(%rbp" in text
        row = [kind, backend, operation, elements, len(body), counts["fma"], counts["div"],
               counts["moves"], counts["spills"], f"{busy(body) / elements:.2f}"]
        for cpu in CPUS:
            throughput, cycles = simulate(body, cpu)
            row += [f"{throughput / elements:.2f}", f"{cycles / elements:.2f}"]
        rows.append(row)
    if len(rows) < 2 * 2 * len(OPERATIONS):
        sys.exit(f"only {len(rows)} of {4 * len(OPERATIONS)} loops found")
    order = list(OPERATIONS.values())
    rows.sort(key=lambda row: (row[0], row[1] != "avx512", order.index(row[2])))
    head = ["type", "backend", "operation", "elements", "instructions", "fma", "div", "moves",
            "stack", "zen4 pipes"]
    for cpu in CPUS:
        head += [f"{cpu} ports", f"{cpu} simulated"]
    text = "# Static port counts\n\n"
    text += run("rustc", "--version") + "\n"
    text += "The fast loop of each walk; made by `benches/ports.py`, " + re.search(
        r"LLVM version [\d.]+", run(LLVM / "llvm-mca", "--version"))[0] + """.
Elements, instructions, multiply-adds and multiplications, divisions, register moves and
stack accesses are per iteration, the rest cycles per element: `zen4 pipes` is what the
multiplications, multiply-adds and divisions alone take of Zen 4's two 256-bit multiply-add
pipes, by throughputs measured there (512-bit: multiply-add 1, division 5.76 f32, 8.64 f64);
`ports` is llvm-mca's bound by port pressure, `simulated` its simulation with all dependencies.
The second pass of a sum, over the losses in the first-level cache, comes on top.

"""
    for cells in [head, ["---:"] * len(head), *rows]:
        text += "| " + " | ".join(map(str, cells)) + " |\n"
    out = ROOT / "docs/speed/ports.md"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text)
    print(text)


main()
