"""What every question template uses: the draft it returns and a few seeded choices."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Draft(NamedTuple):
    """A question's text with the two visible properties that make it hard.

    Attributes:
        text: the wording, as an LLM would see it.
        steps: operations to carry out one after the other (terms, draws, statements, events); at least 1.
        size: how large each step is: digits, letters, table cells or rarity of the fact; not negative.
            Its unit is the task's own, so it compares questions of one task only.
    """

    text: str
    steps: int
    size: float


def graded(rng: np.random.Generator, level: float, low: int, high: int) -> int:
    """An integer in [low, high] that grows with the level, with a little jitter.

    >>> graded(np.random.default_rng(0), 0.0, 1, 1)
    1
    """
    position = np.clip(level + 0.1 * rng.standard_normal(), 0.0, 1.0)
    return round(low + (high - low) * float(position))


def pick[T](rng: np.random.Generator, items: Sequence[T]) -> T:
    """One item, each equally likely."""
    return items[int(rng.integers(len(items)))]


def pick_distinct[T](rng: np.random.Generator, items: Sequence[T], count: int) -> list[T]:
    """`count` different items in random order."""
    return [items[int(i)] for i in rng.permutation(len(items))[:count]]


def whole_number(rng: np.random.Generator, digits: int) -> int:
    """A whole number of at least 2 with the given number of digits."""
    return int(rng.integers(max(2, 10 ** (digits - 1)), 10**digits))


def enumerate_in_words(items: Sequence[str]) -> str:
    """The items as a list in a sentence.

    >>> enumerate_in_words(["a", "b", "c"])
    'a, b and c'
    """
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1]
