from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm

from bayes_irt_router.data.feature_map import TASK_SHARE
from bayes_irt_router.irt.response import (
    ItemDistribution,
    abilities,
    drawn_items,
    expected_logistic,
    expected_p_correct,
    item_distribution,
    p_correct,
)
from bayes_irt_router.irt.testlets import UNSEEN_TASK

ERROR_RATE = 1e-4  # of each Monte Carlo test below, over all its comparisons (Bonferroni)


def single(*arrays):
    return [np.asarray(array, dtype=np.float32) for array in arrays]


def distribution(draws, queries, traits, rng):
    return ItemDistribution(
        *single(
            rng.normal(0, 1.5, (draws, queries)),
            rng.uniform(0, 2, (draws, queries)),
            rng.normal(0, 1, (draws, queries, traits)),
            rng.uniform(0, 1, (draws, queries, traits)),
            np.hstack([np.zeros((draws, 1)), rng.normal(0, 1, (draws, traits - 1))]),
        )
    )


def many_times(items, repeats):
    of_queries = [name for name in vars(items) if name != "discrimination_slope"]
    return replace(items, **{name: np.repeat(getattr(items, name), repeats, axis=1) for name in of_queries})


def without_residuals(items):
    none = {name: np.zeros_like(getattr(items, name)) for name in ("difficulty_sd", "discrimination_sd")}
    return replace(items, **none)


def logit_of(p):
    return np.log(p) - np.log1p(-p)


def hyperparameters(traits, rng, chains=2, draws=3, features=4):
    """A posterior with independent random values where the MIRT has its hyperparameters."""
    shapes = {
        "difficulty_mean": (),
        "difficulty_residual_sd": (),
        "difficulty_kernel_sd": (),
        "discrimination_mean": (),
        "difficulty_weight": ("feature",),
        "discrimination_weight": ("trait", "feature"),
        "discrimination_residual_sd": ("trait_kind",),
        "discrimination_kernel_sd": (),
        **({"discrimination_residual_slope": ("specific",)} if traits > 1 else {}),
        "ability": ("llm", "trait"),
    }
    sizes = {
        "feature": features,
        "trait": traits,
        "trait_kind": min(traits, 2),
        "specific": traits - 1,
        "llm": 3,
    }
    return xr.Dataset(
        {
            name: (
                ("chain", "draw", *dims),
                np.abs(rng.standard_normal((chains, draws, *(sizes[dim] for dim in dims)))),
            )
            for name, dims in shapes.items()
        }
    )


@given(
    st.floats(-8, 8),
    st.floats(0, 3),
)
def test_expected_logistic_is_the_integral(mean, sd):
    exact = quad(lambda z: norm.pdf(z) / (1 + np.exp(-mean - sd * z)), -12, 12, points=[0.0], limit=200)[0]
    assert expected_logistic(*single([mean], [sd]))[0] == pytest.approx(exact, abs=2e-4)


@given(st.floats(-8, 8), st.floats(0, 5))
def test_expected_logistic_is_a_probability_symmetric_and_shrunk_to_one_half(mean, sd):
    there, back, without = expected_logistic(*single([mean, -mean, mean], [sd, sd, 0.0]))
    assert 0 <= there <= 1
    assert there + back == pytest.approx(1.0, abs=1e-5)
    assert abs(there - 0.5) <= abs(without - 0.5) + 2e-4


def test_p_correct_cell_by_cell():
    rng = np.random.default_rng(0)
    ability, a, b = rng.normal(size=(4, 3, 2)), rng.normal(size=(4, 5, 2)), rng.normal(size=(4, 5))
    p = p_correct(ability, a, b)
    assert p.shape == (4, 5, 3)
    for s, i, j in np.ndindex(p.shape):
        logit = sum(a[s, i, d] * ability[s, j, d] for d in range(2)) - b[s, i]
        assert p[s, i, j] == pytest.approx(1 / (1 + np.exp(-logit)))


@given(st.integers(0, 10**6), st.integers(0, 2), st.floats(0, 3))
def test_more_ability_never_hurts_where_discrimination_is_not_negative(seed, trait, gain):
    rng = np.random.default_rng(seed)
    ability, a, b = rng.normal(size=(4, 3)), rng.exponential(size=(6, 3)), rng.normal(size=6)
    better = ability.copy()
    better[:, trait] += gain
    assert (p_correct(better, a, b) >= p_correct(ability, a, b)).all()


@pytest.mark.parametrize("traits", [1, 2, 4])
def test_item_distribution_follows_the_equations(traits):
    rng = np.random.default_rng(traits)
    draws = hyperparameters(traits, rng)
    phi, novelty = rng.normal(size=(5, 4)), rng.uniform(size=5)
    items = item_distribution(draws, phi, novelty, np.zeros(len(phi)))
    flat = draws.stack(sample=("chain", "draw"), create_index=False)
    for s in range(6):
        one = flat.isel(sample=s)
        for i in range(5):
            mean = float(one["difficulty_mean"]) + float(one["difficulty_weight"].values @ phi[i])
            variance = (
                float(one["difficulty_residual_sd"]) ** 2
                + float(one["difficulty_kernel_sd"]) ** 2 * novelty[i]
            )
            assert items.difficulty_mean[s, i] == pytest.approx(mean, rel=1e-4)
            assert items.difficulty_sd[s, i] == pytest.approx(np.sqrt(variance), rel=1e-4)
            for d in range(traits):
                mean = float(one["discrimination_weight"].values[d] @ phi[i])
                mean += float(one["discrimination_mean"]) if d == 0 else 0.0
                variance = (
                    float(one["discrimination_residual_sd"].values[min(d, 1)]) ** 2
                    + float(one["discrimination_kernel_sd"]) ** 2 * novelty[i]
                )
                assert items.discrimination_mean[s, i, d] == pytest.approx(mean, rel=1e-4, abs=1e-5)
                assert items.discrimination_sd[s, i, d] == pytest.approx(np.sqrt(variance), rel=1e-4)
        assert items.discrimination_slope[s, 0] == 0.0
        slope = one["discrimination_residual_slope"].values if traits > 1 else []
        np.testing.assert_allclose(items.discrimination_slope[s, 1:], slope, rtol=1e-6)


def test_models_of_the_first_version_have_two_sds_of_the_smooth_effect_too():
    draws = hyperparameters(3, np.random.default_rng(0))
    values = draws["discrimination_kernel_sd"].values
    both = draws.assign(
        discrimination_kernel_sd=(("chain", "draw", "trait_kind"), np.stack([values, 0 * values], axis=2))
    )
    phi = np.zeros((1, 4))
    new, old = (
        item_distribution(one, phi, np.ones(1), np.zeros(1)).discrimination_sd for one in (draws, both)
    )
    np.testing.assert_allclose(old[..., 0], new[..., 0], rtol=1e-5)
    without = item_distribution(draws, phi, np.zeros(1), np.zeros(1)).discrimination_sd
    np.testing.assert_allclose(old[..., 1:], without[..., 1:], rtol=1e-5)


def test_expected_p_correct_is_the_mean_over_drawn_items():
    rng = np.random.default_rng(3)
    draws, queries, llms, repeats = 4, 5, 3, 4000
    items = distribution(draws, queries, 2, rng)
    (ability,) = single(rng.normal(size=(draws, llms, 2)))
    repeated = many_times(items, repeats)
    sampled = p_correct(ability, *drawn_items(repeated, rng)).reshape(draws, queries, repeats, llms)
    error = sampled.std(axis=2) / np.sqrt(repeats)
    z = np.abs(sampled.mean(axis=2) - expected_p_correct(ability, items)) / error
    assert z.max() < norm.isf(ERROR_RATE / 2 / z.size)


def test_drawn_items_have_the_stated_means_and_covariance():
    rng = np.random.default_rng(4)
    items = distribution(1, 1, 3, rng)
    a, b = drawn_items(many_times(items, 20_000), rng)
    sd, slope = items.discrimination_sd[0, 0], items.discrimination_slope[0]
    mixing = np.eye(3) + np.outer(slope, [1, 0, 0])
    covariance = mixing @ np.diag(sd**2) @ mixing.T
    np.testing.assert_allclose(items.mean_covariance(np.eye(3)[None])[0], covariance, rtol=1e-5)
    white_a = np.linalg.solve(mixing, (a[0] - items.discrimination_mean[0, 0]).T).T / sd
    white = np.column_stack([(b[0] - items.difficulty_mean[0]) / items.difficulty_sd[0], white_a])
    limit = norm.isf(ERROR_RATE / 2 / 14)
    assert np.all(np.abs(white.mean(axis=0)) < limit / np.sqrt(20_000))
    assert np.all(np.abs(white.var(axis=0) - 1) < limit * np.sqrt(2 / 20_000))
    assert np.all(np.abs(np.corrcoef(white.T)[np.triu_indices(4, 1)]) < limit / np.sqrt(20_000))


def test_turned_coordinates_turn_the_covariance_and_the_mean_is_over_draws():
    rng = np.random.default_rng(6)
    items = distribution(2, 3, 3, rng)
    rotations = np.linalg.qr(rng.normal(size=(2, 3, 3)))[0]
    alone = [
        ItemDistribution(*(value[s : s + 1] for value in vars(items).values())).mean_covariance(
            np.eye(3)[None]
        )
        for s in range(2)
    ]
    expected = np.mean([r.T @ c @ r for r, c in zip(rotations, alone, strict=True)], axis=0)
    np.testing.assert_allclose(items.mean_covariance(rotations), expected, rtol=1e-5, atol=1e-7)


def test_without_residuals_nothing_is_drawn():
    rng = np.random.default_rng(5)
    items = distribution(3, 4, 2, rng)
    certain = without_residuals(items)
    (ability,) = single(rng.normal(size=(3, 6, 2)))
    expected = p_correct(ability, items.discrimination_mean, items.difficulty_mean)
    np.testing.assert_allclose(expected_p_correct(ability, certain), expected, atol=1e-6)
    np.testing.assert_allclose(p_correct(ability, *drawn_items(certain, rng)), expected, atol=1e-6)


@pytest.fixture
def with_testlets_drawn():
    """Draws of a model with two tasks, and queries: of the first, of the second, of both a little, and of neither."""
    rng = np.random.default_rng(8)
    draws = hyperparameters(2, rng)
    shape = (2, 3)
    draws = draws.assign_coords(
        feature=["length", "kernel_0", "task_law", "task_maths"],
        testlet=["task_law", "task_maths", UNSEEN_TASK],
    ).assign(
        testlet_effect=(("chain", "draw", "llm", "testlet"), rng.standard_normal((*shape, 3, 3))),
        unseen_difficulty=(("chain", "draw"), rng.standard_normal(shape)),
        unseen_discrimination=(("chain", "draw", "trait"), rng.standard_normal((*shape, 2))),
    )
    probability = np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.3], [0.0, 0.0]])
    phi = np.column_stack([rng.standard_normal(4), np.full(4, 0.2), probability * np.sqrt(TASK_SHARE)])
    novelty = 1.0 - (phi[:, 1:] ** 2).sum(axis=1)
    return draws, phi, novelty, probability


def test_a_query_has_the_effects_of_its_tasks_and_what_is_missing_to_1_those_of_an_unseen_one(
    with_testlets_drawn,
):
    draws, phi, novelty, probability = with_testlets_drawn
    unseen = 1.0 - probability.sum(axis=1)
    without = item_distribution(
        draws.drop_vars(["testlet_effect", "unseen_difficulty"]), phi, novelty, unseen
    )
    items = item_distribution(draws, phi, novelty, unseen)
    theta, traits = abilities(draws), draws["ability"].values.reshape(6, 3, 2)
    certain = without_residuals(items)
    logit = logit_of(expected_p_correct(theta, certain))
    effect = draws["testlet_effect"].values.reshape(6, 3, 3)
    for s in range(6):
        shift_b = draws["unseen_difficulty"].values.reshape(6)[s]
        shift_a = draws["unseen_discrimination"].values.reshape(6, 2)[s]
        for i in range(4):
            share = np.sqrt(TASK_SHARE) * unseen[i]
            a = without.discrimination_mean[s, i] + share * shift_a
            b = without.difficulty_mean[s, i] + share * shift_b
            for j in range(3):
                own = probability[i] @ effect[s, j, :2] + unseen[i] * effect[s, j, 2]
                assert logit[s, i, j] == pytest.approx(a @ traits[s, j] - b + own, abs=1e-3)


def test_what_a_query_shares_with_others_of_its_unseen_task_is_no_residual_of_its_own(with_testlets_drawn):
    draws, phi, novelty, probability = with_testlets_drawn
    effects = ["testlet_effect", "unseen_difficulty", "unseen_discrimination"]
    items, traits_alone, without = (
        item_distribution(one, phi, novelty, 1.0 - probability.sum(axis=1))
        for one in (draws, draws.drop_vars("testlet_effect"), draws.drop_vars(effects))
    )
    kernel = draws["difficulty_kernel_sd"].values.reshape(6, 1) ** 2
    # Two queries share u_i u_j, as whether one is of an unseen task tells nothing of the other: what a query has with itself beyond
    # that is its own, so few queries that are almost surely of a seen task do not all become harder together.
    shared = TASK_SHARE * (1.0 - probability.sum(axis=1)) ** 2 * kernel
    np.testing.assert_allclose(items.difficulty_sd**2 + shared, without.difficulty_sd**2, rtol=1e-4)
    assert (items.discrimination_sd[:, :, 2:] == 0).all()
    # A model without testlets has them, too: what is unseen of a task is not only how LLMs do on it.
    np.testing.assert_array_equal(traits_alone.difficulty_mean, items.difficulty_mean)
    np.testing.assert_array_equal(traits_alone.difficulty_sd, items.difficulty_sd)
    np.testing.assert_array_equal(traits_alone.discrimination_mean, items.discrimination_mean[:, :, :2])
