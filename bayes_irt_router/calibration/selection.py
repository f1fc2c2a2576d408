"""Adaptive testing: which query to ask next, and what asking many of them is expected to tell."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.special import entr, rel_entr

from bayes_irt_router.calibration.belief import Belief
from bayes_irt_router.calibration.items import ItemBank
from bayes_irt_router.calibration.targets import TargetValues
from bayes_irt_router.errors import InputError


@dataclass(frozen=True, eq=False)
class Choosable:
    """Which queries may be asked, and what each costs.

    Attributes:
        open: which queries of the bank may be asked (those with a text, not yet asked), shape (query,).
        cost: of asking each, in USD, or 1 where prices are unknown.
        share: of the questions that each task shall have; empty to leave the tasks unbalanced.
    """

    open: Bool[np.ndarray, " query"]
    cost: Float[np.ndarray, " query"]
    share: Mapping[str, float]

    def without(self, i: int) -> "Choosable":
        """The same once query ``i`` has been asked."""
        left = self.open.copy()
        left[i] = False
        return Choosable(left, self.cost, self.share)


Score = Callable[[ItemBank, Belief, TargetValues], Float[np.ndarray, " query"]]


def expected_variance_reduction(
    bank: ItemBank, belief: Belief, target: TargetValues
) -> Float[np.ndarray, " query"]:
    """``Var(T) - E[Var(T | y_i)] = Var(E[T | y_i]) = Cov(T, y_i)^2 / Var(y_i)``, summed over the target's numbers.

    ``Cov(T, y_i) = Cov(value, p_i) + part_i noise_i``: an answer tells of the ability, and of itself where it counts in the target. Exact
    for answers that are right or wrong, given the particles; for graded scores it is the best linear estimator's reduction.
    """
    centred = target.values - target.values.mean(axis=0)
    covariance = centred.T @ belief.p_correct / len(centred) + target.part * target.noise
    return target.weight @ covariance**2 / np.maximum(belief.answer_variance, 1e-9)


def expected_information_gain(
    bank: ItemBank, belief: Belief, target: TargetValues
) -> Float[np.ndarray, " query"]:
    """Mutual information of the answer and the ability, in nats: ``H(E[p_i]) - E[H(p_i)]`` (Lindley, 1956)."""
    return _binary_entropy(belief.p_correct.mean(axis=0)) - _binary_entropy(belief.p_correct).mean(axis=0)


def fisher_information(bank: ItemBank, belief: Belief, target: TargetValues) -> Float[np.ndarray, " query"]:
    """Growth of ``log det`` of the information on ability: ``log(1 + p (1 - p) a' C a)`` (D-optimality).

    ``C`` is the posterior covariance of the ability (Segall, 1996), ``p`` and ``a`` are posterior means.
    """
    a = bank.mean_discrimination
    covariance = np.atleast_2d(np.cov(belief.ability, rowvar=False))
    p = belief.p_correct.mean(axis=0)
    return np.log1p(p * (1.0 - p) * np.einsum("qd,de,qe->q", a, covariance, a))


def kullback_leibler(bank: ItemBank, belief: Belief, target: TargetValues) -> Float[np.ndarray, " query"]:
    """``E[KL(mean p_i | p_i)]``: how far the particles' predictions are from their mean.

    The index of Chang and Ying (1996), averaged over the posterior.
    """
    centre = belief.p_correct.mean(axis=0)
    return (rel_entr(centre, belief.p_correct) + rel_entr(1.0 - centre, 1.0 - belief.p_correct)).mean(axis=0)


SELECTORS: Mapping[str, Score | None] = {
    "variance": expected_variance_reduction,
    "information": expected_information_gain,
    "fisher": fisher_information,
    "kl": kullback_leibler,
    "random": None,
}


def unknown_selector(name: str) -> str | None:
    """What is wrong with the name of a selector; None where nothing is."""
    return None if name in SELECTORS else f"There is no selector {name!r}; choose {', '.join(SELECTORS)}."


@dataclass(frozen=True)
class Choice:
    """A query worth asking.

    Attributes:
        position: in the bank.
        gain: the selector's score of it; NaN at random.
    """

    position: int
    gain: float


def choose_queries(
    bank: ItemBank,
    belief: Belief,
    target: TargetValues,
    choosable: Choosable,
    count: int,
    rng: np.random.Generator,
    *,
    selector: str = "variance",
    asked_tasks: Sequence[str] = (),
) -> list[Choice]:
    """The queries to ask next, the most telling per dollar first, none twice.

    One after the other: after each, belief and target get the spread that they are expected to have once it is answered, so that
    a batch does not ask the same thing over and over. Tasks are balanced by asking only in those that have had no more than their
    share so far. Tasks without a share, those that were not fitted, are outside this balance: a new query is asked where it tells more than
    the fitted ones whose turn it is.

    Args:
        bank: the queries.
        belief: about the LLM, given the answers so far.
        target: its values in the belief's particles.
        choosable: what may be asked, at what cost.
        count: how many queries; fewer come back when fewer are open.
        rng: for the selector ``random``.
        selector: ``variance``, ``information``, ``fisher``, ``kl`` or ``random``.
        asked_tasks: tasks of the queries asked so far.

    Raises:
        InputError: there is no such selector.
    """
    if unknown := unknown_selector(selector):
        raise InputError(unknown)
    score = SELECTORS[selector]
    tasks = np.array(bank.task)
    had = Counter(asked_tasks)
    choices: list[Choice] = []
    for _ in range(min(count, int(choosable.open.sum()))):
        allowed = choosable.open & np.isin(tasks, _tasks_in_turn(had, choosable, tasks))
        if score is None:
            i, gain = int(rng.choice(np.flatnonzero(allowed))), float("nan")
        else:
            gains = score(bank, belief, target)
            per_dollar = np.where(allowed, gains / np.maximum(choosable.cost, 1e-12), -np.inf)
            i = int(np.argmax(per_dollar))
            gain = float(gains[i])
        if count > 1:
            belief, target = target.answered(i, belief)
        choices.append(Choice(i, gain))
        choosable = choosable.without(i)
        had[str(tasks[i])] += 1
    return choices


def task_shares(bank: ItemBank, open_: Bool[np.ndarray, " query"]) -> dict[str, float]:
    """Share of each task among the queries that count, over the tasks that can be asked."""
    can = {bank.task[i] for i in np.flatnonzero(open_)}
    counts = Counter(task for task in bank.task[: bank.counted] if task in can)
    if not counts:
        return {}
    total = sum(counts.values())
    return {task: n / total for task, n in counts.items()}


def _tasks_in_turn(had: Counter[str], choosable: Choosable, tasks: np.ndarray) -> list[str]:
    """Open tasks that have had no more than their share of the questions, or have none; all open ones where none is balanced."""
    can = {str(task) for task in tasks[choosable.open]}
    asked = sum(had[task] for task in choosable.share)
    short = [t for t, share in choosable.share.items() if t in can and had[t] <= share * asked]
    return sorted({*short, *(can - choosable.share.keys())}) if short else sorted(can)


def _binary_entropy(p: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    return entr(p) + entr(1.0 - p)
