"""Who answers the questions of `birt calibrate`: a person at the terminal, or a program of the user's."""

import json
import shlex
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import typer

from bayes_irt_router.calibration.answers import Answer
from bayes_irt_router.calibration.session import NoMoreAnswers
from bayes_irt_router.errors import InputError

SCHEMA_VERSION = 1
TAIL = 300  # characters of a failed program's standard error that are shown

Question = tuple[str, str, str]  # id, task, text
Answerer = Callable[[Question], Answer | None]


def ask_person(question: Question) -> Answer | None:
    """Show a query on standard error, read its score from standard input.

    A score is 1 (right), 0 (wrong) or a number between; s skips the query; q, or the end of the input, ends the questions.
    """
    query, task, text = question
    typer.echo(f"\n{query}{f' ({task})' if task else ''}\n{text}", err=True)
    while True:
        typer.echo("score (1, 0, or between; s skips, q ends): ", err=True, nl=False)
        line = sys.stdin.readline()
        word = line.strip().lower()
        if not line or word in ("q", "quit"):
            raise NoMoreAnswers
        if word in ("s", "skip"):
            return None
        try:
            return Answer(query, float(word))
        except (ValueError, InputError):
            typer.echo(f"{word!r} is not a score from 0 to 1.", err=True)


def command_answerer(command: str, llm: str) -> Answerer:
    """Ask a program: it is started for every query, without a shell.

    It reads ``{"schema_version", "llm", "query_id", "task", "text"}`` from standard input and writes one JSON object to standard output,
    with ``score`` in [0, 1] and, if it likes, ``trials``, ``input_tokens``, ``output_tokens`` and ``cost_usd``; or with a ``score`` of
    null, which skips the query: it is not asked again.

    Raises:
        InputError: the command is empty; later, it cannot be started, fails, or does not answer so. What was answered before is kept.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise InputError(
            f"--command {command!r} cannot be read ({error}); mend its quotation marks."
        ) from None
    if not words:
        raise InputError("--command is empty; name a program and its arguments.")

    def ask(question: Question) -> Answer | None:
        query, task, text = question
        asked = {"schema_version": SCHEMA_VERSION, "llm": llm, "query_id": query, "task": task, "text": text}
        try:
            done = subprocess.run(
                words,
                # A lone surrogate is no character; with a backslash it is JSON all the same.
                input=json.dumps(asked, ensure_ascii=False).encode("utf-8", "backslashreplace"),
                capture_output=True,
            )
        except OSError as error:
            raise InputError(f"{words[0]} cannot be started ({error.strerror}); check --command.") from None
        if done.returncode != 0:
            told = " ".join(done.stderr.decode("utf-8", "replace").split())[-TAIL:]
            raise InputError(
                f"The command failed on query {query} (exit code {done.returncode}: {told}); the answers so far are kept, "
                "run the same line again to go on. A program that cannot answer a query skips it with a score of null."
            )
        return _answer(done.stdout, query)

    return ask


def _answer(output: bytes, query: str) -> Answer | None:
    try:
        told: Any = json.loads(output)
        if told["score"] is None:
            return None
        numbers = {
            name: float(told[name])
            for name in ("input_tokens", "output_tokens", "cost_usd")
            if told.get(name) is not None
        }
        trials = float(told.get("trials", 1))
        if not trials.is_integer():
            raise ValueError(f"{trials} trials are no whole number")
        return Answer(query, float(told["score"]), int(trials), **numbers)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise InputError(
            f"The command's answer to query {query} cannot be used ({error}); write one JSON object with a score from "
            "0 to 1, or null to skip it, to standard output. The answers so far are kept."
        ) from None
