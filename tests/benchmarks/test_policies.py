"""What the benchmark of policies computes, on made-up folds: no model is fitted and none is read."""

import importlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from bayes_irt_router.evaluation.policy_outcomes import Answered, Outcomes, Setting
from bayes_irt_router.routing.correctness_policies import MinSuccess
from bayes_irt_router.routing.utility_policies import ExpectedUtility

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
LLMS = ("cheap", "good", "o1-mini")
INPUT_USD = np.array([1.0, 2.0, 3.0]) * 100 / 1e6  # 100 tokens at 1, 2 and 3 USD a million


@pytest.fixture
def policies(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("policies")


@pytest.fixture
def answered():
    """Twenty queries of 100 input and 1,000 output tokens; the dearer LLM is right more often."""
    shape = (20, 3)
    data = xr.Dataset(
        {
            "score": (("query", "llm"), (np.arange(20)[:, None] % 4 < [1, 2, 3]).astype(float)),
            "input_tokens": (("query", "llm"), np.full(shape, 100.0)),
            "output_tokens": (("query", "llm"), np.full(shape, 1000.0)),
        },
        coords={
            "query": [f"q{k}" for k in range(20)],
            "text": ("query", np.array(["x" * 400] * 20, dtype=object)),
            "llm": list(LLMS),
            "input_price_per_million": ("llm", [1.0, 2.0, 3.0]),
            "output_price_per_million": ("llm", [1.0, 5.0, 10.0]),
        },
    )
    cost = np.tile(INPUT_USD + np.array([1.0, 5.0, 10.0]) * 1000 / 1e6, (20, 1))
    return Answered(data, LLMS, data["score"].values, cost, ())


def outcomes_of(choice, answered):
    row, draws = np.arange(len(choice)), np.zeros(2)
    return Outcomes(choice, np.full(len(choice), 0.5), answered.cost_usd[row, choice], *[draws] * 4)


@pytest.fixture
def fold(policies, answered):
    """Expected utility goes from the cheapest LLM for all queries to the most accurate one for all."""
    choices = [np.zeros(20, int), np.repeat([0, 1], 10), np.full(20, 2)]
    settings = tuple(Setting(ExpectedUtility(), alpha) for alpha in (0.0, 0.5, 1.0))
    found = tuple(outcomes_of(choice, answered) for choice in choices)
    return policies.Fold(answered, "good", settings, found, found[0])


def test_more_output_tokens_leave_the_cost_of_input_as_it_is(policies, answered):
    (without, none), (dearer, factor) = policies.hidden_variants(answered, None).values()
    assert (without.llm, none, factor) == (LLMS[:2], {}, {"o1-mini": 4.0})
    np.testing.assert_allclose(dearer.cost_usd[:, :2], answered.cost_usd[:, :2])
    output = answered.cost_usd[:, 2] - INPUT_USD[2]
    np.testing.assert_allclose(dearer.cost_usd[:, 2], INPUT_USD[2] + 4 * output)


def test_assumed_output_tokens_are_multiplied_too(policies, answered):
    bare = replace(answered, queries=answered.queries.drop_vars("output_tokens"))
    cost = policies.cost_with_more_output(bare, {"good": 2.0}, 1000)
    np.testing.assert_allclose(cost[:, 0], answered.cost_usd[:, 0])
    np.testing.assert_allclose(cost[:, 1], INPUT_USD[1] + 2 * (answered.cost_usd[:, 1] - INPUT_USD[1]))


def held(policies, found, milliseconds=(100.0, 5.0, 1.0)):
    """Whether each criterion holds, by its words."""
    decision = {
        "milliseconds": dict(zip(("embed_one", "predict_one", "decide_one"), milliseconds, strict=True))
    }
    table = policies.checks(found, {}, decision)
    return dict(zip(table["what"], table["holds"], strict=True))


def one(told, words):
    (found,) = [holds for what, holds in told.items() if words in what]
    return found


def test_the_sweep_runs_from_the_cheapest_to_the_dearest_useful_choice(policies, fold):
    found = policies.report([fold], 0, resamples=20)
    ends = found["sweep_ends"]
    cost = fold.answered.cost_usd[0]
    assert ends["ratio"] == pytest.approx(cost[2] / cost[0])
    assert ends["cheapest_usd"] == pytest.approx(cost[0])
    assert ends["most_accurate_alone_usd"] == pytest.approx(cost[2])
    told = held(policies, found)
    ends_hold = ("at alpha 1 / at alpha 0", "cheapest possible", "most accurate LLM alone")
    assert all(one(told, words) for words in ("never falls", *ends_hold))


def test_a_sweep_that_alpha_hardly_moves_is_told(policies, fold):
    stuck = outcomes_of(np.ones(20, int), fold.answered)
    found = policies.report([replace(fold, found=(stuck,) * 3)], 0, resamples=20)
    told = held(policies, found)
    assert not one(told, "at alpha 1 / at alpha 0")
    assert not one(told, "cheapest possible")


def test_the_mixture_is_compared_at_the_same_share_and_on_the_same_queries(policies, fold):
    choice = np.where(
        fold.answered.score[:, 0] > 0, 0, -1
    )  # answers what the cheap LLM gets right, and nothing else
    some = outcomes_of(np.maximum(choice, 0), fold.answered)
    selective = replace(
        some,
        choice=choice,
        promised=np.where(choice < 0, np.nan, 0.8),
        expected_cost=np.where(choice < 0, np.nan, some.expected_cost),
    )
    chosen = replace(
        fold,
        settings=(*fold.settings, Setting(MinSuccess(0.8), 0.5)),
        found=(*fold.found, selective),
    )
    found = policies.report([chosen], 0, resamples=20)
    (row,) = found["risk_coverage"]
    # The same queries cost the cheap LLM just as much; queries drawn at random need a better one.
    assert row["saving_same_queries"] == pytest.approx(0.0)
    assert row["saving_same_share"] > 0.5
    told = held(policies, found)
    assert [what for what in told if "other queries drawn at random" in what]
    assert [what for what in told if "on the same queries" in what]


@pytest.mark.parametrize(("predicting", "holds"), [(8.0, True), (9.5, False)])
def test_a_decision_is_timed_with_its_prediction(policies, fold, predicting, holds):
    told = held(policies, policies.report([fold], 0, resamples=20), (100.0, predicting, 1.0))
    assert one(told, "(prediction + decision) / embedding") == holds
