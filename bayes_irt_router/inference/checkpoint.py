"""The state of a long computation in one file of arrays, from which an interrupted one goes on."""

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from bayes_irt_router.data.files import atomic_path

SECONDS = 20.0  # between two writes


class Checkpoint:
    """One file of arrays, written now and then and removed at the end; without a path nothing happens."""

    def __init__(self, path: Path | None, fingerprint: str) -> None:
        self.path, self.fingerprint, self.last = path, fingerprint, time.perf_counter()

    def read(self, like: Any) -> tuple[Any, dict[str, np.ndarray]] | None:
        """What an interrupted run left, in the form of ``like``; None if there is nothing of these data and settings."""
        import jax
        import jax.numpy as jnp

        if self.path is None or not self.path.exists():
            return None
        try:
            with np.load(self.path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
        except (OSError, ValueError, EOFError, BadZipFile):
            return None  # cut off while it was written by something else; nothing is lost but time
        if str(arrays.pop("fingerprint", "")) != self.fingerprint:
            return None
        leaves, form = jax.tree.flatten(like)
        state = [jnp.asarray(arrays.pop(f"state_{k}")) for k in range(len(leaves))]
        return jax.tree.unflatten(form, state), arrays

    def write(self, state: Any, known: dict[str, np.ndarray]) -> None:
        """Write, if the last time is long enough ago."""
        import jax

        if self.path is None or time.perf_counter() - self.last < SECONDS:
            return
        leaves = {f"state_{k}": np.asarray(leaf) for k, leaf in enumerate(jax.tree.leaves(state))}
        with atomic_path(self.path) as temporary, temporary.open("wb") as file:
            arrays: dict[str, Any] = {"fingerprint": np.array(self.fingerprint), **known, **leaves}
            np.savez(file, **arrays)
        self.last = time.perf_counter()

    def remove(self) -> None:
        """The training came to its end."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)


def fingerprint(settings: Mapping[str, Any], seed: int, arrays: Sequence[np.ndarray]) -> str:
    """Tells whether a checkpoint is of the same settings, seed and data."""
    digest = hashlib.sha256(json.dumps([settings, seed]).encode())
    for values in arrays:
        digest.update(np.ascontiguousarray(values, dtype=np.float32).tobytes())
    return digest.hexdigest()
