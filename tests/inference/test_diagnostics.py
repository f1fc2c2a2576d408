from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from scipy.stats import ortho_group

from bayes_irt_router.data.feature_map import fit_feature_map
from bayes_irt_router.inference.diagnostics import (
    CELLS,
    SCALARS,
    ConvergenceGate,
    convergence_gate,
    stratified_cells,
)
from bayes_irt_router.inference.nuts import Sampled

CHAINS, DRAWS, TRAITS = 4, 1000, 3


@pytest.fixture(scope="module")
def data(bank):
    data = bank(36, llms=6, seed=3)
    return fit_feature_map(data).apply(data)


@pytest.fixture(scope="module")
def good(data):
    """Independent draws around a point, as a perfect sampler would return them."""
    rng = np.random.default_rng(0)
    sizes = {dim: data.sizes[dim] for dim in ("query", "llm", "feature")} | {"trait": TRAITS, "trait_kind": 2}

    def around(centre, sd, *dims):
        location = centre * rng.standard_normal([sizes[dim] for dim in dims])
        noise = sd * rng.standard_normal((CHAINS, DRAWS, *(sizes[dim] for dim in dims)))
        return (("chain", "draw", *dims), location + noise)

    variables = {
        "ability": around(1.0, 0.2, "llm", "trait"),
        "discrimination": around(1.0, 0.3, "query", "trait"),
        "discrimination_weight": around(0.2, 0.1, "trait", "feature"),
        "difficulty": around(1.0, 0.4, "query"),
        "difficulty_weight": around(0.3, 0.1, "feature"),
    }
    for name in SCALARS[:8]:
        dims, values = around(0.0, 0.1, *(["trait_kind"] if name == "discrimination_residual_sd" else []))
        variables[name] = (dims, 0.5 * np.exp(values))
    coords = {"query": data["query"].values, "llm": data["llm"].values}
    shape = (CHAINS, DRAWS)
    stats = {"lp": rng.standard_normal(shape), "diverging": np.zeros(shape, bool)}
    return Sampled(
        xr.Dataset(variables, coords=coords),
        xr.Dataset({name: (("chain", "draw"), values) for name, values in stats.items()}),
        "by hand",
        1.0,
    )


def with_posterior(sampled, change):
    return replace(sampled, posterior=change(sampled.posterior.copy(deep=True)))


def with_stats(sampled, **values):
    stats = {name: (("chain", "draw"), value) for name, value in values.items()}
    return replace(sampled, sample_stats=sampled.sample_stats.assign(stats))


def test_independent_draws_pass(good, data):
    """Error rate: split r-hat^2 - 1 is about chi2_7 / 7 / 500 here; one of 400 exceeds 1.01 with p < 1e-9."""
    gate = convergence_gate(good, data)
    assert gate.passed, gate.verdict
    assert gate.verdict.startswith("The draws pass the convergence gate (")
    assert gate.complaints == ()


def test_what_is_looked_at(good, data):
    table = convergence_gate(good, data).table
    count = table["quantity"].value_counts()
    assert count["cell, fitted query"] + count["cell, unseen query"] == CELLS
    assert count["cell, fitted query"] == CELLS / 2
    assert count["LLM mean"] == 6
    assert count["A Cov(theta) A'"] == 50
    assert count["log density"] == 1
    assert all(count[name] == (2 if name == "discrimination_residual_sd" else 1) for name in SCALARS[:8])
    assert not table[["r_hat", "ess_bulk", "ess_tail"]].isna().any(axis=None)


def test_summary_holds_the_worst_of_each_sort(good, data):
    gate = convergence_gate(good, data)
    summary = gate.summary().set_index("quantity")
    assert summary["count"].sum() == len(gate.table)
    for quantity, rows in gate.table.groupby("quantity"):
        assert summary.loc[quantity, "r_hat_max"] == rows["r_hat"].max()
        assert summary.loc[quantity, "ess_bulk_min"] == rows["ess_bulk"].min()
        assert summary.loc[quantity, "ess_tail_min"] == rows["ess_tail"].min()


def shifted_chain(posterior):
    posterior["difficulty"][0] += 0.5
    return posterior


def stuck_chain(posterior):
    return xr.where(
        posterior["chain"] == 2, posterior.isel(draw=0, drop=True), posterior, keep_attrs=True
    ).map(lambda values: values.transpose("chain", "draw", ...))


def stuck_everywhere(posterior):
    return xr.zeros_like(posterior) + posterior.isel(draw=0, chain=0, drop=True)


def slow_scale(posterior):
    """One hyperparameter wanders: its draws are the running mean of 200 independent ones."""
    values = posterior["difficulty_kernel_sd"].values
    kernel = np.ones(200) / 200
    posterior["difficulty_kernel_sd"].values[:] = [np.convolve(row, kernel, mode="same") for row in values]
    return posterior


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (shifted_chain, "r-hat above 1.01 for"),
        (stuck_chain, "r-hat above 1.01 for"),
        (stuck_everywhere, "r-hat above 1.01 for"),
        (slow_scale, "ESS bulk below 400 for difficulty_kernel_sd"),
    ],
)
def test_bad_draws_fail(good, data, damage, complaint):
    gate = convergence_gate(with_posterior(good, damage), data)
    assert not gate.passed
    assert any(complaint in text for text in gate.complaints)
    assert gate.verdict.startswith("The draws FAIL the convergence gate")
    assert gate.verdict.count("\n") == 0


def test_a_single_shifted_scale_fails(good, data):
    def shift(posterior):
        posterior["discrimination_mean"][1] += 0.1
        return posterior

    gate = convergence_gate(with_posterior(good, shift), data)
    assert any("discrimination_mean" in text for text in gate.complaints)


def test_a_log_density_that_does_not_mix_fails(good, data):
    drifting = np.sort(good.sample_stats["lp"].values, axis=1)
    gate = convergence_gate(with_stats(good, lp=drifting), data)
    assert any("log density" in text for text in gate.complaints)


@pytest.mark.parametrize(("divergent", "passes"), [(4, True), (5, False), (400, False)])
def test_divergences(good, data, divergent, passes):
    """0.1 % of 4000 draws are 4."""
    diverging = (np.arange(CHAINS * DRAWS) < divergent).reshape(CHAINS, DRAWS)
    gate = convergence_gate(with_stats(good, diverging=diverging), data)
    assert gate.passed == passes
    assert gate.divergent == divergent / 4000
    assert len(gate.complaints) == (not passes)
    assert all("diverged" in text for text in gate.complaints)


def test_two_chains_are_not_enough(good, data):
    part = replace(
        good, posterior=good.posterior.isel(chain=[0, 1]), sample_stats=good.sample_stats.isel(chain=[0, 1])
    )
    gate = convergence_gate(part, data)
    assert gate.complaints == ("2 chains are fewer than 4",)


def test_the_traits_coordinates_do_not_matter(good, data):
    """The specific traits turned, or their signs flipped, are the same model and get the same verdict."""
    gate = convergence_gate(good, data)
    for turn in (ortho_group(TRAITS - 1, seed=1).rvs(), np.diag([-1.0, 1.0])):
        whole = np.eye(TRAITS)
        whole[1:, 1:] = turn

        def rotate(posterior, whole=whole):
            for name in ("ability", "discrimination"):
                posterior[name].values[:] = posterior[name].values @ whole
            posterior["discrimination_weight"].values[:] = whole.T @ posterior["discrimination_weight"].values
            return posterior

        turned = convergence_gate(with_posterior(good, rotate), data)
        assert turned.table["name"].tolist() == gate.table["name"].tolist()
        # Ranks of single-precision values may swap.
        np.testing.assert_allclose(turned.table["r_hat"], gate.table["r_hat"], atol=1e-4)
        np.testing.assert_allclose(turned.table["ess_bulk"], gate.table["ess_bulk"], rtol=0.02)


def test_one_rotation_in_one_chain_does_not_matter_either(good, data):
    """Raw loadings would tell the chains apart; what is looked at must not."""

    def flip(posterior):
        for name in ("ability", "discrimination"):
            posterior[name].values[0, :, :, 1] *= -1
        posterior["discrimination_weight"].values[0, :, 1] *= -1
        return posterior

    assert convergence_gate(with_posterior(good, flip), data).passed


def test_same_seed_same_quantities(good, data):
    names = [convergence_gate(good, data, seed=seed).table["name"].tolist() for seed in (1, 1, 2)]
    assert names[0] == names[1] != names[2]


def test_a_real_fit_that_is_too_short_fails(small_fit):
    assert isinstance(small_fit.gate, ConvergenceGate)
    assert not small_fit.gate.passed
    assert small_fit.gate.chains == 4


def test_cells_cover_tasks_llms_answered_and_unanswered():
    rng = np.random.default_rng(0)
    # One large task and many small ones, one LLM that answered little.
    task = np.repeat([f"t{k}" for k in range(9)], [400, *[10] * 8])
    answered = rng.random((len(task), 7)) < 0.9
    answered[:, 3] = rng.random(len(task)) < 0.05
    query, llm = stratified_cells(task, answered, 300, rng)
    assert len(query) == len(llm) == 300
    assert answered[query, llm][::2].all()
    assert not answered[query, llm][1::2].any()
    # Expected 33 a task and 43 an LLM; fewer than 10 have a probability below 1e-5 each.
    assert min(np.unique(task[query], return_counts=True)[1]) >= 10
    assert len(np.unique(task[query])) == 9
    assert min(np.bincount(llm, minlength=7)) >= 10


@pytest.mark.parametrize("all_are", [True, False])
def test_cells_of_the_other_kind_stand_in(all_are):
    answered = np.full((5, 3), all_are)
    query, llm = stratified_cells(np.array(list("aabbc")), answered, 40, np.random.default_rng(0))
    assert len(query) == 40
    assert set(query.tolist()) == set(range(5))
    assert set(llm.tolist()) == set(range(3))
