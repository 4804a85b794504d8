#!/usr/bin/env python3
"""Runs every proof of this folder with Gappa, on the constants of src/coeffs.rs.

Fails if one is not proven, or if there is none. Needs Gappa (Debian: apt-get install gappa).
"""

import pathlib
import re
import struct
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
COEFFICIENTS = HERE.parents[1] / "src" / "coeffs.rs"


def constants(module):
    """Those of a module: NAME for a scalar, NAME_0, NAME_1, ... for an array.

    POWER_0 ... are the numbers 2^(j/8) e^s that EXP_TABLE's patterns stand for.
    """
    source = COEFFICIENTS.read_text()
    module = re.search(rf"mod {module} \{{(.*?)\n\}}", source, re.DOTALL).group(1)
    lines = []
    rounder = 0
    for name, value in re.findall(r"const (\w+): [^=]+= (.*?);\n", module, re.DOTALL):
        patterns = re.findall(r"from_bits\(0x([0-9a-f_]+)\)", value)
        for i, pattern in enumerate(patterns):
            data = bytes.fromhex(pattern.replace("_", ""))
            number = struct.unpack(">f" if len(data) == 4 else ">d", data)[0]
            if name == "ROUNDER":
                rounder = int(number)
            if name == "EXP_TABLE":
                power = (int.from_bytes(data, "big") + ((rounder + i) << 49)) % 2**64
                lines.append(f"POWER_{i} = {struct.unpack('>d', power.to_bytes(8, 'big'))[0].hex()};")
            index = f"_{i}" if value.startswith("[") else ""
            lines.append(f"{name}{index} = {number.hex()};")
    return "\n".join(lines) + "\n"


def main():
    proofs = sorted(HERE.glob("*.gappa"))
    failed = 0
    for proof in proofs:
        header = constants("double" if proof.stem.endswith("_f64") else "single")
        # A constant that a proof does not use is no reason to warn. Differences of constants of 53 bits need
        # more than the usual 60.
        command = ["gappa", "-Wno-unbound-variable", "-Eprecision=160"]
        result = subprocess.run(command, input=header + proof.read_text(), text=True, capture_output=True)
        # A hint, NAME -> EXPRESSION, is believed unless Gappa says that the two may differ.
        proven = result.returncode == 0 and "not trivially equal" not in result.stdout + result.stderr
        failed += not proven
        print(f"{proof.name}: {'proven' if proven else 'NOT PROVEN'}")
        if not proven:
            print(result.stdout + result.stderr)
    print(f"{len(proofs) - failed} of {len(proofs)} proven")
    return 1 if failed or not proofs else 0


if __name__ == "__main__":
    sys.exit(main())
