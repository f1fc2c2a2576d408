"""Prompts from files of any length, and rows to files of any length: one at a time, in bounded memory.

Prompts stand one a line in a `.txt` file, or in the column `text`, `prompt_formatted` or `prompt` of a `.parquet`, `.csv` or `.jsonl`
table. A `.json` file is RouterArena's: a list of records with these keys; records that only serve its optimality score are skipped.
"""

import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from bayes_irt_router.data.files import TABLE_SUFFIXES, atomic_path
from bayes_irt_router.errors import InputError

TEXT_COLUMNS = ("text", "prompt_formatted", "prompt")  # RouterArena asks the formatted prompt
JSON = ".json"
ROWS = 1024  # of a Parquet file, read or written at once
_SHOWN = 20  # bad rows that are written out; the rest are counted


def read_prompts(path: Path) -> Iterator[str]:
    """The prompts of a file, in order, read as they are needed. Blank lines of a `.txt` file are skipped.

    Raises:
        InputError: the file is missing, of an unknown format, damaged, or without the column; or a row has no text.
    """
    for row, cell in _cells(path):
        if not isinstance(cell, str) or not cell.strip():
            raise InputError(_no_text(path, row))
        yield cell


def count_prompts(path: Path) -> int:
    """How many prompts a file holds, after a look at each of them: what is wrong is known before the work starts.

    Raises:
        InputError: as `read_prompts`, but every bad row is told; or the file holds no prompt.
    """
    count, bad = 0, []
    for row, cell in _cells(path):
        count += 1
        if not isinstance(cell, str) or not cell.strip():
            bad.append(row)
    if bad:
        more = [f"{path}: {len(bad) - _SHOWN} more rows like these."] if len(bad) > _SHOWN else []
        raise InputError([_no_text(path, row) for row in bad[:_SHOWN]] + more)
    if not count:
        raise InputError(f"{path} holds no prompt; add {'lines' if _suffix(path) == '.txt' else 'rows'}.")
    return count


def _no_text(path: Path, row: int) -> str:
    return f"{path}, data row {row}: there is no text; give it words or drop the row."


def _suffix(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix not in (".txt", JSON, *TABLE_SUFFIXES):
        raise InputError(
            f"{path} does not end in .txt, {JSON}, {', '.join(TABLE_SUFFIXES)}; convert it to one of these formats."
        )
    return suffix


def _cells(path: Path) -> Iterator[tuple[int, Any]]:
    """Row numbers, from 1, and what stands in the prompts' column."""
    reader = {".txt": _lines, ".parquet": _parquet, ".csv": _csv, ".jsonl": _json_lines, JSON: _json}[
        _suffix(path)
    ]
    if path.is_dir():
        raise InputError(f"{path} is a folder, not a file of prompts; name the file in it.")
    if not path.exists():
        raise InputError(f"{path} does not exist; check the path.")
    try:
        yield from reader(path)
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8.") from None
    except (OSError, pa.ArrowException, csv.Error) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(f"{path} cannot be read ({reason}); write or copy it again.") from error


def _column(path: Path, names: Sequence[str]) -> str:
    column = next((name for name in TEXT_COLUMNS if name in names), None)
    if column is None:
        raise InputError(f"{path} has no column {' or '.join(TEXT_COLUMNS)}; name the prompts' column so.")
    return column


def _lines(path: Path) -> Iterator[tuple[int, Any]]:
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield number, line.strip()


def _parquet(path: Path) -> Iterator[tuple[int, Any]]:
    with pyarrow.parquet.ParquetFile(path) as file:
        column = _column(path, file.schema_arrow.names)
        row = 0
        for batch in file.iter_batches(ROWS, columns=[column]):
            for cell in batch.column(0).to_pylist():
                row += 1
                yield row, cell


def _csv(path: Path) -> Iterator[tuple[int, Any]]:
    csv.field_size_limit(2**31 - 1)  # a prompt may be long
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.reader(file, strict=True)
        header = next(rows, [])
        at = header.index(_column(path, header))
        row = 0
        for cells in rows:
            if not cells:  # an empty line
                continue
            row += 1
            if len(cells) != len(header):
                raise InputError(
                    f"{path}, data row {row}: {len(cells)} cells where the header has {len(header)}; quote "
                    "cells that hold commas."
                )
            yield row, cells[at]


def _json_lines(path: Path) -> Iterator[tuple[int, Any]]:
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                content = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise InputError(
                    f"{path}, line {number}: not valid JSON ({error}); mend or remove the line."
                ) from None
            if not isinstance(content, dict):
                raise InputError(f"{path}, line {number}: not a JSON object; write {{...}}, one a line.")
            yield number, content[_column(path, list(content))]


def _json(path: Path) -> Iterator[tuple[int, Any]]:
    for row, record in enumerate(routerarena_records(path), 1):
        yield row, record[_column(path, list(record))]


def routerarena_records(path: Path) -> list[dict[str, Any]]:
    """The records of a data set or prediction file of RouterArena, one for each prompt.

    Raises:
        InputError: the file is no JSON list of objects.
    """
    try:
        content = json.loads(path.read_bytes().decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise
    except (ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:120]
        raise InputError(f"{path} is not valid JSON ({reason}); write or copy it again.") from None
    if not isinstance(content, list) or not all(isinstance(one, dict) for one in content):
        raise InputError(f"{path} is not a list of records, as RouterArena's files are; write one.")
    return [one for one in content if not one.get("for_optimality")]


@contextmanager
def row_writer(path: Path, types: Mapping[str, pa.DataType]) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """A function that appends one row to a `.parquet`, `.csv` or `.jsonl` file, which appears when all rows are written.

    Args:
        path: the file to write; an existing one is replaced, in one step at the end.
        types: of the columns; a JSON Lines row may hold more, nested ones too.

    Raises:
        InputError: the place cannot be written to.
    """
    with atomic_path(path) as temporary:
        if path.suffix.lower() == ".parquet":
            schema, waiting = pa.schema(list(types.items())), []
            with pyarrow.parquet.ParquetWriter(temporary, schema) as file:

                def write_parquet(row: Mapping[str, Any]) -> None:
                    waiting.append({name: row.get(name) for name in types})
                    if len(waiting) == ROWS:
                        file.write_table(pa.Table.from_pylist(waiting, schema))
                        waiting.clear()

                yield write_parquet
                file.write_table(pa.Table.from_pylist(waiting, schema))
            return
        with temporary.open("w", encoding="utf-8", newline="") as text:
            if path.suffix.lower() == ".csv":
                rows = csv.DictWriter(text, list(types), extrasaction="ignore", lineterminator="\n")
                rows.writeheader()
                yield rows.writerow
            else:

                def write_line(row: Mapping[str, Any]) -> None:
                    text.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")

                yield write_line
