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
        seconds = [_seconds(words) for _ in range(arguments.runs)]
        over |= min(seconds) > LIMITS[name]
        told = ", ".join(f"{one:.2f}" for one in seconds)
        print(f"{name}: {told} s (limit {LIMITS[name]} s)")
    return int(over)


def _seconds(words: list[str]) -> float:
    with tempfile.TemporaryDirectory() as cache:
        start = time.perf_counter()
        subprocess.run(
            [sys.executable, "-c", PROGRAM, *words],
            env=os.environ | {"BIRT_CACHE_DIR": cache},
            stdout=subprocess.DEVNULL,
            check=True,
        )
        return time.perf_counter() - start


if __name__ == "__main__":
    sys.exit(main())
