"""Means of training answers: of all queries, of the nearest ones, of those in the same cluster."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import xarray as xr
from jaxtyping import Float, Int

from bayes_irt_router.evaluation.baselines.contract import PRIOR_ANSWERS, Answers, answers_of, folds
from bayes_irt_router.evaluation.baselines.inputs import InputMap, Inputs, fit_inputs

FOLDS = 5  # of the cross-validation that chooses the number of neighbours or clusters
BATCH = 256  # queries whose neighbours' answers are held in memory at once


@dataclass(frozen=True)
class LLMMean:
    """`p_qj = mean of LLM j's training scores`, whatever the query: what every router must beat.

    Drawn slightly towards the mean of all LLMs (`Answers.llm_mean`).
    """

    name: str = "llm_mean"
    effort: float = 0.1

    def fit(self, train: xr.Dataset, rng: np.random.Generator) -> "FittedLLMMean":
        """Take the means; nothing is random."""
        return FittedLLMMean(answers_of(train).llm_mean())


@dataclass(frozen=True, eq=False)
class FittedLLMMean:
    """The means."""

    mean: Float[np.ndarray, " llm"]
    chosen: Mapping[str, float] = field(default_factory=dict)

    def predict(self, queries: xr.Dataset) -> Float[np.ndarray, "query llm"]:
        """The same row for each query."""
        return np.tile(self.mean, (queries.sizes["query"], 1))


@dataclass(frozen=True)
class NearestNeighbours:
    """kNN: the mean score of LLM j on the k training queries that are nearest in Euclidean distance.

    `p_qj = (sum_{i in N_k(q)} n_ij y_ij + s m_j) / (sum_{i in N_k(q)} n_ij + s)` with n_ij answers (0 where
    missing), LLM mean m_j, and s = 2: smoothed towards the LLM's mean, the more so the fewer of the
    neighbours it answered. k by 5-fold cross-validation of the log loss on the training queries.

    Source: the kNN router of RouterBench (Hu et al. 2024). Departures: the smoothing, without which a
    neighbourhood that agrees would predict 0 or 1, and k is chosen, not set.
    """

    inputs: Inputs = "embedding"
    neighbours: Sequence[int] = (5, 10, 20, 40, 80, 160)
    effort: float = 4.0

    @property
    def name(self) -> str:
        """`knn_embedding` or `knn_features`."""
        return f"knn_{self.inputs}"

    def fit(self, train: xr.Dataset, rng: np.random.Generator) -> "FittedNeighbours":
        """Keep the training queries and choose k."""
        input_map = fit_inputs(train, self.inputs)
        x, answers = input_map.in_training(train), answers_of(train)
        fold = folds(len(x), FOLDS, rng)
        allowed = [k for k in self.neighbours if k <= len(x) - np.bincount(fold).max()]
        allowed = allowed or [min(self.neighbours)]
        loss = np.zeros(len(allowed))
        for held in range(fold.max() + 1):
            inside, outside = np.flatnonzero(fold != held), np.flatnonzero(fold == held)
            means = _neighbour_means(x[outside], x[inside], answers.rows(inside), allowed)
            loss += [answers.rows(outside).log_loss(p) for p in means]
        return FittedNeighbours(input_map, x, answers, int(allowed[int(np.argmin(loss))]))


@dataclass(frozen=True, eq=False)
class FittedNeighbours:
    """The training queries, their answers, and k."""

    input_map: InputMap
    x: Float[np.ndarray, "query input"]
    answers: Answers
    neighbours: int

    @property
    def chosen(self) -> Mapping[str, float]:
        """The number of neighbours."""
        return {"neighbours": self.neighbours}

    def predict(self, queries: xr.Dataset) -> Float[np.ndarray, "query llm"]:
        """The neighbours' smoothed means."""
        return _neighbour_means(self.input_map(queries), self.x, self.answers, [self.neighbours])[0]


@dataclass(frozen=True)
class Clusters:
    """k-means clusters: LLM j's smoothed mean score over the training queries of the query's cluster.

    `p_qj = (sum_{i in cluster(q)} n_ij y_ij + s m_j) / (sum_{i in cluster(q)} n_ij + s)`, s = 2; the number
    of clusters by 5-fold cross-validation of the log loss.

    Source: the Avengers (Zhang et al. 2025), which route by the clusters' mean scores. Departures: one
    nearest cluster rather than several, the smoothing, and the number is chosen, not set.
    """

    inputs: Inputs = "embedding"
    clusters: Sequence[int] = (8, 16, 32, 64, 128)
    effort: float = 12.0

    @property
    def name(self) -> str:
        """`clusters_embedding` or `clusters_features`."""
        return f"clusters_{self.inputs}"

    def fit(self, train: xr.Dataset, rng: np.random.Generator) -> "FittedClusters":
        """Choose the number of clusters, then cluster all training queries."""
        input_map = fit_inputs(train, self.inputs)
        x, answers = input_map.in_training(train), answers_of(train)
        fold, seed = folds(len(x), FOLDS, rng), int(rng.integers(2**31))
        most = min(len(np.unique(x[fold != held], axis=0)) for held in range(fold.max() + 1))
        allowed = [c for c in self.clusters if c <= most] or [max(1, most)]
        loss = np.zeros(len(allowed))
        for held in range(fold.max() + 1):
            inside, outside = np.flatnonzero(fold != held), np.flatnonzero(fold == held)
            for i, count in enumerate(allowed):
                centres, means = _cluster_means(x[inside], answers.rows(inside), count, seed)
                loss[i] += answers.rows(outside).log_loss(means[_nearest(x[outside], centres)])
        centres, means = _cluster_means(x, answers, allowed[int(np.argmin(loss))], seed)
        return FittedClusters(input_map, centres, means)


@dataclass(frozen=True, eq=False)
class FittedClusters:
    """The clusters' centres and each LLM's mean score there."""

    input_map: InputMap
    centres: Float[np.ndarray, "cluster input"]
    means: Float[np.ndarray, "cluster llm"]

    @property
    def chosen(self) -> Mapping[str, float]:
        """The number of clusters."""
        return {"clusters": len(self.centres)}

    def predict(self, queries: xr.Dataset) -> Float[np.ndarray, "query llm"]:
        """The means of each query's cluster."""
        return self.means[_nearest(self.input_map(queries), self.centres)]


def squared_distance(
    a: Float[np.ndarray, "n input"], b: Float[np.ndarray, "m input"]
) -> Float[np.ndarray, "n m"]:
    """Squared Euclidean distances between the rows of two arrays, up to rounding."""
    return (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)[None, :] - 2.0 * a @ b.T


def _neighbour_means(
    x: Float[np.ndarray, "query input"],
    train: Float[np.ndarray, "train_query input"],
    answers: Answers,
    neighbours: Sequence[int],
) -> list[Float[np.ndarray, "query llm"]]:
    """Smoothed means over the nearest training queries, for each number of neighbours."""
    prior = PRIOR_ANSWERS * answers.llm_mean()
    right = answers.score * answers.count
    parts: list[list[np.ndarray]] = [[] for _ in neighbours]
    for start in range(0, len(x), BATCH):
        distance = squared_distance(x[start : start + BATCH], train)
        order = np.argsort(distance, axis=1, kind="stable")[:, : max(neighbours)]
        right_so_far, count_so_far = right[order].cumsum(axis=1), answers.count[order].cumsum(axis=1)
        for part, k in zip(parts, neighbours, strict=True):
            last = min(k, order.shape[1]) - 1
            part.append((right_so_far[:, last] + prior) / (count_so_far[:, last] + PRIOR_ANSWERS))
    return [np.concatenate(part) for part in parts]


def _nearest(
    x: Float[np.ndarray, "query input"], centres: Float[np.ndarray, "cluster input"]
) -> Int[np.ndarray, " query"]:
    return np.argmin(squared_distance(x, centres), axis=1)


def _cluster_means(
    x: Float[np.ndarray, "query input"], answers: Answers, count: int, seed: int
) -> tuple[Float[np.ndarray, "cluster input"], Float[np.ndarray, "cluster llm"]]:
    """Centres of k-means, and the LLMs' smoothed means in each cluster."""
    from sklearn.cluster import KMeans  # a second to import, and only fitting needs it

    centres = KMeans(count, n_init=1, max_iter=50, random_state=seed).fit(x).cluster_centers_
    member = (_nearest(x, centres)[:, None] == np.arange(count)).astype(np.float64)
    right = member.T @ (answers.score * answers.count) + PRIOR_ANSWERS * answers.llm_mean()
    return centres, right / (member.T @ answers.count + PRIOR_ANSWERS)
