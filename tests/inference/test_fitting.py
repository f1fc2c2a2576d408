import json

import numpy as np
import pytest
import xarray as xr

from bayes_irt_router.data.canonical import data_fingerprint
from bayes_irt_router.data.cost import CostModel, fit_cost
from bayes_irt_router.errors import InputError
from bayes_irt_router.inference.fitting import fit, text_hashes
from bayes_irt_router.inference.nuts import NUTS
from bayes_irt_router.irt.mirt import MIRT

TINY = NUTS(draws=20, tune=20, chains=2, max_tree_depth=3)


def refused(data, model=None, **options):
    """The problems of a fit that must end before it samples."""
    with pytest.raises(InputError) as caught:
        fit(model or MIRT(traits=2), data, TINY, progress=False, **options)
    return caught.value.problems


def silence(data, *, llms=(), queries=()):
    """The same data without the answers of some LLMs, or to some queries."""
    data = data.copy(deep=True)
    data["score"][:, list(llms)] = np.nan
    data["trials"][:, list(llms)] = 0
    data["score"][list(queries)] = np.nan
    data["trials"][list(queries)] = 0
    return data


def test_a_fit_has_all_that_prediction_needs(small_fit, bank):
    data, draws = bank(), small_fit.draws
    assert data["score"].isnull().any()  # so this is a fit with missing cells
    assert small_fit.llm == data["llm"].values.tolist()
    assert small_fit.size == 400
    dims = {
        "ability": ("llm", "trait"),
        "discrimination": ("query", "trait"),
        "discrimination_weight": ("trait", "feature"),
        "difficulty": ("query",),
        "difficulty_weight": ("feature",),
        "difficulty_mean": (),
        "difficulty_residual_sd": (),
        "discrimination_residual_sd": ("trait_kind",),
        "discrimination_residual_slope": ("specific",),
        "ability_frame": ("raw_trait", "trait"),
    }
    for name, own in dims.items():
        assert draws[name].dims == ("chain", "draw", *own)
        assert draws[name].dtype == np.float32
        assert np.isfinite(draws[name].values).all()
    assert draws["feature"].values.tolist() == small_fit.feature_map.feature_names
    assert draws["query"].values.tolist() == data["query"].values.tolist()


def test_abilities_are_framed_in_every_draw(small_fit):
    ability = small_fit.draws["ability"].values.reshape(-1, 6, 2)
    np.testing.assert_allclose(ability.mean(axis=1), 0.0, atol=1e-4)
    np.testing.assert_allclose(
        np.einsum("sjd,sje->sde", ability, ability) / 6, np.tile(np.eye(2), (400, 1, 1)), atol=1e-3
    )


def test_the_record_is_json_and_says_how_the_fit_came_about(small_fit, bank):
    record, data = json.loads(json.dumps(small_fit.record, allow_nan=False)), bank()
    assert record == small_fit.record
    assert record["kind"] == "mirt"
    assert MIRT.from_dict(record["model"]) == MIRT(traits=2)
    sampler = NUTS(draws=100, tune=100, chains=4, max_tree_depth=5)
    assert NUTS(**record["sampler"]) == sampler.for_answers(int(data["trials"].sum()))
    assert record["seed"] == 1
    assert record["encoder"] == {"name": "clustered vectors", "revision": "1"}
    assert record["data"]["fingerprint"] == data_fingerprint(data)
    assert record["data"]["responses"] == int(data["trials"].sum())
    assert record["data"]["splits"] == ["test", "train"]
    assert CostModel.from_dict(record["cost"]).to_dict() == fit_cost(data).to_dict()
    assert 1 <= record["leapfrog_steps"] <= 31
    assert record["versions"]["pymc"]


def test_queries_and_llms_are_described_without_texts_or_responses(small_fit, bank):
    data, queries, llms = bank(), small_fit.tree["queries"].to_dataset(), small_fit.tree["llms"].to_dataset()
    assert queries["task"].values.tolist() == data["task"].values.tolist()
    assert queries["text_hash"].values.tolist() == text_hashes(data["text"].values.tolist())
    np.testing.assert_array_equal(queries["embedding"].values, data["embedding"].values)
    np.testing.assert_allclose(llms["mean_score"].values, np.nanmean(data["score"].values, axis=0))
    assert llms["answers"].values.tolist() == (data["trials"].values > 0).sum(axis=0).tolist()
    assert llms["family"].values.tolist() == data["family"].values.tolist()
    for group in small_fit.tree.children.values():
        assert "text" not in group.to_dataset().variables
        assert all({"query", "llm"} - set(v.dims) for v in group.to_dataset().variables.values())


def test_texts_are_kept_when_asked_for(small_fit, bank):
    assert small_fit.texts == tuple(bank()["text"].values)


def test_hashes_tell_texts_apart():
    hashes = text_hashes(["a", "b", "a", "a "])
    assert hashes[0] == hashes[2]
    assert len(set(hashes)) == 3
    assert text_hashes(["half a pair: \ud83d"])[0] == text_hashes(["half a pair: \ud83d"])[0]


def test_a_silent_llm_and_unanswered_queries_are_told_at_once(bank):
    problems = refused(silence(bank(), llms=[1, 4], queries=[0, 7, 9]))
    assert len(problems) == 2
    assert "No answers of brackenfold-3b, ostrel-72b are left" in problems[0]
    assert "3 queries have no answers" in problems[1]


@pytest.mark.parametrize("traits", [3, 5, 8])
def test_too_few_llms(bank, traits):
    (problem,) = refused(bank().isel(llm=slice(4)), MIRT(traits=traits))
    assert f"{traits} traits need at least {traits + 2} LLMs, the data have 4" in problem


def test_too_few_queries(bank):
    (problem,) = refused(bank().isel(query=slice(7)))
    assert "at least 8 queries" in problem


def test_data_without_features(bank):
    (problem,) = refused(bank().drop_vars(["embedding", "surface"]))
    assert "call featurize" in problem


def test_prices_without_output_tokens(bank):
    (problem,) = refused(bank().drop_vars("output_tokens"))
    assert "assume_output_tokens" in problem


def test_covariates_that_the_data_lack(bank):
    for model, column in (
        (MIRT(traits=2, covariates=("release_date",)), "release_date"),
        (MIRT(traits=2, families=True), "family"),
    ):
        (problem,) = refused(bank().drop_vars(column), model)
        assert column in problem


@pytest.mark.slow
def test_same_seed_same_fit(bank):
    first, second, other = (
        fit(MIRT(traits=2), bank(), TINY, seed=seed, progress=False) for seed in (3, 3, 4)
    )
    xr.testing.assert_equal(first.draws, second.draws)
    assert not np.array_equal(first.draws["ability"], other.draws["ability"])


@pytest.mark.slow
def test_every_variant_and_graded_scores_can_be_fitted(bank):
    data = bank()
    graded = data.assign(score=data["score"] * 0.7 + 0.13)
    model = MIRT(traits=2, covariates=("release_date", "log_price"), families=True)
    posterior = fit(model, graded, TINY, progress=False)
    assert {"covariate_weight", "family_sd", "family_effect", "score_precision"} <= set(posterior.draws)
    assert all(np.isfinite(values).all() for values in posterior.draws.values())
