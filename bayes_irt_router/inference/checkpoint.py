"""The state of a long computation in one file of arrays, from which an interrupted one goes on."""

import hashlib
import json
import time
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from bayes_irt_router.data.files import atomic_path
from bayes_irt_router.errors import InputError

SECONDS = 20.0  # between two writes
PROGRAM, FINGERPRINT, STATE = "program", "fingerprint", "state_"
OURS = "bayes_irt_router: checkpoint 1"


class Checkpoint:
    """One file of arrays, written now and then; without a path nothing happens.

    It stays when the computation ends: whoever keeps the result removes it after that. A file of anything else is never replaced.
    """

    def __init__(self, path: Path | None, fingerprint: str) -> None:
        self.path, self.fingerprint, self.last = path, fingerprint, time.perf_counter()

    def read(self, like: Any) -> tuple[Any, dict[str, np.ndarray]] | None:
        """What an interrupted run left, in the form of ``like``, and the arrays beside it; None if there is nothing.

        Raises:
            InputError: something else stands there, or a checkpoint of other data, settings or seed.
        """
        import jax
        import jax.numpy as jnp

        if self.path is None or (arrays := _read(self.path)) is None:
            return None
        leaves, form = jax.tree.flatten(like)
        names = [f"{STATE}{k}" for k in range(len(leaves))]
        if str(arrays.pop(FINGERPRINT, "")) != self.fingerprint or not set(names) <= set(arrays):
            raise InputError(
                f"{self.path} is of an interrupted training with other data, settings or seed; repeat that command to go on "
                "with it, or delete the file to begin anew."
            )
        state = [jnp.asarray(arrays.pop(name)) for name in names]
        return jax.tree.unflatten(form, state), arrays

    def write(self, state: Any, known: dict[str, np.ndarray], *, now: bool = False) -> None:
        """Write, if the last time is long enough ago, or ``now``."""
        import jax

        if self.path is None or not (now or time.perf_counter() - self.last >= SECONDS):
            return
        leaves = {f"{STATE}{k}": np.asarray(leaf) for k, leaf in enumerate(jax.tree.leaves(state))}
        with atomic_path(self.path) as temporary, temporary.open("wb") as file:
            told = {PROGRAM: np.array(OURS), FINGERPRINT: np.array(self.fingerprint)}
            arrays: dict[str, Any] = {**told, **known, **leaves}
            np.savez(file, **arrays)
        self.last = time.perf_counter()


def check_place(path: Path) -> None:
    """Whether a checkpoint can stand at ``path``: nothing is there, or a checkpoint.

    Raises:
        InputError: something else is there.
    """
    _read(path)


def fingerprint(settings: Mapping[str, Any], seed: int, arrays: Sequence[np.ndarray]) -> str:
    """Tells whether a checkpoint is of the same settings, seed and data."""
    digest = hashlib.sha256(json.dumps([settings, seed]).encode())
    for values in arrays:
        digest.update(np.ascontiguousarray(values, dtype=np.float32).tobytes())
    return digest.hexdigest()


def _read(path: Path) -> dict[str, np.ndarray] | None:
    if path.is_dir():
        raise InputError(
            f"{path} is a folder where the training is to be kept; move it, or choose another output."
        )
    if not path.exists():
        return None
    arrays: dict[str, np.ndarray] = {}
    try:
        # Opened here, because NumPy leaves a damaged file open.
        with path.open("rb") as opened:
            file = np.load(opened, allow_pickle=False)
            if isinstance(file, np.lib.npyio.NpzFile):
                with file:
                    arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, BadZipFile, zlib.error):
        arrays = {}
    if str(arrays.pop(PROGRAM, "")) != OURS:
        raise InputError(
            f"{path} is not a checkpoint of this program, or is damaged; move it away, for the training is to be kept there, or "
            "choose another output."
        )
    return arrays
