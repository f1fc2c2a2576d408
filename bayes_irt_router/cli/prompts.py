"""Where the prompts of a command come from: typed, piped, or a file."""

import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from bayes_irt_router.errors import InputError

NAME_COLUMNS = ("global index", "query_id", "id")


def prompts_of(typed: list[str], source: str | None) -> tuple[int, Iterator[str]]:
    """How many prompts there are, and the prompts, read as they are needed; a file is looked through first."""
    from bayes_irt_router.data.prompt_files import count_prompts, read_prompts

    if empty := [str(number) for number, prompt in enumerate(typed, 1) if not prompt.strip()]:
        raise InputError(f"Prompt {', '.join(empty)} is empty; give it a text.")
    if source is None:
        return len(typed), iter(typed)
    if source == "-":
        piped = _lines(sys.stdin.buffer.read())
        return len(typed) + len(piped), chain(typed, piped)
    return len(typed) + count_prompts(Path(source)), chain(typed, read_prompts(Path(source)))


def prompt_names(source: str | None, number: int) -> list[str]:
    """What a file of prompts calls each of them: its column `global index`, `query_id` or `id`, or 0, 1, ..."""
    from bayes_irt_router.data.files import TABLE_SUFFIXES, read_table
    from bayes_irt_router.data.prompt_files import JSON, routerarena_records

    if source is not None and Path(source).suffix.lower() == JSON:
        return [
            str(next((record[name] for name in NAME_COLUMNS if name in record), position))
            for position, record in enumerate(routerarena_records(Path(source)))
        ]
    if source is not None and Path(source).suffix.lower() in TABLE_SUFFIXES:
        table = read_table(Path(source))
        column = next((name for name in NAME_COLUMNS if name in table), None)
        if column is not None:
            return [str(name) for name in table[column]]
    return [str(position) for position in range(number)]


def _lines(content: bytes) -> list[str]:
    try:
        lines = content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(
            f"Standard input is not UTF-8 text (byte {error.start}); save it as UTF-8."
        ) from None
    prompts = [line.strip() for line in lines if line.strip()]
    if not prompts:
        raise InputError("Standard input holds no prompt; write one a line.")
    return prompts
