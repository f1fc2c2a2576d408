"""The posterior of the fitted queries' residuals, held against sums over a grid."""

import numpy as np

from bayes_irt_router.inference.network_posterior import residual_posteriors
from bayes_irt_router.irt.nirt import ItemHeads, interaction, logit

QUERIES, LLMS, TRAITS = 40, 12, 3


def one_network(rng):
    """A network without a bent part whose discrimination and relevance have next to no residual: difficulty's is the one left."""
    weights = {
        "difficulty_loading": np.zeros((TRAITS, 1)),
        "residual_log_sd": np.array([0.0, -9.0]),
        "relevance_residual": np.zeros(TRAITS),
        "interaction_log_weight": np.zeros((0, TRAITS)),
        "interaction_bias": np.zeros(0),
        "interaction_log_skip": np.array(-0.5),
    }
    heads = ItemHeads(
        rng.standard_normal(QUERIES),
        np.zeros((QUERIES, 1)),
        np.full(QUERIES, 1.0),
        np.zeros((QUERIES, TRAITS)),
        np.full(QUERIES, 1.0),
    )
    return {name: values.astype(np.float32) for name, values in weights.items()}, np.zeros(0), heads


def test_sds_of_residuals_are_those_of_the_exact_posterior():
    rng = np.random.default_rng(0)
    weights, output, heads = one_network(rng)
    ability = rng.standard_normal((LLMS, TRAITS))
    truth = rng.standard_normal((QUERIES, 3))
    p = 1 / (1 + np.exp(-logit(weights, output, interaction(weights, heads, truth), ability)))
    score, trials = (rng.random(p.shape) < p).astype(float), np.ones(p.shape)
    mean, factor = residual_posteriors(weights, output, heads, ability, score, trials)
    sd = np.sqrt(np.linalg.inv(factor @ np.swapaxes(factor, 1, 2).astype(float))[:, 0, 0])

    grid = np.linspace(-6, 6, 401)
    log_weight = -0.5 * np.tile(grid**2, (QUERIES, 1))
    for k, z in enumerate(grid):
        found = logit(
            weights, output, interaction(weights, heads, np.tile([z, 0.0, 0.0], (QUERIES, 1))), ability
        )
        log_weight[:, k] += (score * found - np.logaddexp(0, found)).sum(axis=1)
    weight = np.exp(log_weight - log_weight.max(axis=1, keepdims=True))
    weight /= weight.sum(axis=1, keepdims=True)
    exact = weight @ grid
    exact_sd = np.sqrt((weight * (grid - exact[:, None]) ** 2).sum(axis=1))
    # A Laplace posterior is narrower than the exact one by a few per cent; the bound's would be by a fifth.
    assert 0.92 < (sd / exact_sd).mean() < 1.02
    assert np.abs((mean[:, 0] - exact) / exact_sd).mean() < 0.25


def test_arrays_are_read_when_they_are_given():
    """Called again and again with fresh arrays, zero abilities among them, the answer is finite and the same."""
    rng = np.random.default_rng(1)
    weights, output, heads = one_network(rng)
    score, trials = (rng.random((QUERIES, LLMS)) < 0.5).astype(float), np.ones((QUERIES, LLMS))
    first = None
    for _ in range(4):
        fresh = {name: values.copy() for name, values in weights.items()}
        found = residual_posteriors(fresh, output.copy(), heads, np.zeros((LLMS, TRAITS)), score, trials)
        assert all(np.isfinite(part).all() for part in found)
        first = first or found
        for one, other in zip(first, found, strict=True):
            np.testing.assert_array_equal(one, other)
