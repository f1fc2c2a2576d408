"""Recovery of the answer-length model, and what it says of LLMs without counts."""

import numpy as np
import pytest
import xarray as xr

from bayes_irt_router.inference.answer_length_sampling import observed_lengths, sample_answer_lengths
from bayes_irt_router.irt.answer_length import UNMODELLED, answer_length_distribution, with_later_llm

NAN = float("nan")


def simulated(rng, queries=300, llms=8, uncounted=0):
    """Data of the model itself, and the same queries' lengths drawn for a second answer."""
    features = rng.standard_normal((queries, 5))
    novelty = rng.random(queries)
    mean = rng.normal(5, 0.4, llms) + (features @ [0.3, -0.2, 0.1, 0.0, 0.0])[:, None]
    mean += features @ rng.normal(0, 0.1, (5, llms))
    mean += rng.normal(0, 0.2 * np.sqrt(1 + novelty))[:, None]
    sd = np.linspace(0.2, 0.5, llms)
    tokens = np.exp(mean + sd * rng.standard_normal(mean.shape))
    tokens[rng.random(tokens.shape) < 0.1] = NAN
    if uncounted:
        tokens[:, -uncounted:] = NAN
    return xr.Dataset(
        {
            "output_tokens": (("query", "llm"), tokens),
            "features": (("query", "feature"), features),
            "novelty": ("query", novelty),
        },
        coords={
            "llm": [f"m{j}" for j in range(llms)],
            "feature": [f"f{k}" for k in range(5)],
            "feature_group": ("feature", ["surface"] * 2 + ["kernel"] * 3),
        },
    )


def predicted(draws, data):
    return answer_length_distribution(draws, data["features"].values, data["novelty"].values)


@pytest.fixture(scope="module")
def data():
    return simulated(np.random.default_rng(0))


@pytest.fixture(scope="module")
def draws(data):
    return sample_answer_lengths(data.isel(query=slice(200)), np.random.default_rng(1), components=5)


def test_unseen_lengths_are_inside_their_intervals_as_often_as_stated(draws, data):
    unseen = data.isel(query=slice(200, None))
    rng = np.random.default_rng(2)
    distribution = predicted(draws, unseen)
    replicated = distribution.replicated(distribution.residuals(rng), rng)
    lower, upper = np.quantile(replicated, [0.055, 0.945], axis=0)
    tokens = unseen["output_tokens"].values
    seen = ~np.isnan(tokens)
    coverage = ((tokens >= lower) & (tokens <= upper))[seen].mean()
    # 100 queries, 720 cells correlated within queries: an SD of about 0.02; 3.5 SDs.
    assert coverage == pytest.approx(0.89, abs=0.07)


def test_it_predicts_better_than_the_llms_mean(draws, data):
    train, unseen = data.isel(query=slice(200)), data.isel(query=slice(200, None))
    tokens = unseen["output_tokens"].values
    seen = ~np.isnan(tokens)
    ours = np.abs(tokens - predicted(draws, unseen).expected().mean(axis=0))[seen].mean()
    mean = np.abs(tokens - np.nanmean(train["output_tokens"].values, axis=0))[seen].mean()
    assert ours < 0.9 * mean


def test_noise_is_recovered(draws):
    mean = draws["noise_sd"].values.mean(axis=0)
    # Each SD rests on 180 answers: a relative error of about 5 %; 4 SDs.
    assert mean == pytest.approx(np.linspace(0.2, 0.5, 8), rel=0.22)
    assert float(draws["r_hat"]) < 1.3  # 107 quantities of short chains


def test_an_llm_without_counts_is_one_of_the_population():
    data = simulated(np.random.default_rng(3), queries=80, uncounted=1)
    draws = sample_answer_lengths(data, np.random.default_rng(4), components=3)
    assert draws["counted"].values[-1] == 0
    assert draws["unit"].values[-1] == "nothing"
    distribution = predicted(draws, data)
    spread = np.log(distribution.expected()).std(axis=0).mean(axis=0)
    assert spread[-1] > 3 * spread[:-1].max()


def test_recorded_costs_replace_tokens_llm_by_llm():
    data = simulated(np.random.default_rng(5), queries=40, llms=3)
    cost = np.full((40, 3), NAN)
    cost[:, 1] = 1e-4 * data["output_tokens"].values[:, 1]
    lengths = observed_lengths(data.assign(cost_usd=(("query", "llm"), cost)))
    assert lengths.unit == ("tokens", "usd", "tokens")
    assert lengths.offset[0] == lengths.offset[2] > 0 > lengths.offset[1]


def test_nothing_to_learn_from_is_no_model():
    data = simulated(np.random.default_rng(6), queries=40).drop_vars("output_tokens")
    assert sample_answer_lengths(data, np.random.default_rng(0)) is None


def test_same_generator_same_draws():
    data = simulated(np.random.default_rng(7), queries=40, llms=3)
    first, second = (
        sample_answer_lengths(data, np.random.default_rng(1), warm_up=10, draws=5) for _ in range(2)
    )
    xr.testing.assert_identical(first, second)


@pytest.fixture(scope="module")
def of_the_others(data):
    """The posterior of all LLMs but the last, and the mean tokens of all."""
    known = data.isel(query=slice(200))
    mean = known["output_tokens"].mean("query").values
    return sample_answer_lengths(known.isel(llm=slice(-1)), np.random.default_rng(2), components=5), mean


def test_an_llm_that_comes_later_varies_as_the_others_do_around_its_own_mean(of_the_others, data):
    others, mean = of_the_others
    draws = with_later_llm(others, "m7", mean[-1], mean[:-1])
    unseen = data.isel(query=slice(200, None))
    distribution = predicted(draws, unseen)
    assert distribution.expected()[:, :, -1].mean() == pytest.approx(mean[-1], rel=0.2)
    rng = np.random.default_rng(3)
    replicated = distribution.replicated(distribution.residuals(rng), rng)[:, :, -1]
    tokens = unseen["output_tokens"].values[:, -1]
    lower, upper = np.quantile(replicated, [0.055, 0.945], axis=0)
    inside = ((lower < tokens) & (tokens < upper))[~np.isnan(tokens)]
    # Of about 90 queries; its noise is the largest of the LLMs', so that intervals of the population's noise are narrower than nominal.
    assert 0.7 < inside.mean() < 1.0
    np.testing.assert_array_equal(distribution.mean[:, :, :-1], predicted(others, unseen).mean)


def test_a_later_llm_of_unknown_length_is_any_of_the_others(of_the_others):
    others, mean = of_the_others
    unknown = with_later_llm(others, "new", NAN, mean[:-1])["intercept"].values
    fitted = others["intercept"].values.mean(axis=0)
    assert unknown[:, -1].std() == pytest.approx(fitted.std(), rel=0.2)
    known = with_later_llm(others, "new", 100.0, mean[:-1])["intercept"].values
    assert known[:, -1].std() < 0.5 * unknown[:, -1].std()


def test_a_later_llm_is_told_anew_and_a_counted_one_is_not(of_the_others):
    others, mean = of_the_others
    once = with_later_llm(others, "new", 100.0, mean[:-1])
    again = with_later_llm(once, "new", 200.0, np.append(mean[:-1], 100.0))
    moved = again["intercept"].values - once["intercept"].values
    np.testing.assert_allclose(moved[:, -1], np.log(2.0), atol=1e-5)
    np.testing.assert_array_equal(moved[:, :-1], 0.0)
    assert with_later_llm(others, "m3", 7.0, mean[:-1]).identical(others)
    none = with_later_llm(others, "new", 100.0, mean[:-1], modelled=False)
    assert none["unit"].values[-1] == UNMODELLED
    assert np.isnan(none["intercept"].values[:, -1]).all()
