"""How long it takes from a finished installation to the first routed prompt, and `birt --help`; each in a new process.

    .venv/bin/python benchmarks/first_prompt.py --model models/reference

The limits are 15 s and 0.5 s on two cores; the exit status is 1 where the fastest run of several is over one. The embedding cache is empty
at every run, the files of the operating system are not.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROGRAM = "from bayes_irt_router.cli import main; main()"
LIMITS = {"first prompt": 15.0, "help": 0.5}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, default=None, help="default: the reference model")
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    model = [] if arguments.model is None else ["--model", str(arguments.model)]
    lines = {"help": ["--help"], "first prompt": ["route", "How many primes are there below 100?", *model]}
    over = False
    for name, words in lines.items():
        found = [_seconds(words) for _ in range(arguments.runs)]
        over |= min(wall for wall, _ in found) > LIMITS[name]
        told = ", ".join(f"{wall:.2f} s ({cpu:.2f} s of CPU)" for wall, cpu in found)
        print(f"{name}: {told}; limit {LIMITS[name]} s")
    return int(over)


def _seconds(words: list[str]) -> tuple[float, float]:
    """Wall time, and CPU time, which other work on the machine does not lengthen."""
    with tempfile.TemporaryDirectory() as cache:
        before, start = os.times(), time.perf_counter()
        subprocess.run(
            [sys.executable, "-c", PROGRAM, *words],
            env=os.environ | {"BIRT_CACHE_DIR": cache},
            stdout=subprocess.DEVNULL,
            check=True,
        )
        wall, after = time.perf_counter() - start, os.times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return wall, spent


if __name__ == "__main__":
    sys.exit(main())
