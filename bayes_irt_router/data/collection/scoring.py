"""How a reply is scored: by the exact answer, by a regular expression, or by a program of the user's."""

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from typing import Any

from bayes_irt_router.data.collection.questions import Question
from bayes_irt_router.errors import InputError

SCHEMA_VERSION = 1
TAIL = 300  # characters of a failed program's standard error that are shown

Scorer = Callable[[Question, str, str], float]
"""From a question, an LLM's name and its reply to a score in [0, 1]."""


def exact_match(question: Question, llm: str, reply: str) -> float:
    """1 if the reply is the answer, up to case, white space and a full stop.

    >>> exact_match(Question("q", "Capital of France?", answer="Paris"), "m", " paris. ")
    1.0
    """
    return float(_plain(reply) == _plain(question.answer))


def regular_expression(pattern: str) -> Scorer:
    r"""A scorer by a regular expression: with a group, what the group last matched must be the answer; without, it must match.

    Raises:
        InputError: the pattern cannot be read, or has several groups.

    >>> score = regular_expression(r"answer is (\S+)")
    >>> score(Question("q", "2 + 2?", answer="4"), "m", "I think the answer is 5, no, the answer is 4.")
    1.0
    """
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise InputError(f"--pattern {pattern!r} cannot be read ({error}); mend it.") from None
    if compiled.groups > 1:
        raise InputError(
            f"--pattern {pattern!r} has {compiled.groups} groups; keep one, and write (?:...) for the others."
        )

    def score(question: Question, llm: str, reply: str) -> float:
        found = list(compiled.finditer(reply))
        if not found or not compiled.groups:
            return float(bool(found))
        return float(_plain(found[-1][1] or "") == _plain(question.answer))

    return score


def needs_answers(scorer: Scorer, pattern: str | None) -> bool:
    """Whether a scorer compares with the answers."""
    return scorer is exact_match or (pattern is not None and re.compile(pattern).groups == 1)


def command_scorer(command: str) -> Scorer:
    """Ask a program: it is started for every reply, without a shell.

    It reads ``{"schema_version", "llm", "query_id", "task", "text", "answer", "response"}`` from standard input and writes one JSON object
    with ``score`` in [0, 1] to standard output.

    Raises:
        InputError: the command is empty, or there is no such program; later, it fails or does not answer so. The replies are kept.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise InputError(
            f"--command {command!r} cannot be read ({error}); mend its quotation marks."
        ) from None
    if not words:
        raise InputError("--command is empty; name a program and its arguments.")

    if shutil.which(words[0]) is None:
        raise InputError(
            f"--command names {words[0]}, which is no program that can be started; check its path."
        )

    def score(question: Question, llm: str, reply: str) -> float:
        asked = {
            "schema_version": SCHEMA_VERSION,
            "llm": llm,
            "query_id": question.query,
            "task": question.task,
            "text": question.text,
            "answer": question.answer,
            "response": reply,
        }
        try:
            done = subprocess.run(
                words,
                input=json.dumps(asked),
                capture_output=True,
                encoding="utf-8",
                errors="replace",  # a strange byte on standard error must not cost a score
            )
        except OSError as error:
            raise InputError(f"{words[0]} cannot be started ({error.strerror}); check --command.") from None
        if done.returncode != 0:
            told = " ".join(done.stderr.split())[-TAIL:]
            raise InputError(
                f"The command failed on query {question.query} of {llm} (exit code {done.returncode}: {told}); the replies are kept, "
                "run the same line again to go on."
            )
        try:
            told_score: Any = json.loads(done.stdout)["score"]
            value = float(told_score)
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"The command's score of query {question.query} of {llm} cannot be used ({error!r}); write one JSON object with a "
                "score from 0 to 1. The replies are kept."
            ) from None
        if not 0.0 <= value <= 1.0:
            raise InputError(
                f"The command's score of query {question.query} of {llm} is {value}; write a number from 0 to 1. The replies are kept."
            )
        return value

    return score


def _plain(text: str) -> str:
    return " ".join(text.split()).casefold().removesuffix(".").strip()
