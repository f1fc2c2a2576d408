"""Files of other tools on disk: what they look like, and their content with clear errors."""

import csv
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet

from bayes_irt_router.data.files import TABLE_SUFFIXES, read_table
from bayes_irt_router.errors import InputError

PICKLES = (".pkl", ".pickle", ".p")
_HEAD_BYTES = 1 << 16


def read_frame(path: Path) -> pd.DataFrame:
    """`files.read_table`; a pickle is refused, and the safe way named.

    Raises:
        InputError: as `read_table`, and for pickles.
    """
    refuse_pickle(path)
    return read_table(path)


def refuse_pickle(path: Path) -> None:
    """Raise InputError for a pickle: opening one runs whatever code its author put in."""
    if path.suffix.lower() in PICKLES:
        raise InputError(
            f"{path} is a pickle, which can run any code when it is opened; where you trust it, turn it into Parquet "
            "with pandas (read_pickle, then to_parquet), and name that file."
        )


def table_files(source: Path) -> list[Path]:
    """A file itself, or the tables (and pickles, to be refused) of a folder, in the order of their names."""
    if not source.is_dir():
        return [source]
    return sorted(path for path in source.iterdir() if path.suffix.lower() in (*TABLE_SUFFIXES, *PICKLES))


def files_below(source: Path, pattern: str) -> list[Path]:
    """A file itself, or the files anywhere in a folder whose names match a glob pattern, sorted."""
    return sorted(path for path in source.rglob(pattern) if path.is_file()) if source.is_dir() else [source]


def existing(source: Path) -> Path:
    """The same path.

    Raises:
        InputError: nothing is there.
    """
    if not source.exists():
        raise InputError(f"{source} does not exist; check the path.")
    return source


def split_named(path: Path) -> str | None:
    """The split that a file's name tells: train, test, val (or validation), or None.

    >>> split_named(Path("routing_train_data.jsonl")), split_named(Path("val.csv")), split_named(Path("latest.csv"))
    ('train', 'val', None)
    """
    found = re.search(r"(?:^|[^a-z])(train|test|val|valid|validation)(?:[^a-z]|$)", path.stem.lower())
    if found is None:
        return None
    return "val" if found[1].startswith("val") else found[1]


def columns_of(path: Path) -> set[str]:
    """The names of a table's columns, of JSON Lines those of its first object; none if it cannot be read."""
    suffix = path.suffix.lower()
    try:
        if suffix == ".parquet":
            return set(pyarrow.parquet.read_schema(path).names)
        if suffix == ".csv":
            with path.open(encoding="utf-8-sig", newline="") as file:
                return set(next(csv.reader(file), []))
        if suffix == ".jsonl":
            with path.open(encoding="utf-8-sig") as file:
                first = json.loads(next((line for line in file if line.strip()), "null"))
            return set(first) if isinstance(first, dict) else set()
    except (OSError, ValueError, RecursionError, csv.Error, pa.ArrowException):
        pass
    return set()


def has_columns(path: Path, *names: str) -> bool:
    """Whether a table has all of these columns."""
    return path.is_file() and set(names) <= columns_of(path)


def head(path: Path) -> str:
    """The beginning of a text file; empty if it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(_HEAD_BYTES).decode("utf-8-sig", errors="replace").lstrip()
    except OSError:
        return ""


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        InputError: it is missing, not UTF-8 text or not valid JSON.
    """
    refuse_pickle(path)
    try:
        return parsed_json(path.read_bytes(), str(path))
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); check the path.") from None


def parsed_json(content: bytes, source: str) -> Any:
    """JSON from bytes; `source` is what to call them in a sentence.

    Raises:
        InputError: not UTF-8 text or not valid JSON.
    """
    try:
        text = content.decode("utf-8-sig")
        value = json.loads(text)
        if "\\u" in text:  # half of a surrogate pair can be escaped, but is not text
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:120]
        raise InputError(f"{source} is not valid JSON ({reason}); write or copy it again.") from None
    return value


def objects(value: Any, source: str) -> list[dict[str, Any]]:
    """A list of JSON objects.

    Raises:
        InputError: it is none, or an element is no object.
    """
    if not isinstance(value, list):
        raise InputError(f"{source} is not a list of records; name a file of the documented layout.")
    wrong = next((i for i, one in enumerate(value, 1) if not isinstance(one, dict)), None)
    if wrong is not None:
        raise InputError(f"{source}, record {wrong}: not a JSON object; mend or remove it.")
    return value


def every(paths: Sequence[Path], source: Path, layout: str) -> Iterator[Path]:
    """The paths, of which there must be at least one.

    Raises:
        InputError: there is none.
    """
    if not paths:
        raise InputError(f"{existing(source)} holds no {layout}; check the path or the format.")
    yield from paths
