"""Decisions are written as they come."""

import io
import json

import pytest

from bayes_irt_router.cli.decisions import json_file, json_to
from bayes_irt_router.cli.prompts import piped_prompts, prompts_of
from bayes_irt_router.errors import InputError
from bayes_irt_router.report.json_text import json_text
from bayes_irt_router.routing.decision import Candidate, Decision, Interval

HEAD = {"schema_version": 1, "decisions": [], "prices": {"source": "a.csv"}}


def decision(index):
    candidate = Candidate("a", Interval(0.5, 0.4, 0.6, 0.89), None, float("nan"), None)
    return Decision(index, "a", 'a is "best".', (candidate,))


@pytest.mark.parametrize("count", [0, 1, 3])
def test_json_in_pieces_is_the_json_of_the_whole(count):
    pieces, decisions = [], [decision(index) for index in range(count)]
    with json_to(pieces.append, HEAD) as take:
        assert pieces == []
        for number, one in enumerate(decisions, 1):
            take(one)
            assert len(pieces) == number
    whole = HEAD | {"decisions": [one.to_dict() for one in decisions]}
    assert "".join(pieces) == json_text(whole) + "\n"


def test_a_file_that_is_broken_off_does_not_appear(tmp_path):
    def broken_off():
        with json_file(tmp_path / "out.json", HEAD) as take:
            take(decision(0))
            raise InputError("Prompt 2 is empty.")

    with pytest.raises(InputError):
        broken_off()
    assert list(tmp_path.iterdir()) == []
    with json_file(tmp_path / "out.json", HEAD) as take:
        take(decision(0))
    assert json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))["decisions"][0]["index"] == 0


def test_piped_prompts_are_read_as_they_are_needed(monkeypatch):
    read = []

    def endless():
        while True:
            read.append(1)
            yield b"Why?\n\n"

    class Piped:
        buffer = endless()

    monkeypatch.setattr("sys.stdin", Piped)
    total, prompts = prompts_of(["typed"], "-")
    assert total is None
    assert [next(prompts) for _ in range(3)] == ["typed", "Why?", "Why?"]
    assert len(read) == 2


def test_what_is_piped_may_start_with_a_mark_and_is_told_where_it_is_no_text():
    assert list(piped_prompts(io.BytesIO("\ufeffK\u00e4the?\r\n \nWhy?".encode()))) == ["K\u00e4the?", "Why?"]
    with pytest.raises(InputError, match=r"not UTF-8 text \(byte 6\)"):
        list(piped_prompts(io.BytesIO(b"Why?\nK\xe4the")))
    with pytest.raises(InputError, match="holds no prompt"):
        list(piped_prompts(io.BytesIO(b"\n \n")))
