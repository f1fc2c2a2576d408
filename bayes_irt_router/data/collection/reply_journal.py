"""Replies on disk, each safe before the next is asked for: they were paid for, and a killed run loses none."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bayes_irt_router.data.collection.client import Reply
from bayes_irt_router.data.collection.questions import Question
from bayes_irt_router.data.text_hash import text_hash
from bayes_irt_router.errors import InputError

SCHEMA_VERSION = 1


@dataclass
class ReplyJournal:
    """A JSON Lines file: a header that says how was asked, then one line a reply, appended as they come.

    Attributes:
        path: the file.
        replies: by query and LLM.
    """

    path: Path
    replies: dict[tuple[str, str], Reply] = field(default_factory=dict)
    _hashes: dict[str, str] = field(default_factory=dict)

    @classmethod
    def open(cls, path: Path, settings: Mapping[str, Any]) -> "ReplyJournal":
        """Open a journal, or begin one. A last line that a kill cut short is removed: its reply is asked for again.

        Args:
            path: the file.
            settings: of the requests, such as the temperature; replies to others are not mixed with them.

        Raises:
            InputError: the file holds replies under other settings, is damaged, or cannot be written.
        """
        header = {"schema_version": SCHEMA_VERSION, "settings": dict(settings)}
        journal = cls(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            content = path.read_bytes() if path.exists() else b""
            whole = content[: content.rfind(b"\n") + 1]
            first, *lines = whole.decode("utf-8", "replace").split("\n")[:-1] or [""]
            # Before anything is cut off: whose file is it? A header that a kill cut short is the beginning of this one.
            own = _parsed(first) == header if whole else _line(header).startswith(content)
            if not own:
                raise InputError(
                    f"{path} is another file, or of requests with other settings; choose another --output, or move it away."
                )
            if len(whole) < len(content):
                os.truncate(path, len(whole))
            if not whole:
                journal._append(header)
                return journal
        except OSError as error:
            raise InputError(
                f"The journal {path} cannot be written ({error.strerror}); choose another place."
            ) from None
        damaged = [
            f"{path}, line {number}: not a reply; mend or remove the line."
            for number, line in enumerate(lines, 2)
            if not journal._take(_parsed(line))
        ]
        if damaged:
            raise InputError(damaged)
        return journal

    def check(self, questions: Mapping[str, Question]) -> None:
        """Raise InputError if a reply was to another text than its query now has."""
        changed = [
            name
            for name, found in self._hashes.items()
            if name in questions and text_hash(questions[name].text) != found
        ]
        if changed:
            raise InputError(
                f"{self.path} holds replies to other texts of {', '.join(changed[:3])}; rename the queries, or choose another --output."
            )

    def add(self, question: Question, llm: str, reply: Reply) -> None:
        """Take a reply: on return it is on the disk."""
        entry = {
            "query_id": question.query,
            "llm": llm,
            "text_hash": text_hash(question.text),
            "response": reply.text,
            "input_tokens": reply.input_tokens,
            "output_tokens": reply.output_tokens,
            "cut": reply.cut,
        }
        self._append(entry)
        self._take(entry)

    def _take(self, entry: dict[str, Any]) -> bool:
        try:
            read, wrote = (
                None if entry[n] is None else int(entry[n]) for n in ("input_tokens", "output_tokens")
            )
            reply = Reply(str(entry["response"]), read, wrote, bool(entry["cut"]))
            query, llm, found = str(entry["query_id"]), str(entry["llm"]), str(entry["text_hash"])
        except (KeyError, TypeError, ValueError):
            return False
        self.replies[query, llm] = reply
        self._hashes[query] = found
        return True

    def _append(self, entry: dict[str, Any]) -> None:
        # Escaped, because half of a surrogate pair in a reply could not be written otherwise.
        with self.path.open("a", encoding="utf-8", newline="\n") as file:
            file.write(_line(entry).decode("ascii"))
            file.flush()
            os.fsync(file.fileno())


def _line(entry: dict[str, Any]) -> bytes:
    return (json.dumps(entry, allow_nan=False) + "\n").encode("ascii")


def _parsed(line: str) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except ValueError:
        return {}
    return entry if isinstance(entry, dict) else {}
