"""Which abilities a query asks for, before any answer is seen: soft assignment to anchors in embedding space."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from jaxtyping import Float

from bayes_irt_router.errors import InputError

SHARPNESS = (
    10.0  # of descriptions: cosine similarities of a query to its ability and to others differ by about 0.2
)
LABEL_SHARPNESS = 20.0  # of cluster centres, which lie closer together
FLOOR = 0.02  # the least relevance of an ability, in units of an even share: the data may raise it again


@dataclass(frozen=True, eq=False)
class RelevancePrior:
    """The prior of a query's relevance vector, ``r_i ~ softmax(log r0_i + what is learned from the query)``, with::

        r0_ik = (1 - FLOOR) sum_m softmax_m(sharpness e_i . anchor_m) assignment_mk + FLOOR / K

    An anchor is a place in embedding space whose relevance vector is known. Three sources have this form: descriptions of the abilities
    (:func:`from_descriptions`), clusters of queries with labels (:func:`from_labels`), and none at all (:func:`uninformed`).

    Attributes:
        anchor: unit vectors, shape (anchor, embedding_dim).
        assignment: relevance vector of each anchor, rows sum to 1, shape (anchor, trait).
        sharpness: how fast the assignment falls with cosine similarity.
    """

    anchor: Float[np.ndarray, "anchor embedding_dim"]
    assignment: Float[np.ndarray, "anchor trait"]
    sharpness: float

    def log_relevance(
        self, embedding: Float[np.ndarray, "query embedding_dim"]
    ) -> Float[np.ndarray, "query trait"]:
        """``log r0`` of queries, float32; each row is a log probability vector.

        >>> prior = from_descriptions(np.eye(2))
        >>> np.exp(prior.log_relevance(np.eye(2))).round(2)
        array([[0.99, 0.01],
               [0.01, 0.99]], dtype=float32)
        """
        logit = self.sharpness * embedding.astype(np.float64) @ self.anchor.T
        weight = np.exp(logit - logit.max(axis=1, keepdims=True))
        share = (weight / weight.sum(axis=1, keepdims=True)) @ self.assignment
        even = FLOOR / self.assignment.shape[1]
        return np.log((1.0 - FLOOR) * share + even).astype(np.float32)

    def to_dataset(self) -> xr.Dataset:
        """The arrays, for the posterior file."""
        return xr.Dataset(
            {
                "anchor": (("anchor", "embedding_dim"), self.anchor),
                "assignment": (("anchor", "trait"), self.assignment),
                "sharpness": ((), self.sharpness),
            }
        )

    @classmethod
    def from_dataset(cls, saved: xr.Dataset) -> "RelevancePrior":
        """The inverse of :meth:`to_dataset`."""
        return cls(saved["anchor"].values, saved["assignment"].values, float(saved["sharpness"]))


def from_descriptions(
    embedding: Float[np.ndarray, "trait embedding_dim"], sharpness: float = SHARPNESS
) -> RelevancePrior:
    """Each ability's description is an anchor of its own."""
    return RelevancePrior(embedding.astype(np.float64), np.eye(len(embedding)), sharpness)


def from_labels(
    centre: Float[np.ndarray, "cluster embedding_dim"],
    label: Float[np.ndarray, "cluster trait"],
    sharpness: float = LABEL_SHARPNESS,
) -> RelevancePrior:
    """Clusters of queries, each labelled with the abilities that it asks for (0 or 1, or any weights), as IRT-Router has them.

    Departs from IRT-Router (Song et al., ACL 2025), which takes a softmax over the 0/1 labels: with 25 abilities that leaves a relevant
    one with hardly more than an irrelevant one. Here a cluster's relevant abilities share all of its relevance; a cluster without a
    label is even.

    >>> from_labels(np.eye(2), np.array([[1.0, 1.0, 0.0], [0.0, 0.0, 0.0]])).assignment.round(2)
    array([[0.5 , 0.5 , 0.  ],
           [0.33, 0.33, 0.33]])

    Raises:
        InputError: labels are negative or not finite, or there are not as many as centres.
    """
    problems = []
    if len(centre) != len(label):
        problems.append(f"There are {len(centre)} clusters and {len(label)} rows of labels; give one each.")
    if not (np.isfinite(label) & (label >= 0)).all():
        problems.append("Labels of clusters must be 0 or positive; mend the table.")
    if problems:
        raise InputError(problems)
    total = label.sum(axis=1, keepdims=True)
    even = np.full(label.shape, 1.0 / label.shape[1])
    assignment = np.where(total > 0, label / np.where(total > 0, total, 1.0), even)
    unit = centre / np.maximum(np.linalg.norm(centre, axis=1, keepdims=True), 1e-12)
    return RelevancePrior(unit.astype(np.float64), assignment, sharpness)


def uninformed(embedding_dim: int, abilities: int) -> RelevancePrior:
    """No source: every ability is as likely to be asked for."""
    return RelevancePrior(np.zeros((1, embedding_dim)), np.full((1, abilities), 1.0 / abilities), 1.0)


def in_words(
    relevance: Float[np.ndarray, " trait"], names: Sequence[str], share: float = 0.7, most: int = 4
) -> str:
    """A relevance vector as words: the abilities with the largest shares, until they sum to ``share``.

    >>> in_words(np.array([0.1, 0.6, 0.3]), ["reading", "algebra", "geometry"])
    'algebra (60%), geometry (30%)'
    """
    order = np.argsort(-relevance, kind="stable")
    enough = int(np.searchsorted(np.cumsum(relevance[order]), share)) + 1
    return ", ".join(f"{names[k]} ({100 * relevance[k]:.0f}%)" for k in order[: min(enough, most)])
