"""How likely a query is of a task that training did not see: learned by leaving every training task out in turn."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.optimize import minimize
from scipy.special import expit

P_UNSEEN = 0.1  # prior probability that a query is of a task that training did not see
TASK_WEIGHT = 5.0  # of a task left out, in queries: its many queries tell about one task more, not about tasks in general
OWN_SHARE = 0.7  # of the variance between tasks, what a task has to itself that looks like others: benchmarks/lookalike_tasks.py
FARTHEST = 6.0  # standard deviations that a query may lie outside: farther is no surer

# What a query shows: the log odds of an unseen task by its place among the tasks, and how far it lies outside the space they span.
Signs = Float[np.ndarray, "_ 2"]  # of some queries; unnamed, as there may be several sets in a list


@dataclass(frozen=True)
class UnseenTask:
    """``P(unseen | x) = sigmoid(intercept + slope . signs(x))``.

    The signs are the log odds that the analysis of the tasks gives, and how much farther than usual the query lies from the
    tasks in directions in which they do not differ (in SDs over the queries of the task that it looks like). Without anything learned
    the first is believed, and the second not heard.

    Attributes:
        intercept: 0 before learning.
        slope: of the two signs, none below 0; (1, 0) before learning.
    """

    intercept: float = 0.0
    slope: tuple[float, float] = (1.0, 0.0)

    def __call__(self, signs: Signs) -> Float[np.ndarray, " query"]:
        """The probability that each query is of an unseen task."""
        return np.asarray(expit(self.intercept + _bounded(signs) @ np.array(self.slope)))


def fit_unseen_task(left_out: list[Signs], seen: list[Signs]) -> UnseenTask:
    """The most probable intercept and slopes, given signs of tasks that an analysis did not see, and of new queries of those it saw.

    The likelihood is that of a logistic regression, in which unseen tasks have the share 0.1 and each counts as five queries. The prior,
    a normal one of SD 1 around what holds before learning, is all there is where no task can be left out.

    Args:
        left_out: signs of each task's queries, by an analysis of the others.
        seen: signs of queries of these others that the same analysis did not see.

    >>> fit_unseen_task([], [])
    UnseenTask(intercept=0.0, slope=(1.0, 0.0))
    """
    if not left_out:
        return UnseenTask()
    weight = [np.full(len(one), TASK_WEIGHT / len(one)) for one in left_out]
    usual = TASK_WEIGHT * (1.0 - P_UNSEEN) / P_UNSEEN
    weight += [np.full(len(one), usual / len(one)) for one in seen]
    weights = np.concatenate(weight)
    signs = _bounded(np.concatenate([*left_out, *seen]))
    design = np.column_stack([np.ones(len(signs)), signs])
    unseen = np.arange(len(signs)) < sum(len(one) for one in left_out)
    before = np.array([0.0, 1.0, 0.0])

    def objective(at: np.ndarray) -> tuple[float, np.ndarray]:
        logit = design @ at
        value = weights @ (np.logaddexp(0.0, logit) - unseen * logit) + 0.5 * ((at - before) ** 2).sum()
        return float(value), design.T @ (weights * (expit(logit) - unseen)) + at - before

    at = minimize(objective, before, jac=True, bounds=[(None, None), (0.0, None), (0.0, None)]).x
    return UnseenTask(float(at[0]), (float(at[1]), float(at[2])))


def of_stated_new_task(
    by_look: Float[np.ndarray, " query"],
    novelty: Float[np.ndarray, " query"],
    told: Float[np.ndarray, " query"],
) -> tuple[Float[np.ndarray, " query"], Float[np.ndarray, " query"]]:
    """How unseen and how novel queries are of which it is stated that their task is none that is known.

    Such queries are of another data set, in which LLMs may do otherwise. What is known of the tasks that they look like is what is expected
    of them, but of how tasks differ one that looks like others has most to itself. So the share ``u + 0.7 (1 - u)`` of the variance
    between tasks is drawn anew, for all such queries together: they are of a task that is not known, for certain. Effects are multiplied
    by its root.

    Args:
        by_look: ``u``, how likely each query is of an unseen task by its look.
        novelty: of each query by its look.
        told: share of the process' variance that the tasks it looks like tell.
    """
    return np.sqrt(by_look + OWN_SHARE * (1.0 - by_look)), np.minimum(novelty + OWN_SHARE * told, 1.0)


def _bounded(signs: Signs) -> Signs:
    return np.column_stack([signs[:, 0], np.clip(signs[:, 1], -FARTHEST, FARTHEST)])
