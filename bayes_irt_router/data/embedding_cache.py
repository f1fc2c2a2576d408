"""Embeddings on disk: each text is encoded once per encoder.

One SQLite file, content-addressed: (revision of the encoder, SHA-256 of the text) -> vector. It holds no
texts. Vectors are committed batch by batch, so a killed process keeps what it had done, and two processes may
use the file at once. A second small table remembers the revision that belongs to a folder of weights, so that
a run which finds all its vectors never loads the encoder.
"""

import hashlib
import os
import sqlite3
import warnings
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import platformdirs
from jaxtyping import Float32

from bayes_irt_router.data.encoder import TextEncoder, check_texts
from bayes_irt_router.errors import InputError

CACHE_VARIABLE = "BIRT_CACHE_DIR"
# The number is the layout's: another layout takes another file and leaves this one alone.
FILE_NAME = "embeddings-1.sqlite"
BATCH_SIZE = 64
LOCK_SECONDS = 60.0

_LAYOUT = (
    "CREATE TABLE IF NOT EXISTS embedding ("
    "revision TEXT NOT NULL, text_sha256 BLOB NOT NULL, vector BLOB NOT NULL, "
    "PRIMARY KEY (revision, text_sha256))",
    "CREATE TABLE IF NOT EXISTS source (fingerprint TEXT PRIMARY KEY, revision TEXT NOT NULL)",
)


def default_cache_dir() -> Path:
    """The folder of the cache: the environment variable BIRT_CACHE_DIR, else the system's place for such."""
    return Path(
        os.environ.get(CACHE_VARIABLE) or platformdirs.user_cache_dir("bayes_irt_router")
    ).expanduser()


def embed_texts(
    texts: Sequence[str], encoder: TextEncoder, cache_dir: Path | str | None = None, progress: bool = True
) -> Float32[np.ndarray, "query embedding_dim"]:
    """Embed each text, encoding only those that the cache lacks.

    Args:
        texts: at least one; none empty; repeated ones are encoded once.
        encoder: makes the vectors.
        cache_dir: folder of the cache; made when it does not exist; default `default_cache_dir()`.
        progress: show a progress bar on standard error when texts have to be encoded.

    Returns:
        float32, each row of unit norm, in the order of the texts.

    Raises:
        InputError: a text is empty, the encoder cannot be found, or the cache cannot be written.
    """
    check_texts(texts)
    return _with_cache(cache_dir, lambda cache: _embed(cache, texts, encoder, progress))


def cached_revision(encoder: TextEncoder, cache_dir: Path | str | None = None) -> str:
    """The encoder's revision, without loading it when its files are the ones seen before.

    Args:
        encoder: whose revision.
        cache_dir: as in `embed_texts`.

    Raises:
        InputError: the encoder cannot be found, or the cache cannot be written.
    """
    return _with_cache(cache_dir, lambda cache: _revision(cache, encoder))


def _with_cache[T](cache_dir: Path | str | None, work: Callable[[sqlite3.Connection], T]) -> T:
    """Open the cache, do the work; a damaged cache is moved aside and the work done with a new one."""
    folder = default_cache_dir() if cache_dir is None else Path(cache_dir).expanduser()
    path = folder / FILE_NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unusable(path, error) from error
    try:
        try:
            return _with_file(path, work)
        except sqlite3.DatabaseError as error:
            if not _says_damaged(error):
                raise
        _move_aside(path)
        return _with_file(path, work)
    except sqlite3.DatabaseError as error:
        raise _unusable(path, error) from error


def _unusable(path: Path, error: Exception) -> InputError:
    return InputError(
        f"The embedding cache {path} cannot be used ({error}); name a folder that can be written, by the "
        f"argument cache_dir or the environment variable {CACHE_VARIABLE}."
    )


def _with_file[T](path: Path, work: Callable[[sqlite3.Connection], T]) -> T:
    with closing(sqlite3.connect(path, timeout=LOCK_SECONDS)) as cache:
        for statement in _LAYOUT:
            cache.execute(statement)
        return work(cache)


def _says_damaged(error: sqlite3.DatabaseError) -> bool:
    # The low byte of an SQLite error code is its kind.
    kind = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    return kind in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def _move_aside(path: Path) -> None:
    aside = path.with_name(path.name + ".damaged")
    os.replace(path, aside)
    # What a dead process left to be undone belongs to the damaged file, not to the new one.
    path.with_name(path.name + "-journal").unlink(missing_ok=True)
    warnings.warn(
        f"The embedding cache was damaged; it is now {aside.name} in {path.parent}, and a new one is built.",
        stacklevel=4,
    )


def _revision(cache: sqlite3.Connection, encoder: TextEncoder) -> str:
    row = cache.execute(
        "SELECT revision FROM source WHERE fingerprint = ?", (encoder.fingerprint,)
    ).fetchone()
    if row:
        return str(row[0])
    revision = encoder.revision
    with cache:
        cache.execute("INSERT OR REPLACE INTO source VALUES (?, ?)", (encoder.fingerprint, revision))
    return revision


def _embed(
    cache: sqlite3.Connection, texts: Sequence[str], encoder: TextEncoder, progress: bool
) -> Float32[np.ndarray, "query embedding_dim"]:
    revision = _revision(cache, encoder)
    keys = [hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest() for text in texts]
    vectors = _read(cache, revision, set(keys))
    missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in vectors}
    # Texts of like length share a batch: less padding, less work.
    waiting = sorted(missing.items(), key=lambda item: len(item[1]))
    batches = [waiting[start : start + BATCH_SIZE] for start in range(0, len(waiting), BATCH_SIZE)]
    for batch in _with_bar(batches, shown=progress):
        encoded = encoder.embed([text for _, text in batch], progress=False).astype("<f4", copy=False)
        new = dict(zip((key for key, _ in batch), encoded, strict=True))
        with cache:
            cache.executemany(
                "INSERT OR REPLACE INTO embedding VALUES (?, ?, ?)",
                [(revision, key, vector.tobytes()) for key, vector in new.items()],
            )
        vectors.update(new)
    return np.stack([vectors[key] for key in keys]).astype(np.float32, copy=False)


def _read(cache: sqlite3.Connection, revision: str, keys: Iterable[bytes]) -> dict[bytes, np.ndarray]:
    query = "SELECT vector FROM embedding WHERE revision = ? AND text_sha256 = ?"
    rows = ((key, cache.execute(query, (revision, key)).fetchone()) for key in keys)
    return {key: np.frombuffer(row[0], dtype="<f4") for key, row in rows if row}


def _with_bar[T](batches: list[list[T]], *, shown: bool) -> Iterable[list[T]]:
    """The batches, with a progress bar that counts texts; none for a single batch, which takes no time."""
    if not shown or len(batches) < 2:
        yield from batches
        return
    # Imported here: a run that finds all vectors shows no bar.
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("Embedding texts", total=sum(map(len, batches)))
        for batch in batches:
            yield batch
            bar.advance(task, len(batch))
