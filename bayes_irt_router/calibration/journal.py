"""A journal of answers on disk: each is safe before the next question is asked, so that a killed run loses none."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bayes_irt_router.calibration.answers import Answer
from bayes_irt_router.errors import InputError

SCHEMA_VERSION = 1


def journal_answers(path: Path) -> tuple[str, list[Answer]] | None:
    """The LLM and the answers that a journal holds, of whatever model; None if the file is no journal. A cut last line is left out.

    Raises:
        InputError: a line is damaged.
    """
    try:
        first, *lines = path.read_bytes().split(b"\n")
    except OSError:
        return None
    header = _parsed(first)
    if not {"schema_version", "llm", "data", "history"} <= set(header):
        return None
    answers, damaged = [], []
    for number, line in enumerate(lines[:-1], 2):
        entry = _parsed(line)
        try:
            if "skipped" not in entry:
                answers.append(Answer(**entry))
        except (TypeError, InputError):
            damaged.append(_damaged(path, number))
    if damaged:
        raise InputError(damaged)
    return str(header["llm"]), answers


@dataclass
class Journal:
    """A JSON Lines file: a header that says of whom it is, then one line an answer or a skipped query, appended as they come.

    Attributes:
        path: the file.
        answers: in the order in which they came.
        skipped: queries that were asked and not answered.
    """

    path: Path
    answers: list[Answer] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    @classmethod
    def open(
        cls, path: Path, llm: str, fingerprint: str, history: Sequence[Mapping[str, Any]] = ()
    ) -> "Journal":
        """Open a journal, or begin one. A last line that a kill cut short is removed: its answer had not been taken.

        Args:
            path: the file.
            llm: whose answers it holds.
            fingerprint: of the data that the model was fitted to.
            history: calibrations and changes of the model so far. Answers were chosen, and are taken, by the model as it was when the
                journal began: after one more calibration it may have taken them already.

        Raises:
            InputError: the file is of another LLM or model, is damaged, or cannot be written. It is left as it was.
        """
        header = {
            "schema_version": SCHEMA_VERSION,
            "llm": llm,
            "data": fingerprint,
            "history": _digest(history),
        }
        journal = cls(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            content = path.read_bytes() if path.exists() else b""
            if _line(header).startswith(content):  # nothing, or a header that a kill cut short
                path.write_bytes(_line(header))
                return journal
        except OSError as error:
            raise _unwritable(path, error) from error
        *whole, cut = content.split(b"\n")
        if not whole or _parsed(whole[0]) != header:
            raise InputError(
                f"The journal {path} is of another LLM, or of the model as it was; choose another --output, or move it away: "
                "a model that has not taken its answers takes them with --answers."
            )
        damaged = []
        for number, line in enumerate(whole[1:], 2):
            entry = _parsed(line)
            try:
                if "skipped" in entry:
                    journal.skipped.append(str(entry["skipped"]))
                else:
                    journal.answers.append(Answer(**entry))
            except (TypeError, InputError):
                damaged.append(_damaged(path, number))
        if damaged:
            raise InputError(damaged)
        if cut:
            try:
                os.truncate(path, len(content) - len(cut))
            except OSError as error:
                raise _unwritable(path, error) from error
        return journal

    def add(self, answer: Answer) -> None:
        """Take an answer: on return it is on the disk."""
        self._append({name: value for name, value in asdict(answer).items() if value is not None})
        self.answers.append(answer)

    def skip(self, query: str) -> None:
        """Note that a query was asked and not answered, so that it is not asked again."""
        self._append({"skipped": query})
        self.skipped.append(query)

    def _append(self, entry: dict[str, Any]) -> None:
        with self.path.open("ab") as file:
            file.write(_line(entry))
            file.flush()
            os.fsync(file.fileno())


def _damaged(path: Path, number: int) -> str:
    return f"{path}, line {number}: not an answer; mend or remove the line."


def _line(entry: dict[str, Any]) -> bytes:
    return (json.dumps(entry, allow_nan=False) + "\n").encode("ascii")


def _digest(history: Sequence[Mapping[str, Any]]) -> str:
    text = json.dumps([dict(one) for one in history], sort_keys=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:16]


def _unwritable(path: Path, error: OSError) -> InputError:
    return InputError(f"The journal {path} cannot be written ({error.strerror}); choose another place.")


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return entry if isinstance(entry, dict) else {}
