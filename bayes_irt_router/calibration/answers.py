"""Answers of one LLM: what was scored, on which query, how often."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from bayes_irt_router.errors import InputError


@dataclass(frozen=True)
class Answer:
    """One answer, or the mean of several.

    Attributes:
        query: id of the query.
        score: in [0, 1].
        trials: how many answers the score is the mean of.
        input_tokens: that the LLM read; None where not counted.
        output_tokens: that it wrote.
        cost_usd: what the answer cost.
    """

    query: str
    score: float
    trials: int = 1
    input_tokens: float | None = None
    output_tokens: float | None = None
    cost_usd: float | None = None

    def __post_init__(self) -> None:
        problems = []
        if not 0.0 <= self.score <= 1.0:
            problems.append(f"The score of {self.query} is {self.score}; give a number from 0 to 1.")
        if not self.trials >= 1 or self.trials % 1 != 0:
            problems.append(
                f"The answer to {self.query} has {self.trials} trials; give a whole number of at least 1."
            )
        for name in ("input_tokens", "output_tokens", "cost_usd"):
            value = getattr(self, name)
            if value is not None and not 0.0 <= value < np.inf:
                problems.append(
                    f"{name} of {self.query} is {value}; give a number of at least 0, or leave it out."
                )
        if problems:
            raise InputError(problems)


def merged(answers: Sequence[Answer]) -> list[Answer]:
    """One answer a query: repeated answers are trials, their scores and tokens averaged. In the order of the ids.

    >>> merged([Answer("q", 1.0), Answer("q", 0.0, trials=3)])[0].score
    0.25
    """
    by_query: dict[str, list[Answer]] = {}
    for answer in answers:
        by_query.setdefault(answer.query, []).append(answer)
    return [_mean(by_query[name]) for name in sorted(by_query)]


def scores_and_trials(
    answers: Sequence[Answer],
) -> tuple[Float[np.ndarray, " query"], Float[np.ndarray, " query"]]:
    """Scores and trials as arrays."""
    score = np.array([answer.score for answer in answers], dtype=np.float64)
    return score, np.array([answer.trials for answer in answers], dtype=np.float64)


def graded_names(answers: Sequence[Answer]) -> list[str]:
    """Queries with a score that no whole number of right answers gives."""
    return [
        a.query
        for a in answers
        if abs(a.score * a.trials - round(a.score * a.trials)) > 1e-6 * max(1, a.trials)
    ]


def _mean(answers: list[Answer]) -> Answer:
    # Sorted, because floating-point sums depend on the order of their terms.
    answers = sorted(answers, key=lambda a: (a.score, a.trials))
    if len(answers) == 1:
        return answers[0]
    trials = sum(a.trials for a in answers)

    def average(name: str) -> float | None:
        found = [(getattr(a, name), a.trials) for a in answers if getattr(a, name) is not None]
        return sum(value * n for value, n in found) / sum(n for _, n in found) if found else None

    score = min(1.0, sum(a.score * a.trials for a in answers) / trials)
    return Answer(
        answers[0].query,
        score,
        trials,
        average("input_tokens"),
        average("output_tokens"),
        average("cost_usd"),
    )
