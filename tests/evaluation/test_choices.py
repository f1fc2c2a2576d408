"""Choices over all alphas: consistent with one another, and the mixture matched in cost."""

import numpy as np
import pytest

from bayes_irt_router.data.cost import fit_cost
from bayes_irt_router.evaluation.choices import TrainingFacts, choose_llms
from bayes_irt_router.evaluation.cost_quality import convex_hull

ALPHAS = (0.2, 0.5, 0.8, 1.0)


@pytest.fixture(scope="module")
def data(bank):
    """All answered, at a cost that depends on the LLM alone: predicted and observed costs are the same."""
    data = bank(queries=60)
    cost = data["score"].copy(deep=True)
    cost[:] = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    score = data["score"].copy(deep=True)
    score[:] = np.random.default_rng(0).random(score.shape) < [0.3, 0.45, 0.4, 0.7, 0.6, 0.8]
    return data.assign(score=score, trials=data["trials"].clip(min=1), cost_usd=cost)


def facts(data):
    means = data["score"].mean("query").to_series()
    cost = fit_cost(data)
    expected = cost.known_cost([str(text) for text in data["text"].values])
    return TrainingFacts(
        expected, cost.scale_usd, None, {str(name): float(mean) for name, mean in means.items()}
    )


@pytest.fixture(scope="module")
def chosen(data):
    means = {"model": np.random.default_rng(1).random((60, 6)), "other": np.full((60, 6), 0.5)}
    return choose_llms(data, facts(data), means, ALPHAS, np.random.default_rng(2))


def test_the_mixtures_expected_cost_is_the_models(data, chosen):
    cost = chosen["chosen_cost"].mean("query")
    means = np.array(list(facts(data).mean_score.values()))
    ends = convex_hull(np.arange(1.0, 7.0), means)[0]
    target = np.clip(cost.sel(choice="model").values, ends[0], ends[-1])
    np.testing.assert_allclose(cost.sel(choice="static_mixture").values, target)


def test_scores_and_costs_are_those_of_the_chosen_llm(data, chosen):
    for k in range(len(ALPHAS)):
        took = chosen["chosen"].sel(predictor="model").values[k]
        expected = data["score"].values[np.arange(60), took]
        np.testing.assert_array_equal(chosen["chosen_score"].sel(choice="model").values[k], expected)


def test_the_oracle_ranks_first_where_the_method_agrees_with_it(chosen):
    rank = chosen["oracle_rank"].sel(predictor="model")
    assert ((rank >= 0) & (rank < 6)).all()
    same = np.all(
        [
            chosen[name].sel(choice="model").values == chosen[name].sel(choice="oracle").values
            for name in ("chosen_score", "chosen_cost")
        ],
        axis=0,
    )
    np.testing.assert_array_equal(rank.values == 0, same)


def test_a_prediction_that_knows_no_difference_takes_the_cheapest(chosen):
    other, cheapest = (
        chosen["chosen_cost"].sel(choice=name, alpha=0.5).values for name in ("other", "cheapest")
    )
    np.testing.assert_array_equal(other, cheapest)
    assert chosen.attrs["weak"] == chosen["candidate"].values[0]
    assert chosen.attrs["strong"] == chosen["candidate"].values[5]


def test_the_best_static_choice_has_the_highest_utility_on_train(data, chosen):
    means = np.array(list(facts(data).mean_score.values()))
    for alpha in ALPHAS:
        best = int(np.argmax(alpha * means - (1 - alpha) * np.arange(1.0, 7.0) / 6))
        assert (chosen["chosen_cost"].sel(choice="best_static", alpha=alpha) == best + 1).all()


def test_without_costs_or_candidates_it_says_why(data):
    one = data.assign(score=data["score"].where(data["llm"] == data["llm"][0]))
    said = choose_llms(one, facts(data), {"model": np.full((60, 6), 0.5)}, ALPHAS, np.random.default_rng(0))
    assert "fewer than two LLMs" in said


def test_an_llm_whose_cost_cannot_be_predicted_is_no_candidate(data):
    known = facts(data)
    known.expected_cost_usd[:, 5] = np.nan
    means = {"model": np.full((60, 6), 0.5)}
    chosen = choose_llms(data, known, means, ALPHAS, np.random.default_rng(0))
    assert chosen["candidate"].values.tolist() == data["llm"].values[:5].tolist()
