"""Where the prompts of a command come from: typed, piped, or a file."""

import sys
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

from bayes_irt_router.errors import InputError

NAME_COLUMNS = ("global index", "query_id", "id")


def prompts_of(typed: list[str], source: str | None) -> tuple[int | None, Iterator[str]]:
    """How many prompts there are, and the prompts, read as they are needed.

    A file is looked through first. Standard input cannot be: how many prompts it holds is unknown (None), and what is wrong with it comes
    to light on the way.
    """
    from bayes_irt_router.data.prompt_files import count_prompts, read_prompts

    if empty := [str(number) for number, prompt in enumerate(typed, 1) if not prompt.strip()]:
        raise InputError(f"Prompt {', '.join(empty)} is empty; give it a text.")
    if source is None:
        return len(typed), iter(typed)
    if source == "-":
        return None, chain(typed, piped_prompts(sys.stdin.buffer))
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


def piped_prompts(stream: Iterable[bytes]) -> Iterator[str]:
    """The lines of a stream that are not blank, one at a time.

    Raises:
        InputError: a line is not UTF-8, or the stream has ended without a prompt.
    """
    start, found = 0, False
    for line in stream:
        try:
            text = line.decode("utf-8-sig" if start == 0 else "utf-8")
        except UnicodeDecodeError as error:
            raise InputError(
                f"Standard input is not UTF-8 text (byte {start + error.start}); save it as UTF-8."
            ) from None
        start += len(line)
        for prompt in text.splitlines():
            if prompt.strip():
                found = True
                yield prompt.strip()
    if not found:
        raise InputError("Standard input holds no prompt; write one a line.")
