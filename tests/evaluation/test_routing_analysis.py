"""Choices by decile of difficulty: a division of what the overall scores are computed from."""

import json
from itertools import pairwise

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from bayes_irt_router.data.cost import fit_cost
from bayes_irt_router.evaluation.choice_scores import curve_scores, routing_scores
from bayes_irt_router.evaluation.choices import CURVE_ALPHAS, TrainingFacts, choose_llms
from bayes_irt_router.evaluation.evaluate import evaluation_of
from bayes_irt_router.evaluation.routing_analysis import (
    MEASURES,
    by_difficulty,
    decile_records,
    decile_table,
    deciles,
)

ALPHAS = (0.8, 0.2)


@pytest.fixture(scope="module")
def judged(bank) -> xr.Dataset:
    """57 queries that all answered, the later the harder; the better an LLM, the dearer."""
    data = bank(queries=57)
    rng = np.random.default_rng(0)
    p = np.clip(np.linspace(1.1, 0.0, 57)[:, None] * np.linspace(0.4, 0.95, 6), 0.02, 0.98)
    score = data["score"].copy(data=(rng.random(p.shape) < p).astype(float))
    cost = data["score"].copy(data=np.broadcast_to(np.arange(1.0, 7.0), p.shape).copy())
    data = data.assign(score=score, trials=data["trials"].clip(min=1), cost_usd=cost)
    model, means = fit_cost(data), dict(zip(data["llm"].values.astype(str), p.mean(axis=0), strict=True))
    facts = TrainingFacts(model.known_cost(data["text"].values.tolist()), model.scale_usd, None, means)
    predictions = {"model": p, "other": rng.random(p.shape)}
    chosen = choose_llms(data, facts, predictions, sorted({*ALPHAS, *CURVE_ALPHAS}), rng)
    assert isinstance(chosen, xr.Dataset)
    return chosen.merge(
        xr.Dataset(
            {
                "p": (("predictor", "query", "llm"), np.stack(list(predictions.values()))),
                "score": (("query", "llm"), score.values),
                "trials": (("query", "llm"), data["trials"].values),
                "replicated_right": (("predictor", "replication", "bin"), np.ones((2, 4, 15))),
                "replicated_accuracy": (("predictor", "replication", "llm"), rng.random((2, 4, 6))),
            },
            coords={"llm": data["llm"].values.astype(str), "task": ("query", data["task"].values)},
        ),
        combine_attrs="no_conflicts",
    )


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60), st.integers(1, 12))
def test_parts_are_ordered_and_equally_large(difficulty, parts):
    part = deciles(np.array(difficulty), parts)
    sizes = np.bincount(part, minlength=parts)
    assert len(sizes) == parts
    assert sizes.max() - sizes.min() <= 1
    ends = [np.array(difficulty)[part == k] for k in np.unique(part)]
    assert len(part) == len(difficulty)
    assert all(low.max() <= high.min() for low, high in pairwise(ends))


@pytest.mark.parametrize("method", ["model", "other"])
@pytest.mark.parametrize("alpha", ALPHAS)
def test_deciles_add_up_to_the_overall_scores(judged, method, alpha):
    table = by_difficulty([judged], method, alpha)
    weight = table["queries"].to_numpy()
    assert weight.sum() == 57
    overall = routing_scores([judged], ALPHAS)[method][f"{alpha:g}"]
    regret = curve_scores([judged], ALPHAS)[method][f"regret_{alpha:g}"]
    assert np.average(table["accuracy"], weights=weight) == pytest.approx(overall.accuracy)
    assert np.average(table["cost_usd"], weights=weight) * 57 == pytest.approx(overall.cost_usd)
    assert np.average(table["regret"], weights=weight) == pytest.approx(regret)
    assert (table["regret"] >= -1e-9).all()
    shares = table.drop(columns=list(MEASURES))
    np.testing.assert_allclose(shares.sum(axis=1), 1.0)
    taken = judged["candidate"].values[judged["chosen"].sel(predictor=method, alpha=alpha).values]
    for name, column in shares.items():
        assert np.average(column, weights=weight) == pytest.approx((taken == name).mean())


def test_difficulty_is_rated_by_the_model_for_all_methods_alike(judged):
    own, other = (by_difficulty([judged], method, 0.8) for method in ("model", "other"))
    np.testing.assert_array_equal(own["difficulty"], other["difficulty"])
    assert own["difficulty"].is_monotonic_increasing
    assert own["accuracy"].iloc[0] > own["accuracy"].iloc[-1]


def test_sets_are_divided_together(judged):
    easy, hard = judged.isel(query=slice(30)), judged.isel(query=slice(30, None))
    both = by_difficulty([hard, easy], "model", 0.2)
    whole = by_difficulty([judged], "model", 0.2)
    np.testing.assert_allclose(both["difficulty"], whole["difficulty"])
    np.testing.assert_allclose(both["accuracy"], whole["accuracy"])


def test_the_records_are_json_and_hold_what_the_table_holds(judged):
    table = by_difficulty([judged], "model", 0.8)
    records = json.loads(json.dumps(decile_records(table)))
    assert [record["decile"] for record in records] == list(range(1, 11))
    for record, (_, row) in zip(records, table.iterrows(), strict=True):
        assert {name: record[name] for name in MEASURES} == row[list(MEASURES)].to_dict()
        assert sum(record["llms"].values()) == pytest.approx(1.0)
        assert all(row[name] == share > 0 for name, share in record["llms"].items())
    assert decile_table(table)["LLMs"].str.contains("%").all()


def test_an_evaluation_holds_them_for_each_alpha(judged):
    found = evaluation_of(judged, ALPHAS, [])
    assert set(found.to_dict()["by_difficulty"]) == {"0.8", "0.2"}
    titles = [title for title, _ in found.difficulty_tables()]
    assert titles == [f"The model's choices by decile of difficulty, alpha {alpha:g}" for alpha in ALPHAS]
