"""Tables and folders on disk: read them with clear errors, write them so that nobody sees half of one.

Three table formats are known, by suffix: Parquet (`.parquet`), CSV (`.csv`, UTF-8, comma-separated, first
line the names of the columns) and JSON Lines (`.jsonl`, UTF-8, one object a line).

Every write goes to a hidden neighbour of the target first and is renamed into place when it is complete. A
rename within a folder is one step for the operating system, so a reader sees the old content or the new,
never a mixture.
"""

import csv
import io
import json
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from bayes_irt_router.errors import InputError

TABLE_SUFFIXES = (".parquet", ".csv", ".jsonl")

_FORMAT_NAMES = {".parquet": "Parquet", ".csv": "CSV", ".jsonl": "JSON Lines"}
_SHOWN_LINES = 20  # a file with every line broken should not fill the screen


def read_table(path: Path) -> pd.DataFrame:
    """Read one table; the suffix says which format.

    Parquet and JSON Lines keep the types they carry. CSV has no types, so every cell comes as the text that
    stands in the file ("007" stays "007", "NA" stays "NA") and an empty cell is missing; `schema.typed_table`
    turns texts into numbers where the canonical layout wants numbers.

    Args:
        path: a `.parquet`, `.csv` or `.jsonl` file.

    Returns:
        The rows in the order of the file, with a fresh index 0, 1, ...

    Raises:
        InputError: the file is missing, of an unknown format, or damaged.
    """
    suffix = _table_suffix(path)
    if path.is_dir():
        raise InputError(f"{path} is a folder, not a table; name the file in it.")
    if not path.exists():
        raise InputError(f"{path} does not exist; check the path.")
    reader = {".parquet": _read_parquet, ".csv": _read_csv, ".jsonl": _read_json_lines}[suffix]
    try:
        table = reader(path)
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"{path} cannot be read as {_FORMAT_NAMES[suffix]} ({reason}); write or copy it again."
        ) from error
    repeated = sorted({str(name) for name in table.columns[table.columns.duplicated()]})
    if repeated:
        raise InputError(f"{path} has more than one column named {', '.join(repeated)}; keep one of each.")
    return table


def tables_named(directory: Path, stem: str) -> list[Path]:
    """The files `stem.parquet`, `stem.csv`, `stem.jsonl` that exist in a folder, in this order."""
    return [path for suffix in TABLE_SUFFIXES if (path := directory / f"{stem}{suffix}").is_file()]


def find_table(directory: Path, stem: str) -> Path:
    """The one table called `stem` in a folder, in whichever format it is.

    Raises:
        InputError: the folder does not exist, or holds no such table, or several.
    """
    if not directory.is_dir():
        raise InputError(f"{directory} is not a folder; check the path.")
    found = tables_named(directory, stem)
    if not found:
        names = ", ".join(f"{stem}{suffix}" for suffix in TABLE_SUFFIXES)
        raise InputError(f"{directory} holds none of {names}; add one of them.")
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise InputError(
            f"{directory} holds {names}, and it is not clear which one counts; keep one of them."
        )
    return found[0]


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`: write there; it replaces `path` on success and is removed on failure.

    Missing parent folders are made, and removed again on failure.

    Args:
        path: the file to write; an existing one is replaced.

    Yields:
        A path that does not exist yet, in the same folder and with the same suffix.

    Raises:
        InputError: `path` is a folder, or its folder cannot be made or written to.
    """
    target = path.resolve()  # through a link, so that the file it points to is replaced and the link stays
    if target.is_dir():
        raise InputError(f"{path} is a folder, so no file can be written there; choose another name.")
    with _writable_parent(target, path):
        temporary = target.with_name(f".{target.stem}.{uuid.uuid4().hex}{target.suffix}")
        try:
            yield temporary
            _flush(temporary)
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def atomic_directory(path: Path, *, replaces: str) -> Iterator[Path]:
    """A temporary folder beside `path`: fill it; it replaces `path` on success and is removed on failure.

    An existing folder is moved aside, the new one moved in, and the old one deleted, all after the new one is
    complete. Only an empty folder, or one that holds a file called `replaces`, is ever deleted.

    Args:
        path: the folder to write.
        replaces: name of the file by which a folder of the same kind is recognised, such as "model.json".

    Yields:
        An empty folder in the same parent.

    Raises:
        InputError: `path` is a file, or a folder of another kind, or its parent cannot be made or written to.
    """
    target = path.resolve()
    _refuse_other_content(target, path, replaces)
    with _writable_parent(target, path):
        unique = uuid.uuid4().hex
        temporary = target.with_name(f".{target.name}.{unique}")
        aside = target.with_name(f".{target.name}.{unique}.old")
        temporary.mkdir()
        try:
            yield temporary
            for file in temporary.rglob("*"):
                _flush(file)
            # Filling may have taken hours: what stands at the target now is what counts.
            _refuse_other_content(target, path, replaces)
            if target.exists():
                os.rename(target, aside)
            try:
                os.rename(temporary, target)
            except OSError:
                if aside.exists():
                    os.rename(aside, target)
                raise
            shutil.rmtree(aside, ignore_errors=True)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def write_json(path: Path, obj: object) -> None:
    """Write `obj` as indented UTF-8 JSON, atomically.

    Raises:
        InputError: the place cannot be written to.
        ValueError: `obj` holds NaN or infinity; JSON has neither.
    """
    text = json.dumps(obj, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_table(path: Path, frame: pd.DataFrame) -> None:
    """Write a table in the format of the suffix, atomically and without its index.

    Missing values become nulls in Parquet and JSON Lines and empty cells in CSV. Numbers are written with all
    digits that they need to be read back exactly.

    Raises:
        InputError: the suffix is unknown, or the place cannot be written to.
    """
    suffix = _table_suffix(path)
    table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata()
    with atomic_path(path) as temporary:
        if suffix == ".parquet":
            pyarrow.parquet.write_table(table, temporary)
        elif suffix == ".csv":
            pyarrow.csv.write_csv(table, temporary)
        else:
            with temporary.open("w", encoding="utf-8", newline="\n") as file:
                for row in table.to_pylist():
                    file.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")


def _table_suffix(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix not in TABLE_SUFFIXES:
        raise InputError(
            f"{path} does not end in {', '.join(TABLE_SUFFIXES)}; convert it to one of these formats."
        )
    return suffix


def _read_parquet(path: Path) -> pd.DataFrame:
    # Not `read_table` of pyarrow: that one makes columns out of parent folders called `name=value`.
    with pyarrow.parquet.ParquetFile(path) as file:
        table = file.read()
    table.validate(full=True)  # such as bytes in a text that are not UTF-8
    # Metadata left by pandas may hide a column as an index; a column is a column here. An index without a
    # name says nothing about the row, and would make two identical rows look different.
    frame: pd.DataFrame = table.replace_schema_metadata().to_pandas()
    frame = frame.drop(
        columns=[name for name in frame.columns if re.fullmatch(r"__index_level_\d+__", str(name))]
    )
    for name in frame.columns[[isinstance(kind, pd.CategoricalDtype) for kind in frame.dtypes]]:
        frame[name] = frame[name].astype(frame[name].cat.categories.dtype)
    return frame


def _read_csv(path: Path) -> pd.DataFrame:
    content = path.read_bytes()
    if content.count(b'"') % 2:
        # The parser would quietly read the rest of the file as one cell.
        raise InputError(
            f"{path} holds an odd number of quotation marks, so a quoted cell never ends; "
            "close it, and double the quotation marks inside a cell."
        )
    try:
        header = next(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")), [])
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8.") from error
    except csv.Error as error:
        raise InputError(
            f"{path} has no readable first line ({error}); start it with the columns' names."
        ) from error
    ragged: list[str] = []

    def note(row: pyarrow.csv.InvalidRow) -> str:
        ragged.append(
            f"{path}, data row {row.number - 1}: {row.actual_columns} cells where the header has "
            f"{row.expected_columns}; quote cells that hold commas."
        )
        return "skip"

    table = pyarrow.csv.read_csv(
        io.BytesIO(content),
        # One thread, so that rows have numbers; one block, so that no cell with line breaks is cut in two.
        read_options=pyarrow.csv.ReadOptions(use_threads=False, block_size=max(len(content), 1)),
        parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True, invalid_row_handler=note),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types=dict.fromkeys(header, pa.string()), null_values=[""], strings_can_be_null=True
        ),
    )
    if ragged:
        raise InputError(_shortened(ragged, path))
    frame: pd.DataFrame = table.to_pandas()
    return frame


def read_json_lines(path: Path) -> list[dict[str, object]]:
    """The objects of a JSON Lines file, one a line; blank lines are skipped.

    Raises:
        InputError: lines that are not JSON objects, each named, or the file is not UTF-8 text.
    """
    rows: list[dict[str, object]] = []
    broken: list[str] = []
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, start=1):
                if not line.strip():
                    continue
                try:
                    row = json.loads(line)
                    if "\\u" in line:  # half of a surrogate pair can be escaped, but is not text
                        json.dumps(row, ensure_ascii=False).encode("utf-8")
                except (ValueError, RecursionError) as error:
                    broken.append(
                        f"{path}, line {number}: not valid JSON ({error}); mend or remove the line."
                    )
                    continue
                if isinstance(row, dict):
                    rows.append(row)
                else:
                    broken.append(
                        f"{path}, line {number}: not a JSON object; write {{...}}, one object a line."
                    )
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8.") from error
    if broken:
        raise InputError(_shortened(broken, path))
    return rows


def _read_json_lines(path: Path) -> pd.DataFrame:
    return pd.DataFrame(read_json_lines(path))


def _shortened(problems: list[str], path: Path) -> list[str]:
    rest = len(problems) - _SHOWN_LINES
    return problems[:_SHOWN_LINES] + ([f"{path}: {rest} more lines like these."] if rest > 0 else [])


def _refuse_other_content(target: Path, path: Path, replaces: str) -> None:
    if target.exists() and not target.is_dir():
        raise InputError(f"{path} is a file, so no folder can be written there; choose another name.")
    if target.is_dir() and any(target.iterdir()) and not (target / replaces).is_file():
        raise InputError(
            f"{path} holds files but no {replaces}, so it is not replaced; choose a new or an empty folder."
        )


@contextmanager
def _writable_parent(target: Path, path: Path) -> Iterator[None]:
    missing = [parent for parent in target.parents if not parent.exists()]
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror}); choose another place.") from error
    if not os.access(target.parent, os.W_OK):
        raise InputError(f"{path} cannot be written (no permission in its folder); choose another place.")
    try:
        yield
    except BaseException:
        for parent in missing:  # the innermost first; one that somebody else has used meanwhile stays
            try:
                parent.rmdir()
            except OSError:
                break
        raise


def _flush(path: Path) -> None:
    """Put data on the disk before a name points to it; a rename can survive a crash that data does not."""
    if path.is_file():
        with path.open("r+b") as file:
            os.fsync(file.fileno())
