"""Explanations and costs through a fitted model."""

import json
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from bayes_irt_router.data.prices import Price
from bayes_irt_router.errors import InputError
from bayes_irt_router.inference.posterior import ANSWER_LENGTH
from bayes_irt_router.irt.response import item_distribution
from bayes_irt_router.routing.correctness_policies import MinSuccess
from bayes_irt_router.routing.cost_prediction import predict_cost
from bayes_irt_router.routing.explanation import NEIGHBOURS, Contribution, difficulty_clause
from bayes_irt_router.routing.item_insight import item_insight
from bayes_irt_router.routing.limits import Limits
from bayes_irt_router.routing.router import Request, Router
from bayes_irt_router.routing.utility_policies import ProbabilityOfImprovement


@pytest.fixture(scope="module")
def queries(bank):
    data = bank(seed=5)
    return data.isel(query=slice(6))


class Table:
    """An encoder that knows the vectors of some texts."""

    name, fingerprint, revision = "clustered vectors", "1", "1"

    def __init__(self, data):
        self.vectors = dict(zip(data["text"].values.tolist(), data["embedding"].values, strict=True))

    def embed(self, texts, *, progress=False):
        return np.stack([self.vectors[text] for text in texts]).astype(np.float32)


@pytest.fixture
def router(small_fit, queries, tmp_path):
    return Router(small_fit, Table(queries), tmp_path / "cache")


@pytest.fixture
def decisions(router, queries):
    return router.route(queries["text"].values.tolist(), explain=True)


def test_contributions_add_up_to_the_difficulty(router, queries, decisions):
    draws = router.posterior.draws
    mapped = router.posterior.feature_map.apply(queries)
    items = item_distribution(draws, *(mapped[name].values for name in ("features", "novelty", "unseen")))
    for query, decision in enumerate(decisions):
        told = decision.explanation
        assert told.difficulty == pytest.approx(items.difficulty_mean[:, query].mean(), abs=1e-4)
        total = told.mean_difficulty + sum(one.mean for one in told.contributions)
        assert total == pytest.approx(told.difficulty, abs=1e-4)
        sizes = [abs(one.mean) for one in told.contributions]
        assert sizes == sorted(sizes, reverse=True)
        assert 0 <= told.difficulty_percentile <= 100


def test_contributions_are_counted_from_the_mean_fitted_query(router, bank):
    # The fitted queries' features lie around their mean, so what each feature adds has mean 0 over them.
    fitted = bank().drop_vars(["score", "trials"])
    insight = item_insight(router.posterior, router.posterior.feature_map.apply(fitted))
    added = np.array([insight.added(query).mean(axis=0) for query in range(fitted.sizes["query"])])
    np.testing.assert_allclose(added.mean(axis=0), 0.0, atol=1e-5)
    mean = insight.difficulty.mean(axis=1)
    np.testing.assert_allclose(insight.reference[:, 0], mean, atol=1e-4)


@pytest.mark.parametrize("percentile", [None, 3.0, 49.0, 51.0, 97.0])
@pytest.mark.parametrize("shift", [-0.4, 0.4])
def test_what_makes_a_query_hard_never_contradicts_how_hard_it_is(shift, percentile):
    parts = (Contribution("length", 3 * shift, 0.1), Contribution("digits", -2 * shift, 0.1))
    clause = difficulty_clause(shift, percentile, parts)
    assert "digits" not in clause
    agrees = percentile is None or (percentile > 50) == (shift > 0)
    assert ("length" in clause) == agrees
    if agrees:
        assert ("harder" if shift > 0 else "easier") in clause


def test_the_runner_up_is_the_next_candidate_and_may_have_been_better(decisions):
    for decision in decisions:
        told = decision.explanation
        assert told.runner_up == decision.candidates[1].llm
        assert 0 <= told.p_runner_up_better <= 1
        assert told.sentences[0].startswith(decision.reason.removesuffix("."))
        assert all(sentence.endswith(".") for sentence in told.sentences)
        json.dumps(decision.to_dict(), allow_nan=False)


def test_neighbours_are_fitted_queries_and_the_nearest_comes_first(router, queries, decisions):
    known = router.posterior.tree["queries"].to_dataset()
    similarity = queries["embedding"].values @ known["embedding"].values.T
    for query, decision in enumerate(decisions):
        neighbours = decision.explanation.neighbours
        assert len(neighbours) == NEIGHBOURS
        assert neighbours[0].query == str(known["query"].values[similarity[query].argmax()])
        found = [one.similarity for one in neighbours]
        assert found == sorted(found, reverse=True)


def test_an_abstention_is_explained_without_a_runner_up(router, queries):
    text = queries["text"].values.tolist()[:1]
    (decision,) = router.route(text, policy=MinSuccess(1.0), explain=True)
    assert decision.llm is None
    assert decision.explanation.runner_up is None
    assert decision.explanation.sentences[0] == decision.reason


def test_costs_have_draws_whose_spread_grows_with_what_is_unknown(router, queries):
    usd = predict_cost(router.posterior, queries, np.random.default_rng(0), 400)
    assert dict(usd.sizes) == {"cost_draw": 400, "query": 6, "llm": 6}
    sds = [
        np.log(usd[name].values).std(axis=0).mean()
        for name in ("cost_usd", "cost_usd_conditional", "cost_usd_replicated")
    ]
    assert sds == sorted(sds)
    means = [usd[name].values.mean() for name in ("cost_usd", "cost_usd_conditional")]
    assert means[0] == pytest.approx(means[1], rel=0.2)


def test_a_folder_without_answer_lengths_uses_the_mean_cost(router, queries):
    groups = {n: g.to_dataset() for n, g in router.posterior.tree.children.items() if n != ANSWER_LENGTH}
    older = replace(router.posterior, tree=xr.DataTree.from_dict(groups))
    usd = predict_cost(older, queries, np.random.default_rng(0), 400)
    expected = router.cost.predict_cost(queries["text"].values.tolist())
    np.testing.assert_allclose(usd["cost_usd"].values[0], expected)
    assert usd.sizes["cost_draw"] == 1
    again = replace(router, posterior=older).route(queries["text"].values.tolist())
    assert again[0].candidates[0].cost_usd in expected[0]


def test_assumed_tokens_stay_as_assumed_for_an_llm_without_counts(router, queries):
    lengths = router.posterior.answer_length
    unit = lengths["unit"].values.astype(object)
    unit[0] = "nothing"
    groups = {n: g.to_dataset() for n, g in router.posterior.tree.children.items()}
    groups[ANSWER_LENGTH] = lengths.assign(unit=("llm", unit.astype(str)))
    cost = router.posterior.record["cost"] | {"assumed_output_tokens": 50}
    posterior = replace(
        router.posterior,
        tree=xr.DataTree.from_dict(groups),
        record=router.posterior.record | {"cost": cost},
    )
    usd = predict_cost(posterior, queries, np.random.default_rng(0), 10)["cost_usd"].values
    assert (usd[:, :, 0].std(axis=0) < 1e-9).all()
    assert (usd[:, :, 1].std(axis=0) > 0).all()


def test_new_prices_hold_also_where_dollars_were_recorded(router, queries):
    lengths, name = router.posterior.answer_length, router.posterior.llm[0]
    unit = lengths["unit"].values.astype(object)
    unit[0] = "usd"
    groups = {n: g.to_dataset() for n, g in router.posterior.tree.children.items()}
    groups[ANSWER_LENGTH] = lengths.assign(unit=("llm", unit.astype(str)))
    observed = replace(router.cost, mean_observed_cost_usd=np.where(np.arange(6) == 0, 0.001, np.nan))
    texts = queries["text"].values.tolist()
    for cost in (observed, observed.with_prices({name: Price(1000.0, 1000.0, "")})):
        record = router.posterior.record | {"cost": cost.to_dict()}
        posterior = replace(router.posterior, tree=xr.DataTree.from_dict(groups), record=record)
        usd = predict_cost(posterior, queries, np.random.default_rng(0), 10)["cost_usd"].values[:, :, 0]
        if cost is observed:
            assert (usd.std(axis=0) > 0).all()
        else:
            np.testing.assert_allclose(usd, np.tile(cost.known_cost(texts)[:, 0], (10, 1)), rtol=1e-5)


def test_limits_reach_the_decision(router, queries):
    texts = queries["text"].values.tolist()
    cheapest = min(c.cost_usd for c in router.route(texts)[0].candidates)
    (first, *_) = router.route(texts, max_cost=cheapest)
    assert len(first.candidates) == 1
    (nobody, *_) = router.route(texts, max_cost=0.0)
    assert (nobody.llm, nobody.candidates) == (None, ())
    denied = router.posterior.llm[0]
    assert all(c.llm != denied for c in router.route(texts, deny=[denied])[0].candidates)


def test_an_incumbent_that_is_denied_is_refused_with_everything_else(router):
    name = router.posterior.llm[0]
    request = Request(
        alpha=2.0, policy=ProbabilityOfImprovement(name), limits=Limits(deny=(name,)), level=1.0
    )
    with pytest.raises(InputError) as error:
        router.check(request)
    text = str(error.value)
    assert len(error.value.problems) == 3
    assert all(words in text for words in ("alpha is 2", "level is 1", f"incumbent {name} is denied"))


def test_prompts_may_come_from_anywhere_and_are_read_as_needed(router, queries):
    texts, read = queries["text"].values.tolist(), []

    def endless():
        while True:
            read.append(1)
            yield texts[len(read) % len(texts)]

    decisions = router.route_each(endless())
    assert [next(decisions).index for _ in range(3)] == [0, 1, 2]
    assert len(read) < 200
