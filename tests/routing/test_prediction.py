from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from scipy.stats import norm

from bayes_irt_router.errors import InputError
from bayes_irt_router.inference.stacking import members, stack
from bayes_irt_router.routing.prediction import predict, predict_in_batches

ERROR_RATE = 1e-4  # of each Monte Carlo test below, over all its comparisons (Bonferroni)
# The stated error of the integral over the residuals; the NIRT takes its logit as normal, with the exact mean and SD.
QUADRATURE = {"mirt": 2e-4, "nirt": 5e-3}
ARRAYS = ("p_correct", "p_correct_conditional")

# Every backend that predicts: the name of the fixture that gives its fitted model.
BACKENDS = ["small_fit", "small_nirt", "small_stack"]


@pytest.fixture(params=BACKENDS)
def posterior(request):
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def queries(bank):
    """Queries that were not fitted."""
    return bank(40, seed=11)


def generator():
    return np.random.default_rng(7)


def test_dims_coords_and_values(posterior, queries):
    prediction = predict(posterior, queries, generator())
    draws = posterior.draws
    assert set(prediction.data_vars) == {*ARRAYS, "familiarity"}
    for name in ARRAYS:
        array = prediction[name]
        assert array.dims == ("chain", "draw", "query", "llm")
        assert np.isfinite(array.values).all()
        assert ((array.values >= 0) & (array.values <= 1)).all()
        assert array["query"].values.tolist() == queries["query"].values.tolist()
        assert array["llm"].values.tolist() == posterior.llm
        for dim in ("chain", "draw"):
            np.testing.assert_array_equal(array[dim], draws[dim])
    assert prediction["familiarity"].dims == ("query",)
    assert ((prediction["familiarity"] >= 0) & (prediction["familiarity"] <= 1)).all()


def test_dims_never_clash_with_arviz(posterior, queries):
    assert {"sample", "model"} & set(predict(posterior, queries, generator()).dims) == set()


def test_integrating_uses_no_random_numbers_and_conditioning_does(posterior, queries):
    first, second = (predict(posterior, queries, np.random.default_rng(seed)) for seed in (0, 1))
    xr.testing.assert_equal(first["p_correct"], second["p_correct"])
    assert not np.array_equal(first["p_correct_conditional"], second["p_correct_conditional"])
    xr.testing.assert_equal(predict(posterior, queries, np.random.default_rng(0)), first)


def test_conditional_predictions_average_to_the_integrated_one(posterior, queries):
    repeats, few = 3000, posterior.thin(posterior.draws.sizes["chain"])
    repeated = predict(few, queries.isel(query=np.repeat([3, 20], repeats)), generator())
    conditional = repeated["p_correct_conditional"].values.reshape(few.size, 2, repeats, -1)
    integrated = repeated["p_correct"].values.reshape(few.size, 2, repeats, -1)
    np.testing.assert_allclose(integrated, integrated[:, :, :1] * np.ones((1, 1, repeats, 1)), atol=1e-5)
    error = conditional.std(axis=2) / np.sqrt(repeats)
    difference = np.abs(conditional.mean(axis=2) - integrated[:, :, 0])
    exact = max(QUADRATURE[one.record["kind"]] for one in members(posterior))
    assert (difference < norm.isf(ERROR_RATE / 2 / difference.size) * error + exact).all()


def test_conditional_draws_spread_wider(posterior, queries):
    prediction = predict(posterior, queries, generator())
    spread = {name: prediction[name].std(("chain", "draw")).mean().item() for name in ARRAYS}
    assert spread["p_correct_conditional"] > spread["p_correct"]


def with_ability(posterior, ability):
    groups = {name: node.to_dataset() for name, node in posterior.tree.children.items()}
    dims = groups["posterior"]["ability"].dims
    groups["posterior"] = groups["posterior"].assign(ability=(dims, ability))
    return replace(posterior, tree=xr.DataTree.from_dict(groups))


def test_residuals_are_shared_by_the_llms(small_fit, queries):
    """Two LLMs of equal ability get equal predictions, draw by draw; their residuals are the query's own."""

    ability = small_fit.draws["ability"].values.copy()
    ability[:, :, 1] = ability[:, :, 0]
    prediction = predict(with_ability(small_fit, ability), queries, generator())
    for name in ARRAYS:
        np.testing.assert_allclose(prediction[name][..., 0], prediction[name][..., 1], atol=1e-6)


def test_residuals_differ_between_queries_and_draws(posterior, queries):
    twice = predict(posterior, queries.isel(query=[0, 0]), generator())["p_correct_conditional"]
    assert (np.abs(twice[:, :, 0] - twice[:, :, 1]) > 1e-6).all()


def test_batches_equal_the_whole(posterior, queries):
    whole = predict(posterior, queries, generator())
    for size in (1, 7, 40, 100):
        parts = list(predict_in_batches(posterior, queries, generator(), batch=size))
        assert [part.sizes["query"] for part in parts[:-1]] == [size] * (len(parts) - 1)
        joined = xr.concat(parts, dim="query", data_vars="minimal")
        assert joined["query"].values.tolist() == queries["query"].values.tolist()
        for name in ("p_correct", "familiarity"):
            np.testing.assert_allclose(joined[name], whole[name], atol=1e-5)


def test_the_order_of_queries_does_not_matter(posterior, queries):
    turned = predict(posterior, queries.isel(query=slice(None, None, -1)), generator())
    straight = predict(posterior, queries, generator())
    np.testing.assert_allclose(turned["p_correct"][:, :, ::-1], straight["p_correct"], atol=1e-5)


def test_answers_are_not_looked_at(posterior, queries):
    bare = queries.drop_vars(["score", "trials", "output_tokens", "input_tokens"])
    first, second = (predict(posterior, data, generator()) for data in (bare, queries))
    xr.testing.assert_equal(first, second)


def test_strange_queries_are_less_familiar_and_less_certain(small_fit, queries):
    strange = queries.assign(embedding=-3.0 * queries["embedding"])
    familiar = predict(small_fit, queries, generator())
    unfamiliar = predict(small_fit, strange, generator())
    assert unfamiliar["familiarity"].max() < familiar["familiarity"].mean()
    logits = [
        np.log(p / (1 - p)).std(("chain", "draw")).mean().item()
        for p in (d["p_correct_conditional"].clip(1e-6, 1 - 1e-6) for d in (familiar, unfamiliar))
    ]
    assert logits[1] > logits[0]


def test_queries_without_features_are_refused(posterior, queries):
    with pytest.raises(InputError, match="no embedding"):
        predict(posterior, queries.drop_vars("embedding"), generator())


def test_a_stack_holds_the_draws_of_its_models_in_turn(small_fit, small_nirt, queries):
    """Every other draw is the MIRT's; the NIRT has 40 draws, and each is there five times."""
    mixed = predict(stack([small_fit, small_nirt]), queries, generator())["p_correct"]
    flat = mixed.values.reshape(small_fit.size, *mixed.shape[2:])
    own = predict(small_fit.thin(small_fit.size // 2), queries, generator())["p_correct"].values
    np.testing.assert_array_equal(flat[::2], own.reshape(-1, *own.shape[2:]))
    other = predict(small_nirt, queries, generator())["p_correct"].values.reshape(40, *own.shape[2:])
    nearest = np.abs(flat[1::2, None] - other[None]).max(axis=(2, 3)).argmin(axis=1)
    np.testing.assert_array_equal(flat[1::2], other[nearest])
    assert np.bincount(nearest, minlength=40).tolist() == [5] * 40


def test_a_stack_predicts_what_its_models_predict_on_average(small_fit, small_nirt, queries):
    means = [
        predict(one, queries, generator())["p_correct"].mean(("chain", "draw")).values
        for one in (stack([small_fit, small_nirt]), small_fit, small_nirt)
    ]
    # Half of the MIRT's 400 draws are left out: five standard errors of their mean.
    sd = predict(small_fit, queries, generator())["p_correct"].std(("chain", "draw")).values
    assert (np.abs(means[0] - (means[1] + means[2]) / 2) < 5 * sd / np.sqrt(200)).all()


def test_a_stack_of_a_model_with_itself_changes_nothing_but_the_noise(small_fit, queries):
    alone = predict(small_fit, queries, generator())["p_correct"].mean(("chain", "draw"))
    twice = predict(stack([small_fit, small_fit]), queries, generator())["p_correct"]
    sd = predict(small_fit, queries, generator())["p_correct"].std(("chain", "draw"))
    assert (np.abs(twice.mean(("chain", "draw")) - alone) < 5 * sd / np.sqrt(200)).all()
