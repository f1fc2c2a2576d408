import json

import numpy as np
import pytest

from bayes_irt_router.calibration.ability_prior import new_llm_prior
from bayes_irt_router.calibration.answers import Answer, merged
from bayes_irt_router.calibration.journal import Journal
from bayes_irt_router.calibration.selection import Choosable, task_shares
from bayes_irt_router.calibration.session import NoMoreAnswers, Setup, Stopping, question_costs, run, state
from bayes_irt_router.calibration.summary import calibration_report
from bayes_irt_router.calibration.targets import Target
from bayes_irt_router.errors import InputError


class Killed(BaseException):
    """What a kill is to the code."""


@pytest.fixture(scope="module")
def setup(fitted_bank):
    open_ = np.ones(len(fitted_bank.query), dtype=bool)
    choosable = Choosable(open_, np.full(len(open_), 0.01), task_shares(fitted_bank, open_))
    return Setup(fitted_bank, new_llm_prior(fitted_bank.posterior), Target(), choosable, priced=True)


def journal(path, llm="new", data="abc", history=()):
    return Journal.open(path / "answers.jsonl", llm, data, history)


def answerer(setup, killed_after=None):
    """Right on every other query; killed in the middle of a question if so wanted."""
    asked = []

    def ask(position):
        asked.append(setup.bank.query[position])
        if killed_after is not None and len(asked) > killed_after:
            raise Killed
        return Answer(asked[-1], float(position % 2))

    return ask


def quiet(state):
    pass


def test_a_killed_run_goes_on_where_it_was_and_asks_what_it_would_have_asked(setup, tmp_path):
    whole, ended = run(setup, Stopping(questions=6), answerer(setup), journal(tmp_path / "whole"), quiet)
    assert "6 queries" in ended
    with pytest.raises(Killed):
        run(
            setup, Stopping(questions=6), answerer(setup, killed_after=3), journal(tmp_path / "killed"), quiet
        )
    path = tmp_path / "killed" / "answers.jsonl"
    path.write_bytes(path.read_bytes() + b'{"query": "half of a li')  # killed while writing
    again = journal(tmp_path / "killed")
    assert len(again.answers) == 3
    resumed, _ = run(setup, Stopping(questions=6), answerer(setup), again, quiet)
    assert resumed.answers == whole.answers
    np.testing.assert_array_equal(resumed.placement.ability, whole.placement.ability)
    assert journal(tmp_path / "killed").answers == list(whole.answers)


def test_an_answer_is_on_the_disk_before_the_next_question(setup, tmp_path):
    path, lines = tmp_path / "answers.jsonl", []

    def ask(position):
        lines.append(len(path.read_text().splitlines()))
        return Answer(setup.bank.query[position], 1.0)

    run(setup, Stopping(questions=4), ask, journal(tmp_path), quiet)
    assert lines == [1, 2, 3, 4]  # the header, and an answer more each time


def test_skipped_queries_are_not_asked_again(setup, tmp_path):
    asked = []

    def ask(position):
        asked.append(position)
        return None if len(asked) % 2 else Answer(setup.bank.query[position], 1.0)

    run(setup, Stopping(questions=3), ask, journal(tmp_path), quiet)
    assert len(set(asked)) == len(asked) == 6
    again = journal(tmp_path)
    assert len(again.skipped) == 3
    found, ended = run(setup, Stopping(questions=3), ask, again, quiet)
    assert (len(asked), len(found.answers)) == (6, 3)
    assert "3 queries" in ended


@pytest.mark.parametrize(
    ("stopping", "expected"),
    [
        (Stopping(usd=0.035), "costs more than is left"),
        (Stopping(usd=0.03), "costs more than is left|spent"),
        (Stopping(target_sd=1.0), "SD is"),
        (Stopping(questions=0), "0 queries"),
    ],
)
def test_the_first_limit_ends_it(setup, tmp_path, stopping, expected):
    import re

    found, ended = run(setup, stopping, answerer(setup), journal(tmp_path), quiet)
    assert re.search(expected, ended)
    assert found.spent <= (stopping.usd or 0.0) + 1e-12


def test_a_budget_goes_to_what_it_can_pay(setup, tmp_path):
    """The dearest queries are the most telling per dollar nowhere, but what is left of a budget buys others."""
    from dataclasses import replace

    cost = np.where(np.arange(len(setup.choosable.cost)) % 2, 0.05, 0.01)
    some = replace(setup, choosable=replace(setup.choosable, cost=cost), priced=True)
    found, ended = run(some, Stopping(usd=0.045), answerer(some), journal(tmp_path), quiet)
    assert "costs more than is left" in ended
    assert len(found.answers) == 4
    assert found.spent == pytest.approx(0.04)


def test_it_ends_when_all_is_asked_or_nobody_answers(setup, tmp_path):
    from dataclasses import replace

    few = replace(setup, choosable=replace(setup.choosable, open=np.arange(len(setup.bank.query)) < 3))
    found, ended = run(few, Stopping(), answerer(setup), journal(tmp_path / "a"), quiet)
    assert (len(found.answers), ended) == (3, "every query has been asked")

    def nobody(position):
        raise NoMoreAnswers

    assert run(setup, Stopping(), nobody, journal(tmp_path / "b"), quiet)[1] == "there were no more answers"


def test_the_interval_shrinks_and_the_report_tells_before_and_after(setup, tmp_path):
    sds = []
    found, ended = run(
        setup,
        Stopping(questions=8),
        answerer(setup),
        journal(tmp_path),
        lambda now: sds.append(now.target.sd),
    )
    assert sds[-1] < sds[0]
    report = calibration_report(setup, found, "new", ended, 0.8, given=False)
    told = json.loads(json.dumps(report.to_dict()))
    assert told["accuracy"]["overall"]["sd"] < told["accuracy_before"]["overall"]["sd"]
    assert set(told["accuracy"]["tasks"]) == set(setup.bank.task)
    assert told["spent"] == {"usd": pytest.approx(0.08), "answers": 8}
    assert sum(told["asked"].values()) == 8
    assert len(report.table()) == len(set(setup.bank.task)) + 1


def test_between_questions_few_draws_do_and_in_the_end_all_count(setup, tmp_path, monkeypatch):
    """The path is told in few draws; a limit on the SD holds over all of them."""
    monkeypatch.setattr("bayes_irt_router.calibration.session.ASKING_DRAWS", 40)
    seen = []
    end, ended = run(setup, Stopping(target_sd=0.12), answerer(setup), journal(tmp_path), seen.append)
    assert {len(now.placement.index) for now in seen} == {40}
    assert len(end.placement.index) == setup.bank.draws
    assert set(seen[0].placement.index) <= set(range(setup.bank.draws))
    assert end.target.sd <= 0.12
    assert f"{end.target.sd:.4f}" in ended
    again = state(setup, end.answers, 40)
    np.testing.assert_array_equal(again.placement.ability, seen[-1].placement.ability)


def test_a_query_answered_twice_counts_once(setup, tmp_path):
    kept = journal(tmp_path)
    for score in (1.0, 0.0):
        kept.add(Answer(setup.bank.query[0], score))
    now, ended = run(setup, Stopping(questions=2), answerer(setup), kept, quiet)
    assert (len(now.answers), ended) == (3, "2 queries are answered")
    assert sum(calibration_report(setup, now, "new", ended, 0.8, given=True).asked.values()) == 2


def test_limits_are_checked(setup):
    with pytest.raises(InputError, match="usd"):
        Stopping(usd=-1.0)


def test_a_journal_of_another_llm_or_model_is_refused_and_left_alone(tmp_path):
    journal(tmp_path).add(Answer("q", 1.0))
    before = (tmp_path / "answers.jsonl").read_bytes()
    for other in ({"llm": "other"}, {"data": "xyz"}, {"history": [{"llm": "new", "answers": 1}]}):
        with pytest.raises(InputError, match="another LLM, or of the model"):
            journal(tmp_path, **other)
    assert (tmp_path / "answers.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    "content",
    [
        b'{"precious": "no newline at the end"}',
        b'{"precious": 1}\nthe last line',
        b"\xff\xfe",
        b"[" * 100_000,
    ],
)
def test_a_file_of_another_kind_is_refused_and_left_alone(tmp_path, content):
    path = tmp_path / "answers.jsonl"
    path.write_bytes(content)
    with pytest.raises(InputError, match="another LLM, or of the model"):
        journal(tmp_path)
    assert path.read_bytes() == content


def test_a_damaged_journal_is_left_alone(tmp_path):
    journal(tmp_path).add(Answer("q", 1.0))
    path = tmp_path / "answers.jsonl"
    content = path.read_bytes() + b'nonsense\n{"query": "r", "sc'
    path.write_bytes(content)
    with pytest.raises(InputError, match="line 3"):
        journal(tmp_path)
    assert path.read_bytes() == content


def test_a_header_that_a_kill_cut_short_is_written_again(tmp_path):
    journal(tmp_path).add(Answer("q", 1.0))
    path = tmp_path / "answers.jsonl"
    whole = path.read_bytes()
    header = whole[: whole.index(b"\n") + 1]
    for length in (0, 1, len(header) - 1, len(header)):
        path.write_bytes(header[:length])
        assert journal(tmp_path).answers == []
        assert path.read_bytes() == header


def test_ids_may_hold_any_character(tmp_path):
    given = [Answer(name, 1.0) for name in ("a\u2028b", "a\x85b", "a\nb", "a\x0cb", "\ud800")]
    for answer in given:
        journal(tmp_path).add(answer)
    assert journal(tmp_path).answers == given


def test_damaged_lines_are_named(tmp_path):
    journal(tmp_path).add(Answer("q", 1.0))
    with (tmp_path / "answers.jsonl").open("a") as file:
        file.write('{"query": "r", "score": 7}\nnonsense\n{"query": "r", "score": 1, "trials": 1.5}\n')
    with pytest.raises(InputError) as caught:
        journal(tmp_path)
    assert [f"line {n}" in told for n, told in enumerate(caught.value.problems, 3)] == [True] * 3


def test_answers_are_checked_and_merged():
    for wrong in (
        {"score": 1.5},
        {"score": 1.0, "trials": 0},
        {"score": 1.0, "cost_usd": -1.0},
        {"score": np.nan},
    ):
        with pytest.raises(InputError):
            Answer("q", **wrong)
    pair = [
        Answer("b", 1.0, output_tokens=10.0),
        Answer("a", 0.0),
        Answer("b", 0.5, trials=3, output_tokens=30.0),
    ]
    assert merged(pair) == [Answer("a", 0.0), Answer("b", 0.625, 4, None, 25.0)]


def test_costs_are_usd_only_if_all_are_known():
    usd, priced = question_costs(np.array([1.0, 0.0, 2.0]))
    assert priced
    assert (usd > 0).all()
    for unknown in (np.array([1.0, np.nan]), np.zeros(2)):
        ones, priced = question_costs(unknown)
        assert not priced
        assert ones.tolist() == [1.0, 1.0]
