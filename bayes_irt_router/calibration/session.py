"""A calibration from the first question to the last: choose, ask, place, until enough is known or spent."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.stats import norm

from bayes_irt_router.calibration.ability_prior import AbilityPrior
from bayes_irt_router.calibration.answers import Answer
from bayes_irt_router.calibration.belief import Belief, belief, simulated_scores
from bayes_irt_router.calibration.coarsening import chosen_weight
from bayes_irt_router.calibration.items import ItemBank
from bayes_irt_router.calibration.journal import Journal
from bayes_irt_router.calibration.placing import Placement, place
from bayes_irt_router.calibration.selection import Choice, Choosable, choose_queries
from bayes_irt_router.calibration.targets import Target, TargetValues, expected_regret
from bayes_irt_router.errors import InputError

ASKING_DRAWS = 400  # over which an LLM is placed between two questions: as many as a belief has particles
MILESTONES = (10, 20, 50, 100)
SIMULATED = 12  # calibrations for each milestone of a plan


class NoMoreAnswers(Exception):
    """Raised by whoever answers, to end the questions."""


@dataclass(frozen=True)
class Stopping:
    """When enough is known or spent; None: no such limit.

    Attributes:
        questions: at most so many queries are answered.
        usd: at most so much is spent.
        target_sd: the target's posterior SD is at most this.
        regret: what not knowing the ability is expected to cost, in utility, is at most this (for targets with stakes).
    """

    questions: int | None = None
    usd: float | None = None
    target_sd: float | None = None
    regret: float | None = None

    def __post_init__(self) -> None:
        limits = {
            "questions": self.questions,
            "usd": self.usd,
            "target_sd": self.target_sd,
            "regret": self.regret,
        }
        if wrong := [name for name, limit in limits.items() if limit is not None and not limit >= 0]:
            raise InputError(f"The limits {', '.join(wrong)} must be 0 or more.")


@dataclass(frozen=True, eq=False)
class Setup:
    """What stays the same during a calibration.

    Attributes:
        bank: the queries.
        prior: of the LLM's ability.
        target: what is to be learned.
        choosable: what may be asked at all, and its cost in USD (1 a query where prices are unknown).
        priced: whether costs are USD.
        selector: how queries are chosen.
        seed: of everything random; the state after n answers depends on the seed and on n alone.
        given: so many of the queries were answered before any was chosen.
    """

    bank: ItemBank
    prior: AbilityPrior
    target: Target
    choosable: Choosable
    priced: bool = False
    selector: str = "variance"
    seed: int = 0
    given: int = 0

    def weight(self, answered: int) -> float:
        """Power of the likelihood when so many queries are answered: 1 as long as none was chosen by what its answer would tell."""
        return 1.0 if self.selector == "random" else chosen_weight(max(0, answered - self.given))


@dataclass(frozen=True, eq=False)
class State:
    """What is known after some answers.

    Attributes:
        answers: so far, repeated ones one by one.
        placement: of the LLM.
        belief: its particles.
        target: values in them.
        spent: USD (or queries, where prices are unknown) on them.
    """

    answers: tuple[Answer, ...]
    placement: Placement
    belief: Belief
    target: TargetValues
    spent: float

    @property
    def asked(self) -> list[str]:
        """The queries answered so far, each once."""
        return list(dict.fromkeys(answer.query for answer in self.answers))

    def interval(self, level: float) -> tuple[float, float, float]:
        """Mean, lower and upper end of an accuracy (of several, their mean), as of a normal, inside [0, 1]."""
        return accuracy_interval(float(self.target.values.mean()), self.target.sd_of_mean, level)

    def told(self, target: Target, level: float) -> str:
        """The target as believed now, in a few words."""
        open_ = f"{target.measure} {target.uncertainty(self.target, self.belief):.{4 if target.is_accuracy else 5}f}"
        if not target.is_accuracy:
            return open_
        mean, lower, upper = self.interval(level)
        return f"{mean:.3f}, {100 * level:g}% interval {lower:.3f} to {upper:.3f}, {open_}"


def accuracy_interval(mean: float, sd: float, level: float) -> tuple[float, float, float]:
    """The mean and the ends of a normal interval inside [0, 1]."""
    half = float(norm.ppf((1 + level) / 2)) * sd
    return mean, max(0.0, mean - half), min(1.0, mean + half)


def state(setup: Setup, answers: Sequence[Answer], draws: int | None = None) -> State:
    """Where the LLM stands after these answers, the same however often it is asked.

    Args:
        setup: of the calibration.
        answers: so far.
        draws: place over at most so many parameter draws, evenly spaced; over all by default. :data:`ASKING_DRAWS` of them
            say what to ask next, in less time; what is kept of an LLM, and told of it in the end, is placed over all.
    """
    rng = np.random.default_rng([setup.seed, len(answers), 0])
    count = setup.bank.draws if draws is None else min(draws, setup.bank.draws)
    kept = np.linspace(0, setup.bank.draws - 1, count).round().astype(int)
    weight = setup.weight(len({answer.query for answer in answers}))
    placement = place(setup.bank, setup.prior, answers, rng, draws=kept, weight=weight)
    particles = belief(setup.bank, placement)
    spent = 0.0
    for answer in answers:
        own = float(setup.choosable.cost[setup.bank.positions([answer.query])[0]]) * answer.trials
        spent += answer.cost_usd if setup.priced and answer.cost_usd is not None else own
    values = setup.target.values(setup.bank, particles, answers)
    return State(tuple(answers), placement, particles, values, spent)


def next_queries(
    setup: Setup, now: State, count: int, skipped: Sequence[str] = (), dearest: float = np.inf
) -> list[Choice]:
    """The queries to ask next, none that was answered or skipped, each of which costs at most so much."""
    bank = setup.bank
    asked = now.asked
    open_ = setup.choosable.open & (setup.choosable.cost <= dearest)
    open_[bank.positions([*asked, *skipped])] = False
    return choose_queries(
        bank,
        now.belief,
        now.target,
        Choosable(open_, setup.choosable.cost, setup.choosable.share),
        count,
        np.random.default_rng([setup.seed, len(asked) + len(skipped), 1]),
        selector=setup.selector,
        asked_tasks=[bank.task[i] for i in bank.positions(asked)],
    )


def run(
    setup: Setup,
    stopping: Stopping,
    ask: Callable[[int], Answer | None],
    journal: Journal,
    progress: Callable[[State], None],
) -> tuple[State, str]:
    """Ask until enough is known or spent, and say why it ended.

    Each answer is in the journal before anything else happens. Answers that the journal holds already count as asked, so that the same
    call after a kill goes on where it was, and asks what it would have asked. Between the questions the LLM is placed over
    :data:`ASKING_DRAWS` parameter draws, in the end over all of them.

    Args:
        setup: what stays the same.
        stopping: the limits; the first one reached ends it.
        ask: gives the answer to the query at a position of the bank, or None to skip it; raises NoMoreAnswers to end.
        journal: of the answers.
        progress: told the state after each answer, and at the start.
    """

    def whole() -> State:
        return state(setup, journal.answers)

    while True:
        now = state(setup, journal.answers, ASKING_DRAWS)
        progress(now)
        # A limit on what is known counts as reached if it is so over all draws as well.
        if _enough(setup, stopping, now) and (reason := _enough(setup, stopping, end := whole())):
            return end, reason
        left = np.inf if stopping.usd is None else stopping.usd - now.spent
        choices = next_queries(setup, now, 1, journal.skipped, left)
        if not choices:
            dear = bool(next_queries(setup, now, 1, journal.skipped))
            return (
                whole(),
                "every open query costs more than is left of the budget"
                if dear
                else "every query has been asked",
            )
        at = choices[0].position
        try:
            answer = ask(at)
        except NoMoreAnswers:
            return whole(), "there were no more answers"
        if answer is None:
            journal.skip(setup.bank.query[at])
        else:
            journal.add(answer)


@dataclass(frozen=True)
class Plan:
    """Queries worth asking, and what to expect of asking them.

    Attributes:
        choices: in the order of asking.
        expected: the target's :meth:`Target.uncertainty` after asking 0, 10, 20, 50, 100 queries, as far as there are so many, and after
            those listed.
        mean: of the target as believed now.
        cost: of asking so many, in USD, or their number; for the same numbers.
    """

    choices: list[Choice]
    expected: dict[int, float]
    mean: float
    cost: dict[int, float]


def plan(setup: Setup, now: State, count: int, skipped: Sequence[str] = ()) -> Plan:
    """What would be asked if no answer could be looked at in between, and what will not be known then.

    The SD to expect after n queries is its root mean square (the regret: its mean) over simulated calibrations: an LLM is drawn from
    what is believed now, it answers the n queries, and is placed by its answers. Adaptive testing, which looks at the answers, does
    a little better.
    """
    choices = next_queries(setup, now, max(count, *MILESTONES), skipped)
    listed = choices[:count]
    costs = np.concatenate([[0.0], np.cumsum([setup.choosable.cost[choice.position] for choice in choices])])
    rng = np.random.default_rng([setup.seed, len(now.answers), 3])
    target = setup.target
    power = 1.0 if target.name == "regret" else 2.0  # variances have a mean, and so has regret
    expected: dict[int, float] = {0: target.uncertainty(now.target, now.belief)}
    for n in sorted({n for n in (*MILESTONES, len(listed)) if 0 < n <= len(choices)}):
        positions, found = np.array([choice.position for choice in choices[:n]]), []
        for particle in rng.integers(len(now.belief.index), size=SIMULATED):
            scores = simulated_scores(setup.bank, now.belief, int(particle), positions, rng)
            simulated = [
                Answer(setup.bank.query[i], float(y)) for i, y in zip(positions, scores, strict=True)
            ]
            then = state(setup, [*now.answers, *simulated], ASKING_DRAWS)
            found.append(target.uncertainty(then.target, then.belief))
        expected[n] = float(np.mean(np.power(found, power)) ** (1.0 / power))
    return Plan(listed, expected, float(now.target.values.mean()), {n: float(costs[n]) for n in expected})


def question_costs(
    cost_usd: Float[np.ndarray, " query"],
) -> tuple[Float[np.ndarray, " query"], bool]:
    """Costs to weigh questions by: USD if all are known, else 1 each; and whether they are USD."""
    if np.isnan(cost_usd).any() or not (cost_usd > 0).any():
        return np.ones(len(cost_usd)), False
    # A free query among paid ones would be worth infinitely much.
    return np.maximum(cost_usd, 1e-3 * float(cost_usd[cost_usd > 0].min())), True


def _enough(setup: Setup, stopping: Stopping, now: State) -> str | None:
    if stopping.questions is not None and len(now.asked) >= stopping.questions:
        return f"{len(now.asked)} queries are answered"
    if stopping.usd is not None and now.spent >= stopping.usd:
        return "the budget is spent"
    if stopping.target_sd is not None and now.target.sd <= stopping.target_sd:
        return f"the target's SD is {now.target.sd:.4f}"
    if stopping.regret is not None:
        if setup.target.stakes is None:
            raise InputError(
                "A limit on regret needs texts and prices of all LLMs; give them, or another limit."
            )
        regret = expected_regret(setup.target.stakes, now.belief)
        if regret <= stopping.regret:
            return f"the expected regret is {regret:.5f}"
    return None
