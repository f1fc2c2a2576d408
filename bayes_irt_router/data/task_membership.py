"""Which of the training tasks a query looks like, or none of them: probabilities, from the query's position."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.linalg import eigh
from scipy.special import softmax

FEWEST_QUERIES = 10  # of a task that is told apart; smaller ones count as unlabelled
P_UNSEEN = 0.1  # prior probability that a query is of a task that training did not see
SHRINKAGE = 0.1  # of the within-task covariance towards a multiple of the identity
FOLDS = 5  # of the cross-fitting


@dataclass(frozen=True)
class TaskMembership:
    """Probabilistic linear discriminant analysis: tasks are draws, and the next query may be of a task not drawn yet.

    A query's position and its task's centre are normal, ``x | t ~ N(mu_t, W)`` and ``mu_t ~ N(m, B)``, so that a query of an unseen
    task is ``N(m, W + B)``, and by Bayes' rule::

        P(t | x) ∝ (1 - u) share_t N(x; mu_t, W),    P(unseen | x) ∝ u N(x; m, W + B),    u = 0.1.

    All that matters happens in the discriminant space, spanned by what tells the centres apart: there ``W`` is the identity and ``B``
    is diagonal.

    Source: Ioffe (2006), Probabilistic linear discriminant analysis. Departures: centres are plugged in (each is the mean of many
    queries), and W is shrunk by a tenth towards a multiple of the identity.

    Attributes:
        tasks: names of the tasks that are told apart, at least two.
        discriminant: from positions to the discriminant space, shape (discriminant, position).
        centre: of each task there, shape (task, discriminant).
        middle: ``m`` there, shape (discriminant,).
        between: the diagonal of ``B`` there, shape (discriminant,).
        share: of the training queries, shape (task,); sums to 1.
    """

    tasks: tuple[str, ...]
    discriminant: Float[np.ndarray, "discriminant position"]
    centre: Float[np.ndarray, "task discriminant"]
    middle: Float[np.ndarray, " discriminant"]
    between: Float[np.ndarray, " discriminant"]
    share: Float[np.ndarray, " task"]

    def __call__(self, position: Float[np.ndarray, "query position"]) -> Float[np.ndarray, "query task"]:
        """The probability of each task; what is missing to 1 is the probability of an unseen one."""
        z = position @ self.discriminant.T
        squared = ((z[:, None, :] - self.centre) ** 2).sum(axis=-1)
        seen = np.log1p(-P_UNSEEN) + np.log(self.share) - 0.5 * squared
        spread = 1.0 + self.between
        unseen = np.log(P_UNSEEN) - 0.5 * ((z - self.middle) ** 2 / spread + np.log(spread)).sum(axis=1)
        return np.asarray(softmax(np.column_stack([seen, unseen]), axis=1)[:, :-1])

    def in_training(
        self, position: Float[np.ndarray, "query position"], task: np.ndarray, seed: int
    ) -> Float[np.ndarray, "query task"]:
        """The probabilities for the training queries, each by an analysis that has not seen the query (cross-fitting).

        An analysis is surer of the queries that it was learned from than of others. A model fitted to its own training probabilities
        would be too sure of new queries (scikit-learn's ``TargetEncoder`` cross-fits for the same reason).
        """
        label = _labels(task, self.tasks)
        probability = self(position)
        fold = _folds(label, np.random.default_rng(seed))
        for one in range(FOLDS):
            others, held_out = (label >= 0) & (fold != one), fold == one
            if held_out.any():
                analysis = _analysis(position[others], label[others], self.tasks)
                probability[held_out] = analysis(position[held_out])
        return probability


def fit_task_membership(
    position: Float[np.ndarray, "query position"], task: np.ndarray
) -> TaskMembership | None:
    """Learn to tell the tasks of training queries apart, if there are two at least.

    Args:
        position: of the queries.
        task: their task names, shape (query,); ``""`` where there is none. Tasks of fewer than 10 queries are not told apart.
    """
    names, counts = np.unique(task[task != ""], return_counts=True)
    tasks = tuple(str(name) for name in names[counts >= FEWEST_QUERIES])
    if len(tasks) < 2:
        return None
    label = _labels(task, tasks)
    return _analysis(position[label >= 0], label[label >= 0], tasks)


def _labels(task: np.ndarray, tasks: tuple[str, ...]) -> Int[np.ndarray, " query"]:
    """The number of each query's task, -1 if it is not told apart."""
    number = {name: k for k, name in enumerate(tasks)}
    return np.array([number.get(str(name), -1) for name in task])


def _folds(label: Int[np.ndarray, " query"], rng: np.random.Generator) -> Int[np.ndarray, " query"]:
    """A fold for each query; every task has the same share of each, so that no analysis misses one."""
    fold = np.zeros(len(label), dtype=int)
    for one in np.unique(label):
        which = np.flatnonzero(label == one)
        fold[which] = rng.permutation(np.arange(len(which)) % FOLDS)
    return fold


def _analysis(
    position: Float[np.ndarray, "query position"], label: Int[np.ndarray, " query"], tasks: tuple[str, ...]
) -> TaskMembership:
    count = np.bincount(label, minlength=len(tasks))
    centre = np.stack([position[label == k].mean(axis=0) for k in range(len(tasks))])
    middle = centre.mean(axis=0)
    rest = position - centre[label]
    within = rest.T @ rest / max(len(rest) - len(tasks), 1)
    dims = len(within)
    spherical = max(np.trace(within) / dims, 1e-8)  # queries of a task may all be at one place
    within = (1.0 - SHRINKAGE) * within + SHRINKAGE * spherical * np.eye(dims)
    between = (centre - middle).T @ (centre - middle) / (len(tasks) - 1)
    rank = min(len(tasks) - 1, dims)
    variance, directions = eigh(between, within, subset_by_index=[dims - rank, dims - 1])
    discriminant = directions.T
    return TaskMembership(
        tasks,
        discriminant,
        centre @ discriminant.T,
        middle @ discriminant.T,
        np.maximum(variance, 0.0),
        count / count.sum(),
    )
