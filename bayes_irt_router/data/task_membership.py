"""Which of the training tasks a query looks like, or none of them: probabilities, from the query's position."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int
from scipy.linalg import eigh
from scipy.special import logsumexp, softmax

from bayes_irt_router.data.unseen_task import P_UNSEEN, Signs, UnseenTask, fit_unseen_task

FEWEST_QUERIES = 10  # of a task that is told apart; smaller ones count as unlabelled
SHRINKAGE = 0.1  # of the within-task covariance towards a multiple of the identity
FOLDS = 5  # of the cross-fitting
DEGREES = (
    4.0  # of freedom of the t distributions; chosen by cross-validation inside train (`benchmarks/README.md`)
)
NARROWEST = 0.01  # SD of the log distance outside, where queries of a task are all at one place


@dataclass(frozen=True)
class TaskMembership:
    """Probabilistic linear discriminant analysis: tasks are draws, and the next query may be of a task not drawn yet.

    In the *discriminant space*, which is spanned by what tells the tasks' centres apart, the covariance within tasks is the identity
    and that between tasks, ``B``, is diagonal. There a query of task t is ``t_4(mu_t, I)``, one of an unseen task ``t_4(m, I + B)``
    (mean and covariance), and by Bayes' rule::

        P(t | x) ∝ (1 - u) share_t t_4(x; mu_t, I),    P(unseen | x) ∝ u t_4(x; m, I + B),    u = 0.1.

    The second is too sure: training tasks are few, and their centres span little of the space that the next one's may lie in. So its
    log odds are only one sign of an unseen task, and how far the query lies outside the discriminant space another; what the two are
    worth is learned by leaving each task out in turn, see :class:`UnseenTask`. The seen tasks share the rest as above.

    Source: Ioffe (2006), Probabilistic linear discriminant analysis. Departures: tails are heavy (normal ones are far too sure of the
    task that a query is of), what unseen tasks look like is learned, centres are plugged in (each is the mean of many queries), and the
    covariance within tasks is shrunk by a tenth towards a multiple of the identity.

    Attributes:
        tasks: names of the tasks that are told apart, at least two.
        discriminant: from positions to the discriminant space, shape (discriminant, position).
        centre: of each task there, shape (task, discriminant).
        middle: ``m`` there, shape (discriminant,).
        between: the diagonal of ``B`` there, shape (discriminant,).
        share: of the training queries, shape (task,); sums to 1.
        degrees: of freedom; infinite in models that were fitted when tails were normal.
        outside: from positions to the directions in which the tasks' centres do not differ, scaled to unit variance within tasks,
            shape (outside, position); empty in models that were fitted when nothing was learned of unseen tasks.
        outside_middle: of the centres there, shape (outside,).
        typical: mean log squared distance outside of each task's queries, shape (task,).
        spread: its SD, shape (task,).
        unseen: what the two signs are worth.
    """

    tasks: tuple[str, ...]
    discriminant: Float[np.ndarray, "discriminant position"]
    centre: Float[np.ndarray, "task discriminant"]
    middle: Float[np.ndarray, " discriminant"]
    between: Float[np.ndarray, " discriminant"]
    share: Float[np.ndarray, " task"]
    degrees: float
    outside: Float[np.ndarray, "outside position"]
    outside_middle: Float[np.ndarray, " outside"]
    typical: Float[np.ndarray, " task"]
    spread: Float[np.ndarray, " task"]
    unseen: UnseenTask

    def __call__(self, position: Float[np.ndarray, "query position"]) -> Float[np.ndarray, "query task"]:
        """The probability of each task; what is missing to 1 is the probability of an unseen one."""
        seen, signs = self.analysed(position)
        return np.asarray(seen * (1.0 - self.unseen(signs))[:, None])

    def analysed(
        self, position: Float[np.ndarray, "query position"]
    ) -> tuple[Float[np.ndarray, "query task"], Signs]:
        """``P(t | x, seen)``, and the signs that the query is of an unseen task."""
        z = position @ self.discriminant.T
        squared = ((z[:, None, :] - self.centre) ** 2).sum(axis=-1)
        seen = np.log1p(-P_UNSEEN) + np.log(self.share) + self._log_density(squared)
        variance = 1.0 + self.between
        far = ((z - self.middle) ** 2 / variance).sum(axis=1)
        unseen = np.log(P_UNSEEN) + self._log_density(far) - 0.5 * np.log(variance).sum()
        likeliest = seen.argmax(axis=1)
        distance = _log_distance(position, self.outside, self.outside_middle)
        signs = np.column_stack(
            [
                unseen - logsumexp(seen, axis=1),
                (distance - self.typical[likeliest]) / self.spread[likeliest],
            ]
        )
        return np.asarray(softmax(seen, axis=1)), signs

    def _log_density(self, squared: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
        """Of the multivariate t distribution of unit covariance at a squared distance, up to a constant."""
        if np.isinf(self.degrees):
            return -0.5 * squared
        return -0.5 * (self.degrees + len(self.discriminant)) * np.log1p(squared / (self.degrees - 2.0))

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
                probability[held_out] = replace(analysis, unseen=self.unseen)(position[held_out])
        return probability


def fit_task_membership(
    position: Float[np.ndarray, "query position"], task: np.ndarray, *, seed: int = 0
) -> TaskMembership | None:
    """Learn to tell the tasks of training queries apart, if there are two at least.

    Args:
        position: of the queries.
        task: their task names, shape (query,); ``""`` where there is none. Tasks of fewer than 10 queries are not told apart.
        seed: of the queries that are held out when tasks are left out.
    """
    names, counts = np.unique(task[task != ""], return_counts=True)
    tasks = tuple(str(name) for name in names[counts >= FEWEST_QUERIES])
    if len(tasks) < 2:
        return None
    label = _labels(task, tasks)
    position, label = position[label >= 0], label[label >= 0]
    left_out, seen = [], []
    if len(tasks) > 2:
        fold = _folds(label, np.random.default_rng(seed))
        for one in range(len(tasks)):
            others = label != one
            known, new = others & (fold > 0), others & (fold == 0)
            names_left = tuple(name for k, name in enumerate(tasks) if k != one)
            analysis = _analysis(position[known], label[known] - (label[known] > one), names_left)
            left_out.append(analysis.analysed(position[~others])[1])
            seen.append(analysis.analysed(position[new])[1])
    return replace(_analysis(position, label, tasks), unseen=fit_unseen_task(left_out, seen))


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
    centre = np.stack([position[label == k].mean(axis=0) for k in range(len(tasks))])
    middle = centre.mean(axis=0)
    rest = position - centre[label]
    within = rest.T @ rest / max(len(rest) - len(tasks), 1)
    dims = len(within)
    spherical = max(np.trace(within) / dims, 1e-8)  # queries of a task may all be at one place
    within = (1.0 - SHRINKAGE) * within + SHRINKAGE * spherical * np.eye(dims)
    between = (centre - middle).T @ (centre - middle) / (len(tasks) - 1)
    rank = min(len(tasks) - 1, dims)
    variance, directions = eigh(between, within)
    discriminant = directions.T[dims - rank :]
    outside = directions.T[: dims - rank].astype(np.float32)  # the largest array, as it is saved
    distance = _log_distance(position, outside, middle @ outside.T)
    by_task = [distance[label == k] for k in range(len(tasks))]
    count = np.bincount(label, minlength=len(tasks))
    return TaskMembership(
        tasks,
        discriminant,
        centre @ discriminant.T,
        middle @ discriminant.T,
        np.maximum(variance[dims - rank :], 0.0),
        count / count.sum(),
        DEGREES,
        outside,
        middle @ outside.T,
        np.array([values.mean() for values in by_task]),
        np.maximum([values.std() for values in by_task], NARROWEST),
        UnseenTask(),
    )


def _log_distance(
    position: Float[np.ndarray, "query position"],
    outside: Float[np.ndarray, "outside position"],
    middle: Float[np.ndarray, " outside"],
) -> Float[np.ndarray, " query"]:
    """Log mean squared coordinate outside the discriminant space; 0 where nothing is outside."""
    if not len(outside):
        return np.zeros(len(position))
    return np.log(((position @ outside.T - middle) ** 2).mean(axis=1) + 1e-9)
