"""Dispersed, sane starting points for the chains."""

import numpy as np
import xarray as xr
from jaxtyping import Float

from bayes_irt_router.irt.crude_estimates import CrudeEstimates, crude_estimates
from bayes_irt_router.irt.llm_covariates import family_index
from bayes_irt_router.irt.mirt import MIRT
from bayes_irt_router.irt.score_distributions import graded_queries
from bayes_irt_router.irt.testlets import testlet_centring, testlet_loadings

SPREAD = 0.2  # SD of the jitter: on logits for difficulty, on the log for scales, in SDs for ability


def starting_points(
    model: MIRT, data: xr.Dataset, chains: int, rng: np.random.Generator
) -> list[dict[str, np.ndarray]]:
    """One starting point a chain: crude estimates from the margins of the data, plus jitter in everything.

    Args:
        model: gives the number of traits, and which variables there are.
        data: as for :meth:`MIRT.build`.
        chains: number of points.
        rng: of the jitter.

    Returns:
        Values of the model's free variables, by name.
    """
    task = testlet_loadings(data).argmax(axis=1) if model.testlets_of(data) else None
    crude = crude_estimates(data, model.traits, task)
    return [_jittered(model, data, crude, rng) for _ in range(chains)]


def standardised(raw: Float[np.ndarray, "trait llm"]) -> Float[np.ndarray, "trait llm"]:
    """With mean 0 and covariance I over LLMs, where the density of the raw values has its mode."""
    apart = raw - raw.mean(axis=1, keepdims=True)
    return np.asarray(np.linalg.solve(np.linalg.cholesky(apart @ apart.T / raw.shape[1]), apart))


def _jittered(
    model: MIRT, data: xr.Dataset, crude: CrudeEstimates, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    traits, features, queries = model.traits, data.sizes["feature"], data.sizes["query"]

    kinds = min(traits, 2)

    def noise(*shape: int) -> np.ndarray:
        return np.asarray(SPREAD * rng.standard_normal(shape))

    llms = data.sizes["llm"]
    point = {
        "ability_residual": crude.ability.T + noise(traits, llms),
        "difficulty_mean": crude.difficulty.mean() + noise(),
        "difficulty_surface_sd": 0.2 * np.exp(noise()),
        "difficulty_kernel_sd": 1.0 * np.exp(noise()),
        "difficulty_residual_sd": 1.0 * np.exp(noise()),
        "difficulty_component": noise(features),
        "difficulty": crude.difficulty + noise(queries),
        "discrimination_mean": 1.0 * np.exp(noise()),
        "discrimination_surface_sd": 0.05 * np.exp(noise()),
        "discrimination_kernel_sd": 0.3 * np.exp(noise()),
        "discrimination_residual_sd": np.array([0.6, 0.3])[:kinds] * np.exp(noise(kinds)),
        "discrimination_component": noise(traits, features),
        "discrimination_residual": noise(traits, queries),
    }
    if traits > 1:
        point["discrimination_residual_slope"] = noise(traits - 1)
    if (data["feature_group"].values == "task").any():
        point["unseen_task"] = noise(1 + traits)
    if testlets := model.testlets_of(data):
        centring = testlet_centring(data, testlets)
        raw = np.zeros((len(testlets), llms))
        raw[: len(crude.group_logit)] = crude.group_logit
        effect = np.where(centring.inside, centring.left(raw), 0.0)
        sd = max(float(effect[centring.inside].std()), SPREAD)
        point["testlet_sd"] = sd * np.exp(noise())
        point["testlet_residual"] = centring.left(effect / sd + noise(len(testlets), llms))
    if model.covariates:
        point["covariate_weight"] = noise(traits, len(model.covariates))
    if not model.covariates and not model.families:
        point["ability_residual"] = standardised(point["ability_residual"])
        point["frame_diagonal_square"] = (llms - 1.0 - np.arange(traits)) * np.exp(noise(traits))
        if traits > 1:
            point["frame_below"] = noise(traits * (traits - 1) // 2)
    if model.families:
        point["family_sd"] = 0.3 * np.exp(noise())
        point["family_effect"] = noise(traits, len(family_index(data)[0]))
    if graded_queries(data).any():
        point["score_precision"] = model.priors.score_precision * np.exp(noise())
    return {name: np.asarray(value, dtype=np.float32) for name, value in point.items()}
