"""Prompts x LLMs, several at a time: what is not in the journal yet is asked for, as fast and as dearly as is allowed."""

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field

import pandas as pd
import xarray as xr

from bayes_irt_router.data.canonical import dataset_from_tables
from bayes_irt_router.data.collection.client import Client, Clock, Declined, Ended, Refused, Reply
from bayes_irt_router.data.collection.pace import Announce, Budget, Pace, ask_patiently
from bayes_irt_router.data.collection.questions import Question
from bayes_irt_router.data.collection.reply_journal import ReplyJournal
from bayes_irt_router.data.collection.scoring import Scorer
from bayes_irt_router.errors import InputError

WAKE_SECONDS = (
    0.5  # an interruption that comes when a wait is just about to begin is noticed when that wait ends
)
FAILURES_IN_A_ROW = 5  # after so many, something is wrong with more than a prompt

Pair = tuple[Question, str]


@dataclass
class Outcome:
    """How a run ended.

    Attributes:
        declined: query, LLM and reason of what was asked for in vain; asked for again by the next run.
        out_of_money: whether the cap ended the run.
    """

    declined: list[tuple[str, str, str]] = field(default_factory=list)
    out_of_money: bool = False


def collect(
    questions: Sequence[Question],
    llms: Sequence[str],
    client: Client,
    journal: ReplyJournal,
    pace: Pace,
    budget: Budget,
    clock: Clock,
    *,
    concurrency: int,
    announce: Announce,
) -> Outcome:
    """Ask every LLM every question whose reply the journal does not hold; replies go to the journal as they come.

    A request is sent only if all answers under way may cost the most that they can without passing the cap. However a run ends, requests
    under way are waited for and their replies kept, because they were paid for; nothing new is sent, and nobody waits for a busy server.

    Raises:
        InputError: an LLM refuses all prompts, too many in a row were declined, or the client failed in a way it does not tell of; the
            replies so far are in the journal.
        OSError: a reply could not be written to the journal.
    """
    waiting = [(q, llm) for q in questions for llm in llms if (q.query, llm) not in journal.replies]
    state = _State(waiting[::-1], client, journal, pace, budget, clock, announce)
    with ThreadPoolExecutor(concurrency) as threads:
        try:
            running = {threads.submit(state.work) for _ in range(concurrency)}
            while running:
                done, running = wait(running, WAKE_SECONDS, FIRST_EXCEPTION)
                for one in done:
                    one.result()
        finally:
            state.stop()  # also where this thread is interrupted
            state.wait()  # leaving the block does not: an interruption may keep a thread that is just starting from the pool's books
    if isinstance(state.failure, OSError):
        raise state.failure
    if state.problem is not None:
        raise InputError(state.problem) from state.failure
    return state.outcome


@dataclass
class _State:
    """What the threads share; all but the requests themselves happens under the lock."""

    waiting: list[Pair]  # the next one last
    client: Client
    journal: ReplyJournal
    pace: Pace
    budget: Budget
    clock: Clock
    announce: Announce
    outcome: Outcome = field(default_factory=Outcome)
    problem: str | None = None
    failure: Exception | None = None
    under_way: int = 0
    in_a_row: int = 0

    def __post_init__(self) -> None:
        self.changed = threading.Condition()
        self.ended = threading.Event()

    def work(self) -> None:
        """One thread: take a pair, ask, keep the reply, until there is none left or it is time to stop."""
        while (taken := self._take()) is not None:
            (question, llm), reserved = taken
            try:
                reply = ask_patiently(self.client, llm, question.text, self.pace, self.clock, self.ended)
                self._keep(question, llm, reply)
            except Ended:
                return  # it was not asked, and is the next run's
            except Declined as error:
                self._failed(question, llm, str(error))
            except Refused as error:
                self._give_up(
                    f"{llm} refuses ({error}); mend that, and run the same line again: the replies so far are kept."
                )
            except Exception as error:  # noqa: BLE001  (of any client: the other threads must not go on alone)
                what = " ".join(f"{type(error).__name__}: {error}".split())[:300]
                self._give_up(
                    f"Asking {llm} failed ({what}); mend that, and run the same line again: the replies so far are kept.",
                    error,
                )
            finally:
                with self.changed:
                    self.budget.reserved_usd -= reserved
                    self.under_way -= 1
                    self.changed.notify_all()

    def stop(self) -> None:
        """No thread asks anything more."""
        with self.changed:
            self.ended.set()
            self.changed.notify_all()

    def wait(self) -> None:
        """Until no request is under way."""
        with self.changed:
            while self.under_way:
                self.changed.wait(WAKE_SECONDS)

    def _keep(self, question: Question, llm: str, reply: Reply) -> None:
        with self.changed:
            self.budget.spent_usd += self.budget.cost(llm, question.text, reply)
            self.journal.add(question, llm, reply)
            self.in_a_row = 0
            self.announce(len(self.journal.replies), self.budget.spent_usd)

    def _take(self) -> tuple[Pair, float] | None:
        with self.changed:
            while self.waiting and not self.ended.is_set():
                question, llm = self.waiting[-1]
                most = self.budget.bound(llm, question.text)
                if self.budget.allows(most):
                    self.budget.reserved_usd += most
                    self.under_way += 1
                    return self.waiting.pop(), most
                if not self.under_way:
                    self.outcome.out_of_money = True
                    return None
                self.changed.wait()  # answers under way will cost less than they might
            return None

    def _failed(self, question: Question, llm: str, reason: str) -> None:
        with self.changed:
            self.outcome.declined.append((question.query, llm, reason))
            self.in_a_row += 1
            if self.in_a_row >= FAILURES_IN_A_ROW and self.problem is None:
                self.problem = (
                    f"{self.in_a_row} requests in a row came to nothing, the last to {llm} ({reason}); mend that, and run the same line "
                    "again: the replies so far are kept."
                )
                self.ended.set()

    def _give_up(self, problem: str, failure: Exception | None = None) -> None:
        """The first problem is the one that is told; what it brings about in other threads is not."""
        with self.changed:
            if self.problem is None:
                self.problem, self.failure = problem, failure
            self.ended.set()


def collected_dataset(
    questions: Sequence[Question], journal: ReplyJournal, llms: pd.DataFrame, scorer: Scorer, source: str
) -> xr.Dataset:
    """The canonical dataset of the replies in a journal, scored.

    Args:
        questions: that were asked.
        journal: with at least one reply to them.
        llms: canonical table of the LLMs that were asked.
        scorer: of the replies.
        source: what to call the data in a sentence.

    Raises:
        InputError: no question has a reply, or the scorer fails.
    """
    by_name: Mapping[str, Question] = {one.query: one for one in questions}
    asked = set(llms["llm"])
    rows = [
        {
            "query_id": query,
            "llm": llm,
            "score": scorer(by_name[query], llm, reply.text),
            "input_tokens": reply.input_tokens,
            "output_tokens": reply.output_tokens,
        }
        for (query, llm), reply in journal.replies.items()
        if query in by_name and llm in asked
    ]
    if not rows:
        raise InputError(f"There is no reply in {journal.path} to write; check the LLMs and the cap.")
    responses = pd.DataFrame(rows).astype({"input_tokens": "float64", "output_tokens": "float64"})
    answered = set(responses["query_id"])
    table = pd.DataFrame(
        [
            {"query_id": one.query, "text": one.text, "task": one.task, "split": one.split}
            for one in questions
            if one.query in answered
        ]
    )
    known = llms[llms["llm"].isin(set(responses["llm"]))].reset_index(drop=True)
    return dataset_from_tables(
        responses, table, known, {"responses": source, "queries": source, "llms": source}
    )
