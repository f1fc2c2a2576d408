"""Collecting answers: everything is asked once, a cap holds, a busy server is left in peace, and nothing paid for is lost."""

import json
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayes_irt_router.data.collection.client import Busy, Client, Declined, Ended, Refused, Reply, WallClock
from bayes_irt_router.data.collection.collect import FAILURES_IN_A_ROW, Outcome, collect, collected_dataset
from bayes_irt_router.data.collection.pace import ATTEMPTS, Budget, Pace, ask_patiently
from bayes_irt_router.data.collection.questions import Question, read_questions
from bayes_irt_router.data.collection.reply_journal import ReplyJournal
from bayes_irt_router.data.collection.scoring import (
    command_scorer,
    exact_match,
    needs_answers,
    regular_expression,
)
from bayes_irt_router.data.prices import Price
from bayes_irt_router.errors import InputError

QUESTIONS = tuple(Question(f"q{i}", f"What is {i} + {i}?", "sums", "train", str(2 * i)) for i in range(6))
LLMS = ("good", "bad")
SETTINGS = {"max_tokens": 10}


class FakeClock:
    """Time passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.time, self.lock = 0.0, threading.Lock()
        self.ended: threading.Event | None = None

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float, ended: threading.Event) -> None:
        self.ended = ended
        with self.lock:
            self.time += 0.0 if ended.is_set() else max(seconds, 0.0)


@dataclass
class FakeClient:
    """`good` is always right; before an answer it may raise what `trouble` says, once for each entry."""

    clock: FakeClock
    trouble: list[Exception] = field(default_factory=list)
    asked: list[tuple[str, str, float]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def ask(self, llm: str, prompt: str) -> Reply:
        with self.lock:
            self.asked.append((llm, prompt, self.clock.now()))
            if self.trouble:
                raise self.trouble.pop(0)
        number = int(prompt.split()[2])
        return Reply(str(2 * number if llm == "good" else 0), 10, 1)


@dataclass
class Desk:
    """What a run needs, around a journal in a folder."""

    path: Path
    trouble: list[Exception] = field(default_factory=list)
    budget: Budget = field(default_factory=lambda: Budget({}, 10))
    per_minute: float | None = None
    concurrency: int = 1

    def __post_init__(self) -> None:
        self.clock = FakeClock()
        self.client: Client = FakeClient(self.clock, self.trouble)
        self.journal = ReplyJournal.open(self.path, SETTINGS)

    def run(self, questions: Sequence[Question] = QUESTIONS) -> Outcome:
        pace = Pace(self.per_minute, self.clock)
        return collect(
            questions, LLMS, self.client, self.journal, pace, self.budget, self.clock,
            concurrency=self.concurrency, announce=lambda replies, usd: None,
        )  # fmt: skip


@pytest.mark.parametrize("concurrency", [1, 5])
def test_every_llm_is_asked_every_question_once(tmp_path: Path, concurrency: int):
    desk = Desk(tmp_path / "r.jsonl", concurrency=concurrency)
    assert desk.run() == Outcome()
    assert sorted((llm, text) for llm, text, _ in desk.client.asked) == sorted(
        (llm, q.text) for q in QUESTIONS for llm in LLMS
    )
    assert set(desk.journal.replies) == {(q.query, llm) for q in QUESTIONS for llm in LLMS}


def test_a_second_run_asks_only_what_is_missing(tmp_path: Path):
    path = tmp_path / "r.jsonl"
    first = Desk(path)
    first.run(QUESTIONS[:4])
    content = path.read_bytes()
    path.write_bytes(content[:-7])  # killed while the last reply was being written
    second = Desk(path)
    second.run()
    assert len(second.client.asked) == 5
    assert len(second.journal.replies) == 12
    third = Desk(path)
    third.run()
    assert third.client.asked == []
    assert third.journal.replies == second.journal.replies


@given(st.integers(0, 4000))
def test_any_cut_of_the_journal_costs_at_most_the_cut_reply(cut: int):
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "r.jsonl"
        desk = Desk(path)
        desk.run(QUESTIONS[:2])
        whole = path.read_bytes()
        kept = whole[: cut % (len(whole) + 1)]
        path.write_bytes(kept)
        again = ReplyJournal.open(path, SETTINGS)
        assert len(again.replies) == max(kept.count(b"\n") - 1, 0)
        assert all(desk.journal.replies[key] == reply for key, reply in again.replies.items())


def test_replies_under_other_settings_or_to_other_texts_are_not_mixed(tmp_path: Path):
    path = tmp_path / "r.jsonl"
    desk = Desk(path)
    desk.run()
    with pytest.raises(InputError, match="other settings"):
        ReplyJournal.open(path, {"max_tokens": 11})
    with pytest.raises(InputError, match="other texts of q0"):
        desk.journal.check({"q0": Question("q0", "What is 0 + 1?")})
    desk.journal.check({q.query: q for q in QUESTIONS})
    path.write_text(path.read_text() + '{"llm": "good"}\n')
    with pytest.raises(InputError, match="line 14: not a reply"):
        ReplyJournal.open(path, SETTINGS)


@pytest.mark.parametrize("content", [b'{"precious": 1}', b'{"precious": 1}\nlast line', b"notes\n"])
def test_a_file_of_other_origin_is_left_as_it_is(tmp_path: Path, content: bytes):
    path = tmp_path / "r.jsonl"
    path.write_bytes(content)
    with pytest.raises(InputError, match="another file"):
        ReplyJournal.open(path, SETTINGS)
    assert path.read_bytes() == content


def test_requests_are_as_far_apart_as_the_rate_says(tmp_path: Path):
    desk = Desk(tmp_path / "r.jsonl", per_minute=30)
    desk.run()
    times = [at for *_, at in desk.client.asked]
    assert times == pytest.approx([2.0 * i for i in range(12)])


def test_a_busy_server_is_asked_again_after_what_it_says(tmp_path: Path):
    desk = Desk(tmp_path / "r.jsonl", [Busy("full", 17.0), Busy("full"), Busy("full")])
    assert desk.run(QUESTIONS[:1]) == Outcome()
    assert [at for *_, at in desk.client.asked[:4]] == pytest.approx([0.0, 17.0, 19.0, 23.0])


def test_while_a_server_rests_no_thread_asks():
    clock = FakeClock()
    pace = Pace(None, clock)
    pace.rest(30.0)
    pace.wait(threading.Event())
    assert clock.now() == 30.0


def test_who_waits_for_a_turn_when_a_rest_is_asked_for_waits_longer():
    pace: Pace

    class Resting(FakeClock):
        """While the second request waits for its turn, another thread is told to rest."""

        def sleep(self, seconds: float, ended: threading.Event) -> None:
            if self.time == 0.0 and seconds > 0:
                pace.rest(30.0)
            super().sleep(seconds, ended)

    clock = Resting()
    pace = Pace(60, clock)
    ended = threading.Event()
    pace.wait(ended)
    pace.wait(ended)
    assert clock.now() == 30.0


def test_what_stays_busy_is_reported_and_the_rest_goes_on(tmp_path: Path):
    desk = Desk(tmp_path / "r.jsonl", [Busy("full", 1.0)] * ATTEMPTS)
    outcome = desk.run()
    assert [(query, llm) for query, llm, _ in outcome.declined] == [("q0", "good")]
    assert len(desk.journal.replies) == 11


def test_one_declined_prompt_does_not_end_the_run_and_many_in_a_row_do(tmp_path: Path):
    desk = Desk(tmp_path / "one.jsonl", [Declined("not that")])
    assert desk.run().declined == [("q0", "good", "not that")]
    desk = Desk(tmp_path / "many.jsonl", [Declined("not that")] * FAILURES_IN_A_ROW)
    with pytest.raises(InputError, match=f"{FAILURES_IN_A_ROW} requests in a row"):
        desk.run()
    assert len(desk.client.asked) == FAILURES_IN_A_ROW


def test_a_refusal_ends_the_run_at_once(tmp_path: Path):
    desk = Desk(tmp_path / "r.jsonl", [Refused("wrong key")])
    with pytest.raises(InputError, match="good refuses"):
        desk.run()
    assert len(desk.client.asked) == 1


@given(cap=st.floats(1e-6, 1e-2), concurrency=st.integers(1, 4))
def test_no_more_is_spent_than_the_cap(cap: float, concurrency: int):
    import tempfile

    prices = {"good": Price(1.0, 50.0, ""), "bad": Price(0.0, 0.0, "")}
    with tempfile.TemporaryDirectory() as folder:
        desk = Desk(Path(folder) / "r.jsonl", budget=Budget(prices, 10, cap), concurrency=concurrency)
        outcome = desk.run()
    assert desk.budget.spent_usd <= cap
    assert desk.budget.reserved_usd == pytest.approx(0.0, abs=1e-12)
    assert outcome.out_of_money == (len(desk.journal.replies) < 12)


def test_an_answer_never_costs_more_than_was_set_aside_for_it():
    budget = Budget({"good": Price(3.0, 15.0, "")}, 10)
    assert budget.bound("good", "Ünï") >= budget.cost("good", "Ünï", Reply("x", 5 + 64, 10))
    assert budget.cost("good", "a", Reply("x")) == budget.bound("good", "a")
    assert budget.bound("nobody", "a") == 0.0


def test_the_system_prompt_is_paid_for_with_every_prompt():
    price = {"good": Price(3.0, 15.0, "")}
    plain, told = Budget(price, 10), Budget(price, 10, system="Be brief. " * 100)
    assert told.bound("good", "Why?") >= plain.bound("good", "Why?") + 3.0 * 1000 / 1e6
    assert told.cost("good", "Why?", Reply("x")) == told.bound("good", "Why?")


@dataclass
class Together:
    """All threads ask at once; then one of them meets `trouble`, and the others are answered when the run has ended."""

    clock: FakeClock
    threads: int
    trouble: Callable[[], None]
    asked: int = 0

    def __post_init__(self) -> None:
        self.all_here, self.lock = threading.Barrier(self.threads), threading.Lock()

    def ask(self, llm: str, prompt: str) -> Reply:
        with self.lock:
            self.asked += 1
            first = self.asked == 1
        self.all_here.wait(10)
        if first:
            self.trouble()
        assert self.clock.ended is not None
        assert self.clock.ended.wait(10)
        return Reply("0", 10, 1)


def run_together(desk: Desk, trouble: Callable[[], None]) -> Together:
    desk.client = Together(desk.clock, desk.concurrency, trouble)
    return desk.client


def test_trouble_in_one_thread_ends_all_and_keeps_what_was_paid_for(tmp_path: Path):
    def trouble() -> None:
        raise RuntimeError("no such\nthing")

    desk = Desk(tmp_path / "r.jsonl", budget=Budget({"good": Price(1, 1, "")}, 10), concurrency=4)
    client = run_together(desk, trouble)
    with pytest.raises(InputError, match=r"Asking good failed \(RuntimeError: no such thing\)") as caught:
        desk.run()
    assert len(caught.value.problems) == 1
    assert client.asked == 4
    assert len(ReplyJournal.open(desk.path, SETTINGS).replies) == 3
    assert desk.budget.reserved_usd == pytest.approx(0.0, abs=1e-12)


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Where the tests run in the background of a shell, interruptions are ignored unless somebody asks for them."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_an_interruption_ends_all_and_keeps_what_was_paid_for(tmp_path: Path):
    def trouble() -> None:
        main = threading.main_thread().ident
        assert main is not None
        signal.pthread_kill(main, signal.SIGINT)

    desk = Desk(tmp_path / "r.jsonl", concurrency=3)
    client = run_together(desk, trouble)
    with pytest.raises(KeyboardInterrupt):
        desk.run()
    assert client.asked == 3
    assert len(ReplyJournal.open(desk.path, SETTINGS).replies) == 3


def test_an_interruption_while_threads_start_loses_no_reply(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """It arrives when the last thread runs already, but the pool has not noted it yet, and would not wait for it."""
    all_asked = threading.Event()
    desk = Desk(tmp_path / "r.jsonl", concurrency=3)
    client = run_together(desk, all_asked.set)
    start, started = threading.Thread.start, []

    def interrupted(thread: threading.Thread) -> None:
        start(thread)
        started.append(thread)
        if len(started) == 3:
            assert all_asked.wait(10)
            raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        desk.run()
    assert client.asked == 3
    assert len(ReplyJournal.open(desk.path, SETTINGS).replies) == 3


def test_a_full_disk_ends_the_run_and_stays_the_error_that_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def full(self: ReplyJournal, question: Question, llm: str, reply: Reply) -> None:
        raise OSError(28, "No space left on device")

    desk = Desk(tmp_path / "r.jsonl", concurrency=2)
    monkeypatch.setattr(ReplyJournal, "add", full)
    with pytest.raises(OSError, match="No space left"):
        desk.run()
    assert len(desk.client.asked) <= 2


def test_nobody_waits_for_a_busy_server_when_the_run_has_ended():
    ended = threading.Event()

    class Stopper(FakeClient):
        def ask(self, llm: str, prompt: str) -> Reply:
            ended.set()
            return super().ask(llm, prompt)

    client = Stopper(FakeClock(), [Busy("full", 3600.0)] * 2)
    with pytest.raises(Ended):
        ask_patiently(client, "good", "What is 1 + 1?", Pace(None, WallClock()), WallClock(), ended)
    assert len(client.asked) == 1


def test_patience_ends(tmp_path: Path):
    clock = FakeClock()
    client = FakeClient(clock, [Busy("full")] * 20)
    with pytest.raises(Declined, match="stayed busy"):
        ask_patiently(client, "good", "What is 1 + 1?", Pace(None, clock), clock, threading.Event())
    assert len(client.asked) == ATTEMPTS
    assert clock.now() == 1 + 2 + 4 + 8 + 16


# Scoring, questions, tables


def test_the_dataset_holds_scores_and_tokens(tmp_path: Path):
    desk = Desk(tmp_path / "r.jsonl")
    desk.run()
    data = collected_dataset(QUESTIONS, desk.journal, pd.DataFrame({"llm": LLMS}), exact_match, "r.jsonl")
    assert data["score"].sel(llm="good").values.tolist() == [1.0] * 6
    assert data["score"].sel(llm="bad").values.tolist() == [1.0, *[0.0] * 5]
    assert set(data["task"].values) == {"sums"}
    assert float(data["output_tokens"].sum()) == 12


@pytest.mark.parametrize(
    ("pattern", "reply", "score"),
    [
        (r"(\d+)", "first 3, then 4.", 1.0),
        (r"(\d+)", "4 or 5", 0.0),
        (r"(\d+)", "none", 0.0),
        (r"\bfour\b", "It is four", 1.0),
        (r"\bfour\b", "fourteen", 0.0),
    ],
)
def test_regular_expressions(pattern: str, reply: str, score: float):
    assert regular_expression(pattern)(Question("q", "2 + 2?", answer="4"), "m", reply) == score
    assert needs_answers(regular_expression(pattern), pattern) == ("(" in pattern)


@pytest.mark.parametrize("pattern", ["(", "(a)(b)"])
def test_bad_patterns_are_one_sentence(pattern: str):
    with pytest.raises(InputError) as caught:
        regular_expression(pattern)
    assert len(caught.value.problems) == 1


@pytest.fixture
def program(tmp_path: Path) -> Callable[[str], str]:
    def make(code: str) -> str:
        (tmp_path / "score.py").write_text(f"import json, sys\nasked = json.load(sys.stdin)\n{code}\n")
        return f"{sys.executable} {tmp_path / 'score.py'}"

    return make


def test_a_program_scores(program: Callable[[str], str]):
    score = command_scorer(
        program("print(json.dumps({'score': 0.5 * (asked['response'] == asked['answer'])}))")
    )
    question = Question("q", "2 + 2?", answer="4")
    assert [score(question, "m", reply) for reply in ("4", "5")] == [0.5, 0.0]


@pytest.mark.parametrize(
    "code",
    [
        "print('yes')",
        "print('[1]')",
        "print('{}')",
        "print('{\"score\": 2}')",
        "sys.exit(3)",
        "print('{\"score\": NaN}')",
    ],
)
def test_a_program_that_does_not_score_is_one_sentence(program: Callable[[str], str], code: str):
    with pytest.raises(InputError, match="replies are kept") as caught:
        command_scorer(program(code))(Question("q", "2 + 2?"), "m", "4")
    assert len(caught.value.problems) == 1


def test_questions_under_usual_names(tmp_path: Path):
    path = tmp_path / "p.jsonl"
    rows = [
        {"prompt": "Capital of France?", "ground_truth": "Paris", "category": "towns"},
        {"prompt": "2 + 2?", "ground_truth": 4},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    first, second = read_questions(path)
    assert (first.text, first.answer, first.task) == ("Capital of France?", "Paris", "towns")
    assert (second.answer, second.task) == ("4", "")
    assert first.query != second.query


def test_whole_numbers_stay_whole_beside_missing_answers(tmp_path: Path):
    path = tmp_path / "p.jsonl"
    path.write_text('{"text": "2 + 2?", "answer": 4}\n{"text": "Why?"}\n')
    assert [one.answer for one in read_questions(path)] == ["4", ""]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("text\n", "no prompts"),
        ("text,answer\n,4\n", "data row 1"),
        ("query_id,text\na,x\na,y\n", "names a more than once"),
        ("query_id,text\n,x\n", "has no name"),
        ("text,prompt\na,b\n", "may be read from"),
        ("answer\n4\n", "no column"),
    ],
)
def test_bad_questions_are_one_sentence(tmp_path: Path, content: str, told: str):
    (tmp_path / "p.csv").write_text(content)
    with pytest.raises(InputError, match=told) as caught:
        read_questions(tmp_path / "p.csv")
    assert len(caught.value.problems) == 1
