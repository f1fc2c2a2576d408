"""The fitted queries as the networks of a NIRT have them: placing an LLM by the networks, and predicting it by them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Float, Float32, Int
from scipy.special import expit

from bayes_irt_router.inference.pareto_smoothing import smoothed_weights
from bayes_irt_router.inference.posterior import Posterior
from bayes_irt_router.irt.ability_posterior import NormalAbility, ability_posterior, importance_points
from bayes_irt_router.irt.neural_items import (
    ITEMS,
    NETWORK,
    Network,
    fitted_heads,
    networks,
    own_logit_sd,
    residual_draws,
    rows,
    settled_items,
)
from bayes_irt_router.irt.nirt import Interaction, interaction, logit

POINTS = 250  # of each network


class Weighted(NamedTuple):
    """Importance points of an LLM's ability in every network, and their log weights, Pareto-smoothed.

    Shapes (network, point, trait), (network, point), (network,).
    """

    points: Float[np.ndarray, "network point trait"]
    log_weight: Float[np.ndarray, "network point"]
    k_hat: Float[np.ndarray, " network"]


@dataclass(frozen=True, eq=False)
class FittedNetworks:
    """The networks of a NIRT with the queries they were fitted to.

    Attributes:
        networks: the ensemble.
        settled: the queries in each network, their residuals at the posterior mean.
        items: the group ``items`` of the posterior: heads and residuals.
        seed: of the draws of the residuals.
    """

    networks: tuple[Network, ...]
    settled: tuple[Interaction, ...]
    items: xr.Dataset
    seed: int

    @classmethod
    def of(cls, posterior: Posterior) -> "FittedNetworks":
        """Of a fitted NIRT, or of its linear view."""
        items = posterior.tree[ITEMS].to_dataset()
        found = tuple(networks(posterior.draws, posterior.tree[NETWORK].to_dataset()))
        settled = tuple(settled_items(network, items, chain) for chain, network in enumerate(found))
        return cls(found, settled, items, posterior.record["seed"])

    @property
    def each(self) -> int:
        """Draws of each network; those of the first come first."""
        return len(self.networks[0].ability)

    def draws(self, chain: int) -> slice:
        """The draws that belong to a network."""
        return slice(chain * self.each, (chain + 1) * self.each)

    def weighted_points(
        self,
        priors: Sequence[NormalAbility],
        queries: Int[np.ndarray, " query"],
        score: Float[np.ndarray, " query"],
        trials: Float[np.ndarray, " query"],
        rng: np.random.Generator,
    ) -> Weighted:
        """The posterior of an LLM's ability in each network, given answers to some of the queries.

        The proposal is the closed-form set encoder, :func:`ability_posterior`, at the settled queries; the weights are those of the
        network's own likelihood, with what is left unknown of each query's residuals integrated out.

        Args:
            priors: of the ability, in each network.
            queries: positions of those answered.
            score: mean scores.
            trials: numbers of answers.
            rng: of the points.
        """
        points, log_weights = [], []
        for chain, (network, settled, prior) in enumerate(
            zip(self.networks, self.settled, priors, strict=True)
        ):
            at = Interaction(settled.slope[queries], settled.offset[queries])
            answered = (network.weights, network.output.mean(axis=0), at, score, trials)
            found = ability_posterior(*answered, prior=prior)
            own_sd = own_logit_sd(network, self.items, chain, queries, found.mean)
            some, log_weight = importance_points(found, *answered, POINTS, rng, prior, own_sd)
            points.append(some)
            log_weights.append(log_weight)
        return Weighted(np.stack(points), *smoothed_weights(np.stack(log_weights)))

    def p_correct(
        self, index: Int[np.ndarray, " sample"], ability: Float[np.ndarray, "sample trait"]
    ) -> Float[np.ndarray, "sample query"]:
        """Probability of a correct answer to every query, by the draw of each sample: its output weights, and its residuals.

        Args:
            index: draw of each sample, networks joined.
            ability: of one LLM in each sample.
        """
        result = np.empty((len(index), self.items.sizes["query"]), dtype=np.float32)
        rng = np.random.default_rng([self.seed, 6])
        for chain, network in enumerate(self.networks):
            mine = np.flatnonzero(index // self.each == chain)
            draw, theta = index[mine] % self.each, ability[mine].astype(np.float32)
            heads = fitted_heads(self.items, chain)
            for block, residual in residual_draws(self.items, chain, self.each, rng):
                some = rows(heads, block)
                for k, one, at_ability in zip(mine, draw, theta, strict=True):
                    at = interaction(network.weights, some, residual[one])
                    result[k, block] = logit(network.weights, network.output[one], at, at_ability[None])[:, 0]
        return expit(result, out=result)

    def expected_p_correct(
        self, index: Int[np.ndarray, " sample"], ability: Float[np.ndarray, "sample trait"]
    ) -> Float32[np.ndarray, "sample query"]:
        """The same with each query's residuals integrated out, to about 0.01: to choose queries, where speed counts.

        ``sigmoid(l / sqrt(1 + pi v / 8))`` (MacKay, 1992), ``l`` the logit of the settled query, ``v`` its variance at the mean ability.
        """
        every = np.arange(self.items.sizes["query"])
        result = np.empty((len(index), len(every)), dtype=np.float32)
        for chain, (network, settled) in enumerate(zip(self.networks, self.settled, strict=True)):
            mine = np.flatnonzero(index // self.each == chain)
            if not len(mine):
                continue
            theta = ability[mine].astype(np.float32)
            variance = own_logit_sd(network, self.items, chain, every, theta.mean(axis=0)) ** 2
            found = logit(network.weights, network.output.mean(axis=0), settled, theta)
            result[mine] = (found / np.sqrt(1.0 + np.pi / 8.0 * variance)[:, None]).T
        return expit(result, out=result)
