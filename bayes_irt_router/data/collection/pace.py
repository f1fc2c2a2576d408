"""How fast one may ask, how patiently one asks again, and how much may be spent."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from bayes_irt_router.data.collection.client import Busy, Client, Clock, Declined, Ended, Reply
from bayes_irt_router.data.prices import Price

ATTEMPTS = 6
LONGEST_WAIT = 60.0  # seconds between two attempts, where the server does not say
TEMPLATE_TOKENS = 64  # that a chat template may add to a message


class Pace:
    """At most so many requests a minute over all threads, evenly spaced, and none while a server asks for a rest.

    Args:
        per_minute: requests; None for no limit.
        clock: of waiting.
    """

    def __init__(self, per_minute: float | None, clock: Clock) -> None:
        self._gap = 0.0 if per_minute is None else 60.0 / per_minute
        self._clock, self._lock, self._next = clock, threading.Lock(), clock.now()
        self._rested = self._next

    def wait(self, ended: threading.Event) -> None:
        """Return when the next request may be sent, or when ``ended`` is set."""
        while not ended.is_set():
            with self._lock:
                start = max(self._clock.now(), self._next)
                self._next = start + self._gap
            self._clock.sleep(start - self._clock.now(), ended)
            with self._lock:
                if start >= self._rested:  # else a rest was asked for meanwhile: wait for a later turn
                    return

    def rest(self, seconds: float) -> None:
        """Nobody sends anything for so long, not even those who wait for their turn already."""
        with self._lock:
            self._rested = max(self._rested, self._clock.now() + seconds)
            self._next = max(self._next, self._rested)


def ask_patiently(
    client: Client, llm: str, prompt: str, pace: Pace, clock: Clock, ended: threading.Event
) -> Reply:
    """Ask until an answer comes, at most ATTEMPTS times: after what the server says (Retry-After), else after 1, 2, 4, ... seconds.

    Raises:
        Declined: the LLM declines, or stays busy.
        Ended: ``ended`` was set before an answer came.
        Refused: as the client says.
    """
    for attempt in range(ATTEMPTS):
        pace.wait(ended)
        if ended.is_set():
            raise Ended
        try:
            return client.ask(llm, prompt)
        except Busy as error:
            reason = str(error)
            if attempt + 1 == ATTEMPTS:
                break
            if error.retry_after is not None:
                pace.rest(error.retry_after)
            else:
                clock.sleep(min(2.0**attempt, LONGEST_WAIT), ended)
    raise Declined(f"it stayed busy over {ATTEMPTS} attempts ({reason})")


@dataclass
class Budget:
    """What was spent, what answers under way may cost at most, and the cap on both.

    Attributes:
        prices: by LLM.
        max_tokens: that an answer may have.
        cap_usd: None for no cap; else every LLM has a price.
        system: text that goes with every prompt, and is paid for every time.
        spent_usd: on answers that came.
        reserved_usd: for answers under way.
    """

    prices: Mapping[str, Price]
    max_tokens: int
    cap_usd: float | None = None
    system: str = ""
    spent_usd: float = 0.0
    reserved_usd: float = field(default=0.0, init=False)

    def bound(self, llm: str, prompt: str) -> float:
        """The most that an answer can cost: a token is at least one byte of text."""
        price = self.prices.get(llm)
        if price is None:
            return 0.0
        messages = [prompt, self.system] if self.system else [prompt]
        read = sum(len(text.encode("utf-8", "replace")) + TEMPLATE_TOKENS for text in messages)
        return (read * price.input_per_million + self.max_tokens * price.output_per_million) / 1e6

    def allows(self, usd: float) -> bool:
        """Whether so much more stays below the cap, even if all answers under way cost the most that they can."""
        return self.cap_usd is None or self.spent_usd + self.reserved_usd + usd <= self.cap_usd

    def cost(self, llm: str, prompt: str, reply: Reply) -> float:
        """Of an answer that came; what was not counted is taken to be the most that it can be."""
        price = self.prices.get(llm)
        if price is None:
            return 0.0
        if reply.input_tokens is None or reply.output_tokens is None:
            return self.bound(llm, prompt)
        return (
            reply.input_tokens * price.input_per_million + reply.output_tokens * price.output_per_million
        ) / 1e6


Announce = Callable[[int, float], None]
"""Told after every answer: how many there are, and what has been spent."""
