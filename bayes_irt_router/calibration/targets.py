"""What calibration wants to know: numbers that each particle of ability implies, and how much each number matters."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.stats import norm

from bayes_irt_router.calibration.answers import Answer, merged
from bayes_irt_router.calibration.belief import Belief
from bayes_irt_router.calibration.items import ItemBank, flat
from bayes_irt_router.errors import InputError
from bayes_irt_router.irt.identification import is_testlet
from bayes_irt_router.irt.response import p_correct

TARGETS = ("accuracy", "tasks", "ability", "regret")
STAKE_QUERIES = 300  # over which regret is averaged
STAKE_DRAWS = 100


@dataclass(frozen=True, eq=False)
class TargetValues:
    """The target: one or several numbers ``T_k = value_k + sum_i part_ki coin_i``, a coin being what an answer is beyond its expectation.

    Attributes:
        values: of each number in every particle, its mean given the ability, shape (particle, target).
        weight: of each number, shape (target,).
        part: what each answer that is not known yet counts in each number; 0 for those known, and where no answer counts,
            shape (target, query).
        noise: variance of each coin, shape (query,).
    """

    values: Float[np.ndarray, "particle target"]
    weight: Float[np.ndarray, " target"]
    part: Float[np.ndarray, "target query"]
    noise: Float[np.ndarray, " query"]

    @property
    def sd(self) -> float:
        """Posterior SD of the target; of several numbers, the root of their weighted mean variance."""
        return float(np.sqrt(self.weight @ (self.values.var(axis=0) + self.part**2 @ self.noise)))

    @property
    def sd_of_mean(self) -> float:
        """Posterior SD of the mean of the numbers; of one number, its own."""
        return float(np.sqrt(self.values.mean(axis=1).var() + self.part.mean(axis=0) ** 2 @ self.noise))

    def answered(self, i: int, belief: Belief) -> tuple[Belief, "TargetValues"]:
        """Belief and target with the spread that they will have once query ``i`` has been answered, whatever the answer.

        What the answer counts by itself is known from then on; the rest follows :meth:`Belief.conditioned`.
        """
        own = belief.p_correct[:, i, None] - belief.p_correct[:, i].mean()
        after, values = belief.conditioned(i, self.values - own * self.part[:, i])
        part = self.part.copy()
        part[:, i] = 0.0
        return after, TargetValues(values, self.weight, part, self.noise)


@dataclass(frozen=True, eq=False)
class Stakes:
    """What the new LLM would have to beat on a sample of the fitted queries.

    Attributes:
        queries: their positions in the bank.
        best_utility: the highest posterior mean utility among the LLMs already there, ``alpha p - (1 - alpha) C``.
        cost: of the new LLM's answers, in units of the dearest LLM's mean cost.
        alpha: weight of correctness.
    """

    queries: np.ndarray
    best_utility: Float[np.ndarray, " query"]
    cost: Float[np.ndarray, " query"]
    alpha: float

    def gain(self, belief: Belief) -> Float[np.ndarray, "particle query"]:
        """Utility of the new LLM less the best other one's, in every particle."""
        own = self.alpha * belief.p_correct[:, self.queries] - (1.0 - self.alpha) * self.cost
        return own - self.best_utility


@dataclass(frozen=True, eq=False)
class Target:
    """What is to be learned: ``accuracy`` over the fitted bank, over each of its ``tasks``, one task, ``ability``, or ``regret``.

    Accuracy is what asking the whole bank would measure: answers already given count as they are, the coins of the others are noise.

    Attributes:
        name: of :data:`TARGETS`, or ``task:NAME``.
        stakes: for regret.
    """

    name: str = "accuracy"
    stakes: Stakes | None = None

    @property
    def is_accuracy(self) -> bool:
        """Whether the target is an accuracy, or several."""
        return self.name not in ("ability", "regret")

    @property
    def measure(self) -> str:
        """What :meth:`uncertainty` is, in words."""
        several = {"tasks": "SD of a task", "ability": "SD of a trait", "regret": "expected regret"}
        return several.get(self.name, "SD")

    def uncertainty(self, values: TargetValues, belief: Belief) -> float:
        """What is not known of the target: its SD, root mean square over several numbers; of regret, what that is expected to cost."""
        if self.name == "regret" and self.stakes is not None:
            return expected_regret(self.stakes, belief)
        return values.sd

    def check(self, bank: ItemBank) -> None:
        """Raise InputError unless the target can be computed on this bank."""
        tasks = sorted(set(bank.task[: bank.counted]) - {""})
        task = self.name.removeprefix("task:") if self.name.startswith("task:") else None
        if task is not None and task not in tasks:
            raise InputError(
                f"There is no task {task!r}; the model's tasks are {', '.join(tasks) or 'not named'}."
            )
        if unknown := unknown_target(self.name):
            raise InputError(unknown)
        if self.name == "regret" and self.stakes is None:
            raise InputError("The target regret needs texts and prices of all LLMs; choose another target.")

    def values(self, bank: ItemBank, belief: Belief, answers: Sequence[Answer]) -> TargetValues:
        """The target in every particle, given the answers so far."""

        def no_answer_counts(
            values: Float[np.ndarray, "particle target"],
        ) -> Float[np.ndarray, "target query"]:
            return np.zeros((values.shape[1], len(bank.query)))

        if self.name == "ability":
            traits = np.array([not is_testlet(name) for name in bank.posterior.draws["trait"].values])
            return TargetValues(
                belief.ability, traits / traits.sum(), no_answer_counts(belief.ability), belief.noise
            )
        if self.name == "regret":
            assert self.stakes is not None
            gain = self.stakes.gain(belief)
            sd = np.maximum(gain.std(axis=0), 1e-9)
            # d E[max(g, 0)] / d Var(g) of a normal g: what a smaller variance is worth on each query.
            weight = norm.pdf(gain.mean(axis=0) / sd) / (2.0 * sd) / gain.shape[1]
            return TargetValues(gain, weight, no_answer_counts(gain), belief.noise)
        groups = self.groups(bank)
        values = np.empty((len(belief.p_correct), len(groups)))
        part = np.zeros((len(groups), len(bank.query)))
        known = merged(answers)
        at = bank.positions([answer.query for answer in known])
        open_ = np.ones(len(bank.query), dtype=bool)
        open_[at] = False
        scores = np.zeros(len(bank.query))
        scores[at] = [answer.score for answer in known]
        for k, members in enumerate(groups):
            unasked = members[open_[members]]
            total = belief.p_correct[:, unasked].sum(axis=1) + scores[members[~open_[members]]].sum()
            values[:, k] = total / len(members)
            part[k, unasked] = 1.0 / len(members)
        return TargetValues(values, np.full(len(groups), 1.0 / len(groups)), part, belief.noise)

    def groups(self, bank: ItemBank) -> list[np.ndarray]:
        """Positions of the queries over which each accuracy is meant."""
        task = np.array(bank.task[: bank.counted])
        if self.name.startswith("task:"):
            return [np.flatnonzero(task == self.name.removeprefix("task:"))]
        if self.name == "tasks":
            return [np.flatnonzero(task == name) for name in sorted(set(task))]
        return [np.arange(bank.counted)]


def unknown_target(name: str) -> str | None:
    """What is wrong with the name of a target, before any bank is known; None where nothing is."""
    if name in TARGETS or name.startswith("task:"):
        return None
    return f"There is no target {name!r}; choose {', '.join(TARGETS)} or task:NAME."


def routing_stakes(
    bank: ItemBank, llm: str, known: Sequence[str], cost: Float[np.ndarray, "query llm"], alpha: float
) -> Stakes:
    """What an LLM would have to beat, on evenly spaced queries of those that count.

    Args:
        bank: the queries.
        llm: the LLM to be placed.
        known: names of all LLMs, this one among them, in the order of the columns of `cost`.
        cost: of an answer to each query of the bank, in units of the dearest LLM's mean cost.
        alpha: weight of correctness, 0 to 1.

    Raises:
        InputError: a cost is needed and unknown, or there is no other LLM.
    """
    queries = np.linspace(0, bank.counted - 1, min(STAKE_QUERIES, bank.counted)).round().astype(int)
    draws = np.linspace(0, bank.draws - 1, min(STAKE_DRAWS, bank.draws)).round().astype(int)
    fitted = bank.posterior.llm
    others = [name for name in fitted if name != llm]
    if not others:
        raise InputError("The target regret needs another LLM to compare with; choose another target.")
    ability = flat(bank.posterior.draws["ability"].transpose(..., "llm", "trait"))[draws]
    ability = np.matmul(ability, bank.rotations[draws].astype(np.float32))[
        :, [fitted.index(n) for n in others]
    ]
    if bank.fitted:
        items = bank.drawn[np.ix_(draws, queries)]
        p = p_correct(ability, items[:, :, :-1], items[:, :, -1]).mean(axis=0)
    else:
        new = bank.integrated(queries)
        p = np.stack([new.p_correct(draws, one).mean(axis=0) for one in ability.swapaxes(0, 1)], axis=1)
    priced = cost[queries] if alpha < 1 else np.zeros((len(queries), len(known)))
    names = list(known)
    utility = alpha * p - (1.0 - alpha) * priced[:, [names.index(name) for name in others]]
    own = priced[:, names.index(llm)]
    if np.isnan(utility).any() or np.isnan(own).any():
        raise InputError(
            "The target regret needs all texts, and the prices of all LLMs, the new one's among them; give them, or use alpha 1."
        )
    return Stakes(queries, utility.max(axis=1), own, alpha)


def expected_regret(stakes: Stakes, belief: Belief) -> float:
    """What not knowing the new LLM's ability costs: mean over queries of ``E[max(g, 0)] - max(E[g], 0)``.

    ``g`` is the gain of the new LLM over the best other one; the unit is that of utility.
    """
    gain = stakes.gain(belief)
    return float((np.maximum(gain, 0.0).mean(axis=0) - np.maximum(gain.mean(axis=0), 0.0)).mean())
