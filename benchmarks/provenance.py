"""What a recorded number was made with."""

import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bayes_irt_router.data.files import atomic_path
from bayes_irt_router.report.json_text import plain

PACKAGES = ("bayes_irt_router", "pymc", "numpyro", "jax", "numpy", "scikit-learn", "torch", "xarray")

BUT_RESULTS = ("--", ":/", ":(top,exclude)benchmarks/results")  # a result of an hour ago changes no other


def provenance(packages: Sequence[str] = PACKAGES) -> dict[str, Any]:
    """Commit, machine and versions, ready for JSON."""
    return {
        "commit": git("rev-parse", "--short", "HEAD"),
        "uncommitted_changes": bool(git("status", "--porcelain", "--untracked-files=no", *BUT_RESULTS)),
        "cores": os.cpu_count(),
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
        "versions": {name: version(name) for name in packages},
    }


def record(path: Path, told: Mapping[str, Any]) -> None:
    """Print numbers and what they were made with as one JSON line, and append it to a file of results."""
    text = json.dumps(plain({**told, **provenance()}))
    earlier = path.read_text(encoding="utf-8") if path.exists() else ""
    with atomic_path(path) as temporary:
        temporary.write_text(f"{earlier}{text}\n", encoding="utf-8", newline="\n")
    print(text, flush=True)


def git(*words: str) -> str:
    return subprocess.run(["git", *words], capture_output=True, text=True).stdout.strip()
