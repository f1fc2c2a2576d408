"""What the draws say of each item alone: mean, variance and skewness of its logit, whatever the items share."""

from dataclasses import dataclass
from itertools import combinations_with_replacement, permutations

import numpy as np
from jaxtyping import Bool, Float, Float32, Int

NOTHING = 1e-9  # a variance of no consequence, such as rounding leaves
LARGEST_SKEWNESS = 1.5  # up to which the Cornish-Fisher expansion is near a distribution


@dataclass(frozen=True, eq=False)
class ItemMarginals:
    """The first three central moments of ``x = (a, b)`` over the draws, item by item.

    Attributes:
        mean: shape (query, parameter).
        second: of pairs of the parameters that vary at all, their multiplicity included, shape (query, pair).
        third: of triples, likewise, shape (query, triple).
        pairs: which parameters, shape (pair, 2).
        triples: which parameters, shape (triple, 3).
    """

    mean: Float[np.ndarray, "query parameter"]
    second: Float[np.ndarray, "query pair"]
    third: Float[np.ndarray, "query triple"]
    pairs: Int[np.ndarray, "pair 2"]
    triples: Int[np.ndarray, "triple 3"]

    @classmethod
    def of(cls, items: Float32[np.ndarray, "draw query parameter"]) -> "ItemMarginals":
        """The moments of drawn items."""
        mean = items.mean(axis=0, dtype=np.float64)
        centred = items - mean.astype(np.float32)
        varying = np.flatnonzero((centred.var(axis=0) > NOTHING).any(axis=0))
        pairs, triples = (
            np.array(list(combinations_with_replacement(varying, count)), dtype=int).reshape(-1, count)
            for count in (2, 3)
        )
        second, third = np.zeros((len(mean), len(pairs))), np.zeros((len(mean), len(triples)))
        for moments, sets in ((second, pairs), (third, triples)):
            for k, parameters in enumerate(sets):
                orders = len(set(permutations(parameters.tolist())))
                moments[:, k] = orders * centred[:, :, parameters].prod(axis=2).mean(axis=0, dtype=np.float64)
        return cls(mean, second, third, pairs, triples)

    def part(self, queries: Bool[np.ndarray, " query"] | Int[np.ndarray, " part"]) -> "ItemMarginals":
        """Some of the queries."""
        return ItemMarginals(
            self.mean[queries], self.second[queries], self.third[queries], self.pairs, self.triples
        )

    def logit_moments(
        self, ability: Float[np.ndarray, "draw point trait"]
    ) -> tuple[
        Float[np.ndarray, "draw point query"],
        Float[np.ndarray, "draw point query"],
        Float[np.ndarray, "draw point query"],
    ]:
        """Mean, SD and skewness over the draws of the logit ``a . theta - b`` at each ability."""
        extended = np.concatenate([ability, -np.ones((*ability.shape[:2], 1), ability.dtype)], axis=2)
        mean = extended @ self.mean.T.astype(extended.dtype)
        variance = extended[..., self.pairs].prod(axis=-1) @ self.second.T.astype(extended.dtype)
        third = extended[..., self.triples].prod(axis=-1) @ self.third.T.astype(extended.dtype)
        sd = np.sqrt(np.maximum(variance, 0.0))
        skewness = third / np.maximum(sd, np.sqrt(NOTHING)) ** 3
        return mean, sd, np.clip(skewness, -LARGEST_SKEWNESS, LARGEST_SKEWNESS)
