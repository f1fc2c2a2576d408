"""Placing: the posterior of a new LLM's ability, given any number of answers, over the draws of a fitted model."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int

from bayes_irt_router.calibration.ability_prior import AbilityPrior, aligned_prior
from bayes_irt_router.calibration.answers import Answer, merged, scores_and_trials
from bayes_irt_router.calibration.importance import (
    METROPOLIS_STEPS,
    POINTS_OF_DIM,
    effective_number,
    importance_points,
    log_mean,
    metropolis,
    one_each,
    systematic_resample,
    unwhitened,
)
from bayes_irt_router.calibration.items import ItemBank
from bayes_irt_router.calibration.likelihood import Evidence
from bayes_irt_router.errors import InputError
from bayes_irt_router.inference.pareto_smoothing import LARGEST_K_HAT, smoothed_weights

MOST_JOINT = 100  # queries; beyond, what the answers say of the items no longer matters for the LLM
FEWEST_EFFECTIVE = 100.0  # draws; with fewer, intervals are mostly chance
FEWEST_POINTS = 8.0  # effective, in the median draw; below, Metropolis steps follow

Mode = Literal["prior", "joint", "cut"]


@dataclass(frozen=True, eq=False)
class Placement:
    """Where an LLM stands: equal-weight draws of (parameters of the model, ability of the LLM).

    Attributes:
        index: which parameter draw (chains joined) each draw goes with, ascending, shape (draw,).
        ability: of the LLM, in the coordinates of that parameter draw, shape (draw, trait).
        mode: ``joint``: the uncertainty of the items is integrated out. ``cut``: every parameter draw has the same weight, the answers
            say nothing of the items. ``prior``: there are no answers.
        method: how the draws were found.
        answers: number of queries answered.
        trials: number of answers, repeated ones counted.
        k_hat: Pareto shape of the weights (PSIS): of the joint posterior's, or of a NIRT the largest of any network's; NaN where there
            were none.
        effective_draws: effective number of the weighted parameter draws, copies that earlier calibrations made counted as one; of a NIRT,
            of the weighted abilities.
        distinct_draws: how many draws of the fit are among them.
        prior: what was believed before, in a sentence.
        weight: of an answer, as a power of its likelihood.
    """

    index: Int[np.ndarray, " draw"]
    ability: Float[np.ndarray, "draw trait"]
    mode: Mode
    method: str
    answers: int
    trials: int
    k_hat: float
    effective_draws: float
    distinct_draws: int
    prior: str
    weight: float = 1.0

    def to_dict(self) -> dict[str, Any]:
        """For the report and the record of the model; k-hat is None where there is none."""
        return {
            "mode": self.mode,
            "method": self.method,
            "prior": self.prior,
            "answers": self.answers,
            "trials": self.trials,
            "k_hat": None if np.isnan(self.k_hat) else self.k_hat,
            "effective_draws": self.effective_draws,
            "distinct_draws": self.distinct_draws,
            "weight": self.weight,
        }


def place(
    bank: ItemBank,
    prior: AbilityPrior,
    answers: Sequence[Answer],
    rng: np.random.Generator,
    *,
    mode: Literal["auto", "joint", "cut"] = "auto",
    draws: Int[np.ndarray, " draw"] | None = None,
    weight: float = 1.0,
) -> Placement:
    """The posterior of an LLM's ability, given answers.

    In parameter draw s the ability's posterior is ``p(theta | y, s) ~ p(theta | s) prod_i p(y_i | theta, s)``, sampled by importance
    from a Gaussian at its mode; its normaliser is the marginal likelihood ``m_s`` of the answers.

    **Joint** posterior: each item's own uncertainty is integrated in ``p(y_i | theta, s)``, see :func:`shared_and_own`; what the items
    share is the draw's, and the draw gets the weight ``m_s``, smoothed by PSIS. (Weights from items as drawn would have the same
    limit, but would rest on a few draws after some twenty answers.) The asked items' own parts stay as they were, and so does the
    frame of the abilities, which is integrated, too, where it is independent of all else (:meth:`AbilityPrior.over_frames`). **Cut**
    posterior: items as drawn, the same weight for every draw: for more than 100 queries, and where k-hat is above 0.7 or fewer than 100
    draws, and fewer than half of what there was, would be left.

    A **NIRT** has cut posteriors only, one in each network, see :meth:`FittedNetworks.weighted_points`: importance points around the set
    encoder's normal posterior, weighted by the network itself. Every draw of a network gets one of its points.

    Args:
        bank: the queries.
        prior: of the ability, in every draw.
        answers: to queries of the bank, any number, in any order; repeated ones are trials.
        rng: of the importance points and the resampling.
        mode: ``auto`` follows the rules above; the others ask for one posterior.
        draws: the parameter draws to place over, ascending; all by default. A model takes an LLM placed over all only.
        weight: power of the likelihood, in (0, 1]; below 1 for answers to questions that were chosen by what they tell, see
            :func:`~bayes_irt_router.calibration.coarsening.chosen_weight`.

    Raises:
        InputError: an answer's query is not in the bank, or the joint posterior is wanted of a NIRT.
    """
    if bank.networks is not None and mode == "joint":
        raise InputError(
            "A NIRT has no joint posterior: its draws belong to networks, and weights would move LLMs from one network to another; "
            "leave the mode to be chosen, or ask for the cut posterior."
        )
    if draws is None:
        draws = np.arange(bank.draws)
    answers = merged(answers)
    positions = bank.positions([answer.query for answer in answers])
    everywhere, prior = prior, prior.of_draws(draws)
    index = np.arange(len(draws))
    _, ancestor, copies = np.unique(bank.ancestor[draws], return_inverse=True, return_counts=True)
    k_hat, effective = np.nan, float(effective_number(np.log(copies)[None])[0])
    kind: Mode = "cut"

    def placement(
        index: Int[np.ndarray, " draw"], ability: Float[np.ndarray, "draw trait"], kind: Mode, method: str
    ) -> Placement:
        total = sum(answer.trials for answer in answers)
        return Placement(
            draws[index],
            ability,
            kind,
            method,
            len(answers),
            total,
            k_hat,
            effective,
            len(np.unique(ancestor[index])),
            prior.description,
            weight,
        )

    if not answers:
        ability = unwhitened(prior, prior.standard(len(draws), 1, rng))[:, 0]
        return placement(index, ability, "prior", "draws of the prior")

    if bank.networks is not None:
        networks = bank.networks
        priors = [everywhere.averaged(networks.draws(chain)) for chain in range(len(networks.networks))]
        score, trials = scores_and_trials(answers)
        found = networks.weighted_points(priors, positions, score, weight * trials, rng)
        points_left, own = effective_number(found.log_weight), draws // networks.each
        ability, effective, k_hat = np.empty(prior.mean.shape), 0.0, float(found.k_hat.max())
        for chain, points in enumerate(found.points):
            mine = np.flatnonzero(own == chain)
            if len(mine):
                taken = systematic_resample(found.log_weight[chain], len(mine), rng)
                ability[rng.permutation(mine)] = points[taken]
                effective += min(float(len(mine)), float(points_left[chain]))
        return placement(index, ability, "cut", "set encoder and importance resampling in each network")

    turned = bank.rotations[draws]
    of_dim = POINTS_OF_DIM if len(draws) == bank.draws else 0.0
    if mode == "joint" or (mode == "auto" and len(answers) <= MOST_JOINT):
        evidence = Evidence.of(bank.integrated(positions), answers, weight).of_draws(draws)
        over = prior.over_frames()
        points, log_weight = importance_points(evidence, aligned_prior(over, turned), rng, of_dim)
        log_weights = log_mean(log_weight)
        # Copies of one draw have the same items: they are one draw that has their weights together.
        together = np.full(len(copies), -np.inf)
        np.logaddexp.at(together, ancestor, log_weights)
        smoothed, shapes = smoothed_weights(together[None])
        k_hat, left = float(shapes[0]), float(effective_number(smoothed)[0])
        few = left < min(FEWEST_EFFECTIVE, effective / 2)
        if mode == "joint" or (k_hat <= LARGEST_K_HAT and not few):
            log_weights += (smoothed[0] - together)[ancestor]
            index, kind, prior = systematic_resample(log_weights, len(draws), rng), "joint", over
            effective = left
    if kind == "cut":
        evidence = Evidence.of(bank.as_drawn(positions), answers, weight).of_draws(draws)
        points, log_weight = importance_points(evidence, aligned_prior(prior, turned), rng, of_dim)
    z = points[index, one_each(log_weight[index], rng)]
    method = "Laplace proposal and importance resampling in each draw"
    if float(np.median(effective_number(log_weight))) < FEWEST_POINTS:
        z = metropolis(evidence, aligned_prior(prior, turned), index, z, rng)
        method += f", then {METROPOLIS_STEPS} Metropolis steps"
    # The whitened coordinates are those of the draw's own frame as well.
    ability = unwhitened(prior.of_draws(index), z[:, None, :])[:, 0]
    return placement(index, ability, kind, method)
