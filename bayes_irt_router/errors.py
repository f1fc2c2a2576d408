"""Errors that a user can cause and a user can mend."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class InputError(ValueError):
    """What was given cannot be used; every problem found is listed, each in one sentence.

    The command line prints the problems, one a line, and exits with code 2, without a traceback.

    Args:
        problems: one sentence, or several; each says what is wrong, where, and how to mend it.

    >>> str(InputError(["a is missing.", "b is negative."]))
    'a is missing.\\nb is negative.'
    """

    def __init__(self, problems: str | Iterable[str]):
        self.problems: tuple[str, ...] = (problems,) if isinstance(problems, str) else tuple(problems)
        super().__init__("\n".join(self.problems))


@contextmanager
def gathered(problems: list[str]) -> Iterator[None]:
    """Let an InputError pass by: its problems join the list, to be told together with others.

    >>> problems = []
    >>> with gathered(problems):
    ...     raise InputError("a is missing.")
    >>> problems
    ['a is missing.']
    """
    try:
        yield
    except InputError as error:
        problems += error.problems
