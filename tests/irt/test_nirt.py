"""The NIRT's response: monotone, with relevance that sums to one, and linearised correctly."""

from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from bayes_irt_router.errors import InputError
from bayes_irt_router.inference.rank_uniformity import rank_uniformity
from bayes_irt_router.irt.ability_posterior import (
    Answered,
    NormalAbility,
    ability_posterior,
    ability_posteriors,
    importance_points,
    log_likelihood,
    prior_covariance,
    standard_prior,
)
from bayes_irt_router.irt.ability_table import ABILITIES
from bayes_irt_router.irt.neural_response import expected_p_correct, logit_slope
from bayes_irt_router.irt.nirt import (
    NIRT,
    QueryInputs,
    abilities,
    hidden_layer,
    interaction,
    item_heads,
    logit,
    logit_and_slope,
    network_input,
    relevance,
    shifted,
)

MODEL = NIRT(abilities=ABILITIES[:5], units=3, hidden=6, factors=2)
QUERIES, LLMS = 7, 4


def random_network(seed: int, scale: float = 1.0, queries: int = QUERIES) -> tuple[Any, Any, Any]:
    """Weights with every entry random, output weights, and the heads of random queries."""
    rng = np.random.default_rng(seed)
    shapes = {
        "network_in": (9, 6),
        "network_bias": (6,),
        "network_out": (6, MODEL.heads),
        "skip": (4, MODEL.heads),
        "head_bias": (MODEL.heads,),
        "difficulty_loading": (5, 2),
        "residual_log_sd": (2,),
        "relevance_residual": (5,),
        "interaction_log_weight": (3, 5),
        "interaction_bias": (3,),
        "interaction_log_skip": (),
    }
    weights = {name: scale * rng.standard_normal(shape) for name, shape in shapes.items()}
    inputs = QueryInputs(
        rng.standard_normal((queries, 5)),
        rng.standard_normal((queries, 4)),
        rng.random(queries),
        np.log(rng.dirichlet(np.ones(5), queries)),
    )
    heads = item_heads(MODEL, weights, inputs, hidden_layer(weights, network_input(inputs)))
    return weights, np.exp(scale * rng.standard_normal(3)), heads


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.integers(0, 4), st.floats(0.0, 5.0), st.floats(0.1, 3.0))
def test_more_of_any_ability_never_hurts(seed: int, trait: int, more: float, scale: float):
    weights, output, heads = random_network(seed, scale)
    rng = np.random.default_rng(seed)
    ability = scale * rng.standard_normal((LLMS, 5))
    better = ability.copy()
    better[:, trait] += more
    at = interaction(weights, heads, rng.standard_normal((QUERIES, 3)))
    before, after = (logit(weights, output, at, theta) for theta in (ability, better))
    assert (after >= before - 1e-9 * np.abs(before)).all()


@settings(max_examples=25)
@given(st.integers(0, 10**6))
def test_more_of_any_ability_never_hurts_with_residuals_integrated(seed: int):
    weights, output, heads = random_network(seed, 0.5)
    rng = np.random.default_rng(seed)
    ability = rng.standard_normal((1, LLMS, 5)).astype(np.float32)
    better = ability.copy()
    better[..., rng.integers(5)] += 1.0
    level = np.zeros((1, QUERIES), np.float32)
    before, after = (
        expected_p_correct(weights, output[None], heads, one, level) for one in (ability, better)
    )
    assert (after >= before - 1e-5).all()


@settings(max_examples=25)
@given(st.integers(0, 10**6))
def test_relevance_is_a_distribution_over_abilities(seed: int):
    weights, _, heads = random_network(seed, 3.0)
    r = relevance(heads, weights, np.random.default_rng(seed).standard_normal((QUERIES, 3)))
    assert (r >= 0).all()
    np.testing.assert_allclose(r.sum(axis=-1), 1.0)


def test_slopes_agree_with_finite_differences():
    weights, output, heads = random_network(0, 0.5)
    rng = np.random.default_rng(1)
    z, ability = rng.standard_normal((QUERIES, 3)), rng.standard_normal((LLMS, 5))
    at = interaction(weights, heads, z)
    found, slope = logit_and_slope(weights, output, heads, z, ability)
    np.testing.assert_allclose(found, logit(weights, output, at, ability))
    step = 1e-5
    for k in range(3):
        moved = [
            logit(weights, output, interaction(weights, heads, z + s * step * np.eye(3)[k]), ability)
            for s in (1, -1)
        ]
        np.testing.assert_allclose(slope[..., k], (moved[0] - moved[1]) / (2 * step), atol=1e-6)
    by_ability = logit_slope(weights, output, at, ability)
    assert (by_ability >= 0).all()
    for k in range(5):
        moved = [logit(weights, output, at, ability + s * step * np.eye(5)[k]) for s in (1, -1)]
        np.testing.assert_allclose(by_ability[..., k], (moved[0] - moved[1]) / (2 * step), atol=1e-6)


def test_the_integral_over_residuals_is_that_of_many_draws():
    weights, output, heads = random_network(2, 0.3)
    weights["residual_log_sd"] = np.array([-0.5, -1.5])
    heads = heads._replace(
        difficulty_sd=np.full(QUERIES, 0.8)
    )  # logit SDs of up to about 2, as real queries have
    rng = np.random.default_rng(3)
    ability = rng.standard_normal((LLMS, 5))
    level = rng.standard_normal((1, QUERIES))
    found = expected_p_correct(weights, output[None], heads, ability[None], level)[0]
    at = interaction(weights, heads, rng.standard_normal((5000, QUERIES, 3)))
    draws = 1.0 / (1.0 + np.exp(-logit(weights, output[None], shifted(at, level), ability[None])))
    # 4.5 standard errors over 28 cells: one failure in about 5,000 seeds; and the stated error of the quadrature.
    assert (np.abs(draws.mean(axis=0) - found) < 4.5 * draws.std(axis=0) / 5000**0.5 + 0.005).all()


def test_an_llm_without_answers_has_the_prior_of_its_abilities():
    weights, output, heads = random_network(4)
    at = interaction(weights, heads, np.zeros((QUERIES, 3)))
    found = ability_posterior(weights, output, at, np.zeros(QUERIES), np.zeros(QUERIES))
    np.testing.assert_allclose(found.mean, 0.0, atol=1e-12)
    np.testing.assert_allclose(found.factor @ found.factor.T, prior_covariance(5), atol=1e-9)
    general, specific = np.random.default_rng(0).standard_normal((2, 100_000, 5))
    drawn = abilities(general[:, 0], specific)
    np.testing.assert_allclose(np.cov(drawn.T), prior_covariance(5), atol=0.03)  # 5 standard errors


def test_placing_knows_no_order_and_no_missing_answers():
    weights, output, heads = random_network(5, 0.5)
    rng = np.random.default_rng(0)
    at = interaction(weights, heads, rng.standard_normal((QUERIES, 3)))
    score, trials = (rng.random(QUERIES) < 0.5).astype(float), np.ones(QUERIES)
    trials[2] = 0
    order = rng.permutation(QUERIES)
    turned = type(at)(at.slope[order], at.offset[order])
    first = ability_posterior(weights, output, at, score, trials)
    second = ability_posterior(weights, output, turned, score[order], trials[order])
    third = ability_posterior(weights, output, at, np.where(trials > 0, score, 1.0 - score), trials)
    for other in (second, third):
        np.testing.assert_allclose(other.mean, first.mean, atol=1e-9)
        np.testing.assert_allclose(other.factor, first.factor, atol=1e-9)


def test_placing_finds_the_truth_and_its_weights_are_even():
    weights, output, heads = random_network(6, 0.2, queries=400)
    rng = np.random.default_rng(1)
    at = interaction(weights, heads, rng.standard_normal((400, 3)))
    theta = np.linalg.cholesky(prior_covariance(5)) @ rng.standard_normal(5)
    p = 1 / (1 + np.exp(-logit(weights, output, at, theta[None])[:, 0]))
    score = (rng.random(400) < p).astype(float)
    found = ability_posterior(weights, output, at, score, np.ones(400))
    z = np.linalg.solve(found.factor, theta - found.mean)
    assert z @ z < 20.5  # 99.9 % of a chi-square of 5
    _, log_weight = importance_points(found, weights, output, at, score, np.ones(400), 2000, rng)
    weight = np.exp(log_weight - log_weight.max())
    assert weight.sum() ** 2 / (weight**2).sum() > 1000


def test_blocks_of_queries_and_many_llms_change_nothing():
    weights, output, heads = random_network(8, 0.3, queries=50)
    rng = np.random.default_rng(0)
    at = interaction(weights, heads, rng.standard_normal((50, 3)))
    score, trials = (rng.random((50, 3)) < 0.5).astype(float), np.ones((50, 3))
    trials[::4, 1] = 0
    score[::4, 1] = np.nan

    def blocks():
        for some in np.array_split(np.arange(50), 7):
            yield Answered(type(at)(at.slope[some], at.offset[some]), score[some], trials[some])

    found = ability_posteriors(weights, output, blocks, standard_prior(5), np.zeros((3, 5)))
    for j, one in enumerate(found):
        alone = ability_posterior(weights, output, at, score[:, j], trials[:, j])
        np.testing.assert_allclose(one.mean, alone.mean, atol=1e-9)
        np.testing.assert_allclose(one.factor, alone.factor, atol=1e-9)


def test_a_sure_prior_outweighs_the_answers():
    weights, output, heads = random_network(9, 0.3)
    at = interaction(weights, heads, np.zeros((QUERIES, 3)))
    believed = NormalAbility(np.linspace(-1, 1, 5), 1e-3 * np.eye(5))
    given = (weights, output, at, np.ones(QUERIES), np.ones(QUERIES))
    found = ability_posterior(*given, prior=believed)
    np.testing.assert_allclose(found.mean, believed.mean, atol=1e-4)
    points, _ = importance_points(found, *given, 50, np.random.default_rng(0), believed)
    assert np.abs(points - believed.mean).max() < 0.01


def test_what_is_unknown_of_a_query_is_integrated_out():
    weights, output, heads = random_network(10, 0.3)
    rng = np.random.default_rng(0)
    at = interaction(weights, heads, np.zeros((QUERIES, 3)))
    points = rng.standard_normal((4, 5))
    score, trials, sd = (
        np.array([1, 0, 1, 0.5, 0, 1, 1.0]),
        np.array([1, 1, 3, 2, 1, 0, 1.0]),
        0.2 * np.arange(7),
    )
    found = log_likelihood(weights, output, at, score, trials, points, sd)
    fine = np.linspace(-6, 6, 2001)
    moved = logit(weights, output, at, points)[..., None] + sd[:, None, None] * fine
    each = np.exp(trials[:, None, None] * (score[:, None, None] * moved - np.logaddexp(0, moved)))
    density = np.exp(-0.5 * fine**2) / np.exp(-0.5 * fine**2).sum()
    np.testing.assert_allclose(found, np.log(each @ density).sum(axis=0), atol=0.01)
    many = log_likelihood(weights, output, at, score, 1000 * trials, points, sd + 0.5)
    assert np.isfinite(many).all()


@pytest.mark.slow
def test_placing_is_calibrated_over_the_prior():
    """Simulation-based calibration of the abilities and of their mean, importance-corrected, on a bank of 60 queries.

    Error rate: the ranks of a right posterior fail with probability 0.004 (Holm over all quantities).
    """
    weights, output, heads = random_network(7, 0.2, queries=60)
    rng = np.random.default_rng(2)
    at = interaction(weights, heads, rng.standard_normal((60, 3)))
    factor, kept, truth, values = np.linalg.cholesky(prior_covariance(5)), 50, [], []
    for _ in range(300):
        theta = factor @ rng.standard_normal(5)
        p = 1 / (1 + np.exp(-logit(weights, output, at, theta[None])[:, 0]))
        score = (rng.random(60) < p).astype(float)
        found = ability_posterior(weights, output, at, score, np.ones(60))
        points, log_weight = importance_points(found, weights, output, at, score, np.ones(60), 1000, rng)
        weight = np.exp(log_weight - log_weight.max())
        chosen = points[rng.choice(len(points), kept, p=weight / weight.sum())]
        truth.append([*theta, theta.mean()])
        values.append(np.column_stack([chosen, chosen.mean(axis=1)]))
    rank = (np.array(values) < np.array(truth)[:, None]).sum(axis=1)
    names = [*MODEL.names, "mean"]
    table = xr.DataArray(rank, dims=("replication", "quantity"), coords={"quantity": names})
    assert rank_uniformity(table, kept, rng, error_rate=0.004).passed


def test_wrong_settings_are_told_at_once():
    with pytest.raises(InputError) as error:
        NIRT(abilities=ABILITIES[:1], units=-1, kernel_scale=0.0)
    assert len(error.value.problems) == 3


def test_settings_survive_json():
    assert NIRT.from_dict(MODEL.to_dict()) == MODEL
