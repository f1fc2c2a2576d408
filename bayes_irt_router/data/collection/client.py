"""Whoever passes a prompt to an LLM, and what may come back."""

import threading
import time
from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(frozen=True)
class Reply:
    """An LLM's answer.

    Attributes:
        text: what it wrote.
        input_tokens: that it read; None where not told.
        output_tokens: that it wrote.
        cut: whether it ran into the limit of tokens.
    """

    text: str
    input_tokens: int | None = None
    output_tokens: int | None = None
    cut: bool = False


class Busy(Exception):
    """Nothing came back, and it is worth asking again: after ``retry_after`` seconds, if the server said so."""

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class Declined(Exception):
    """This prompt is not answered by this LLM, however often it is asked."""


class Ended(Exception):
    """The run has ended before the LLM was asked."""


class Refused(Exception):
    """No prompt will be answered by this LLM: the key is wrong, or there is no such LLM."""


@runtime_checkable
class Client(Protocol):
    """One method, so that tests and other providers need nothing else; it is called from several threads."""

    def ask(self, llm: str, prompt: str) -> Reply:
        """The LLM's answer.

        Raises:
            Busy, Declined, Refused: see there.
        """
        ...


@runtime_checkable
class Clock(Protocol):
    """Time, so that tests need not wait."""

    def now(self) -> float:
        """Seconds since some moment."""
        ...

    def sleep(self, seconds: float, ended: threading.Event) -> None:
        """Wait, but not when ``ended`` is set, nor after it has been."""
        ...


class WallClock:
    """Real time."""

    def now(self) -> float:
        """Seconds of a clock that never goes back."""
        return time.monotonic()

    def sleep(self, seconds: float, ended: threading.Event) -> None:
        """Wait, but not when ``ended`` is set, nor after it has been."""
        ended.wait(min(max(seconds, 0.0), threading.TIMEOUT_MAX))
