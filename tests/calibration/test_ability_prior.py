"""What is believed of an LLM before it answers: the prior is the distribution that one more LLM really has."""

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from scipy.stats import kstest

from bayes_irt_router.calibration.ability_prior import aligned_prior, new_llm_prior
from bayes_irt_router.irt.llm_covariates import COVARIATES, covariate_matrix, family_index

ERROR_RATE = 1e-4
TABLE = {
    "release_date": ["2023-07", "2024-01", "2024-10", "", "2025-03", "2024-05"],
    "parameters_billion": [7.0, 70.0, np.nan, 8.0, 405.0, 3.0],
    "input_price_per_million": [0.1, 0.9, 5.0, 0.2, 3.0, np.nan],
    "output_price_per_million": [0.1, 0.9, 15.0, 0.2, 9.0, 0.1],
    "family": ["a", "b", "c", "a", "b", ""],
}
ALL = {
    "release_date": "2025-08",
    "parameters_billion": 30.0,
    "input_price_per_million": 1.0,
    "output_price_per_million": 2.0,
    "family": "b",
}


def with_population(posterior, rng):
    """The posterior with LLM covariates and families, its draws of them being draws of their prior, and the raw abilities behind them.

    Returns the posterior, the six LLMs' mean raw ability in each draw, and in the model's terms weights, SD and family effects.
    """
    draws, llms, traits = posterior.size, len(posterior.llm), 2
    columns = {
        name: ("llm", np.array(values, dtype=object if isinstance(values[0], str) else float))
        for name, values in TABLE.items()
    }
    table = posterior.tree["llms"].to_dataset().assign_coords(columns)
    z = covariate_matrix(table, COVARIATES)
    families, index = family_index(table)
    gamma = 0.6 * rng.standard_normal((draws, traits, len(COVARIATES)))
    sd = np.exp(0.4 * rng.standard_normal(draws) - 0.5)
    effect = rng.standard_normal((draws, traits, len(families)))
    raw = gamma @ z.T + sd[:, None, None] * effect[:, :, index] + rng.standard_normal((draws, traits, llms))
    mean = raw.mean(axis=2)
    centred = raw - mean[:, :, None]
    frame = np.linalg.cholesky(centred @ np.swapaxes(centred, 1, 2) / llms)
    groups = {str(name): node.to_dataset() for name, node in posterior.tree.children.items()}
    group = groups["posterior"]

    def drawn(values, *dims):
        shape = (group.sizes["chain"], group.sizes["draw"])
        return ("chain", "draw", *dims), values.reshape(*shape, *values.shape[1:]).astype(np.float32)

    ability = np.swapaxes(np.linalg.solve(frame, centred), 1, 2)
    groups["posterior"] = group.drop_vars(["ability", "ability_frame"]).assign(
        ability=drawn(ability, "llm", "trait"),
        ability_frame=drawn(frame, "raw_trait", "trait"),
        covariate_weight=drawn(gamma, "raw_trait", "covariate"),
        family_sd=drawn(sd),
        family_effect=drawn(effect, "raw_trait", "family"),
    )
    groups["posterior"] = groups["posterior"].assign_coords(covariate=list(COVARIATES), family=families)
    groups["llms"] = table
    model = {**posterior.record["model"], "covariates": list(COVARIATES), "families": True}
    changed = replace(
        posterior, tree=xr.DataTree.from_dict(groups), record={**posterior.record, "model": model}
    )
    return changed, mean, frame, gamma, sd, {name: effect[:, :, k] for k, name in enumerate(families)}


@pytest.fixture(scope="module")
def population(small_fit):
    return with_population(small_fit, np.random.default_rng(0))


def z_of(info):
    """Covariates of an LLM with the values of ALL that are in `info`, standardised as those of the table; 0 where unknown."""
    dates = [2023.5, 2024, 2024.75, 2025 + 2 / 12, 2024 + 4 / 12]
    logs = np.log([7.0, 70.0, 8.0, 405.0, 3.0])
    prices = np.log([0.1, 0.9, 10.0, 0.2, 6.0])
    known = (
        ("release_date", 2025 + 7 / 12, dates),
        ("parameters_billion", np.log(30.0), logs),
        ("input_price_per_million", np.log(1.5), prices),
    )
    return np.array(
        [(own - np.mean(others)) / np.std(others) if name in info else 0.0 for name, own, others in known]
    )


@pytest.mark.parametrize(
    "told",
    [
        (
            "release_date",
            "parameters_billion",
            "input_price_per_million",
            "output_price_per_million",
            "family",
        ),
        ("release_date", "family"),
        ("parameters_billion",),
        (),
    ],
)
def test_one_more_llm_is_distributed_as_its_prior_says(population, told):
    """400 LLMs, one from each draw's population: whitened by the prior they are standard normal (Kolmogorov-Smirnov, error rate 1e-4)."""
    posterior, mean, frame, gamma, sd, effect = population
    info = {name: ALL[name] for name in told}
    rng = np.random.default_rng(len(told))
    own = effect["b"] if "family" in info else rng.standard_normal(mean.shape)
    raw = gamma @ z_of(info) + sd[:, None] * own + rng.standard_normal(mean.shape)
    theta = np.linalg.solve(frame, (raw - mean)[:, :, None])[:, :, 0]
    prior = new_llm_prior(posterior, info)
    z = np.linalg.solve(prior.factor, (theta - prior.mean)[:, :, None])[:, :, 0]
    for values in (z[:, 0], z[:, 1], z @ [0.6, 0.8]):
        assert kstest(values, "norm").pvalue > ERROR_RATE / 12
    for name in told:
        word = {"parameters_billion": "log_parameters", "family": "family", "release_date": "release_date"}
        assert word.get(name, "log_price") in prior.description


def test_what_is_known_of_an_llm_makes_the_prior_sharper_and_better(population):
    posterior, mean, frame, gamma, sd, effect = population
    rng = np.random.default_rng(5)
    raw = gamma @ z_of(ALL) + sd[:, None] * effect["b"] + rng.standard_normal(mean.shape)
    theta = np.linalg.solve(frame, (raw - mean)[:, :, None])[:, :, 0]
    knowing, ignorant = new_llm_prior(posterior, ALL), new_llm_prior(posterior)
    assert (np.abs(theta - knowing.mean)).mean() < 0.8 * np.abs(theta - ignorant.mean).mean()
    assert (np.linalg.det(knowing.factor) < np.linalg.det(ignorant.factor)).all()


def test_a_fitted_llms_own_row_gives_its_own_covariates(population):
    """The part of the mean that covariates explain is what the model gave the fitted LLM with the same row."""
    posterior, _, frame, gamma, sd, effect = population
    table = posterior.tree["llms"].to_dataset()
    z = covariate_matrix(table, COVARIATES)
    share = sum(
        effect[name] * count for name, count in (("a", 2), ("b", 2), ("c", 1), (f"({posterior.llm[5]})", 1))
    )
    info = {name: table[name].values[1] for name in TABLE}
    expected = gamma @ z[1] + sd[:, None] * (effect["b"] - share / 6)
    prior = new_llm_prior(posterior, info)
    np.testing.assert_allclose(np.einsum("sde,se->sd", frame, prior.mean), expected, rtol=2e-3, atol=2e-3)


def test_unknown_and_irrelevant_facts_change_nothing(population, small_fit):
    posterior = population[0]
    nothing = new_llm_prior(posterior)
    for info in ({"release_date": "", "parameters_billion": None}, {"input_price_per_million": 0.0}):
        same = new_llm_prior(posterior, info)
        np.testing.assert_array_equal(same.mean, nothing.mean)
        np.testing.assert_array_equal(same.factor, nothing.factor)
    assert "given" not in nothing.description
    plain, told = new_llm_prior(small_fit), new_llm_prior(small_fit, ALL)
    np.testing.assert_array_equal(plain.mean, told.mean)  # a model without covariates has no use for them
    np.testing.assert_array_equal(plain.factor, told.factor)
    options = "--covariate release_date --covariate log_parameters --covariate log_price --families"
    assert "without release_date, log_parameters, log_price, family" in told.description
    assert f"birt fit {options} would" in told.description
    assert "without" not in plain.description
    assert "without" not in new_llm_prior(posterior, ALL).description


@pytest.fixture(scope="module")
def few_llms(small_fit, reframed):
    return reframed(small_fit)


def test_the_prior_over_frames_is_what_the_draws_say_together(few_llms):
    prior, rng = new_llm_prior(few_llms), np.random.default_rng(2)
    assert prior.free == 2
    over = prior.over_frames()
    z = over.standard(few_llms.size, 1, rng)
    together = np.einsum("sde,spe->spd", over.factor, z)
    apart = np.einsum("sde,spe->spd", prior.factor, rng.standard_normal(z.shape))
    assert kstest(together[..., 0].ravel(), apart[..., 0].ravel()).pvalue > ERROR_RATE
    length = [np.linalg.norm(theta, axis=2).ravel() for theta in (together, apart)]
    assert kstest(*length).pvalue > ERROR_RATE


def test_the_density_over_frames_is_one_and_belongs_to_its_values(few_llms):
    over = new_llm_prior(few_llms).over_frames()
    axis = np.linspace(-40.0, 40.0, 801)
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1)
    density = np.exp(over.log_density(grid)) / (2 * np.pi)
    total = density.sum() * (axis[1] - axis[0]) ** 2
    assert total == pytest.approx(1.0, abs=5e-3)
    z = over.standard(20_000, 1, np.random.default_rng(4))[:, 0]
    inside = np.abs(grid[..., 0]) < 1.0
    expected = density[inside].sum() * (axis[1] - axis[0]) ** 2
    assert (np.abs(z[:, 0]) < 1.0).mean() == pytest.approx(expected, abs=0.03)


def test_the_precision_over_frames_is_that_of_the_gradient(few_llms):
    over = new_llm_prior(few_llms).over_frames()
    z = np.random.default_rng(3).standard_normal((few_llms.size, 2)) * 3
    step = 1e-4 * np.eye(2)
    gradient = np.column_stack([(over.log_density(z + h) - over.log_density(z - h)) / 2e-4 for h in step])
    np.testing.assert_allclose(gradient, -over.precision(z) * z, rtol=1e-6, atol=1e-8)


def test_turned_traits_have_the_same_prior_over_frames(few_llms):
    """Aligning turns a draw's abilities and its frame together: the prior in the draw's own coordinates is turned with them."""
    prior = new_llm_prior(few_llms)
    angle = np.random.default_rng(6).uniform(0, 2 * np.pi, few_llms.size)
    turns = np.moveaxis(np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]), 2, 0)
    plain, turned = prior.over_frames(), aligned_prior(prior, turns).over_frames()
    np.testing.assert_allclose(turned.factor, aligned_prior(plain, turns).factor, atol=1e-6)


def test_only_exchangeable_llms_have_a_frame_of_its_own(population):
    prior = new_llm_prior(population[0])
    assert prior.free == 0
    assert prior.over_frames() is prior
