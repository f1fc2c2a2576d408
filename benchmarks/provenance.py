"""What a recorded number was made with."""

import os
import platform
import subprocess
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

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


def git(*words: str) -> str:
    return subprocess.run(["git", *words], capture_output=True, text=True).stdout.strip()
