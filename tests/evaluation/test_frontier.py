"""The frontier, what it is made of, and its picture."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bayes_irt_router.errors import InputError
from bayes_irt_router.evaluation.frontier import SINGLE, best_on_fitted, frontier
from bayes_irt_router.evaluation.judged import judge, training_facts
from bayes_irt_router.evaluation.policy_outcomes import Setting, answered_queries, observed, outcomes
from bayes_irt_router.evaluation.predictions import predict_model
from bayes_irt_router.evaluation.static_mixture import cheapest_mixture_cost
from bayes_irt_router.report.figure_files import write_figure
from bayes_irt_router.report.json_text import plain
from bayes_irt_router.report.plots.accuracy_cost_frontier import accuracy_cost_frontier
from bayes_irt_router.routing.correctness_policies import MinSuccess
from bayes_irt_router.routing.router import Router
from bayes_irt_router.routing.utility_policies import ExpectedUtility

SETTINGS = [
    *(Setting(ExpectedUtility(), alpha) for alpha in (0.0, 0.5, 1.0)),
    Setting(MinSuccess(0.6), 0.5),
    Setting(MinSuccess(1.0), 0.5),
]


class TextLengths:
    """An encoder without weights: a vector that depends on the text, of unit norm."""

    name, fingerprint, revision = "clustered vectors", "1", "1"

    def embed(self, texts, *, progress=False):
        vectors = np.array([np.cos(np.arange(16) * len(text)) + 0.01 for text in texts])
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def router(small_fit, tmp_path_factory):
    return Router(small_fit, TextLengths(), tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def data(bank):
    other, fitted = bank(seed=5), bank()
    answered = other["score"].notnull().values[:, :3].all(axis=1)
    unseen = ~np.isin(other["text"].values, fitted["text"].values)
    return other.isel(query=answered & unseen).assign_coords(
        query=lambda data: [f"new-{query}" for query in data["query"].values]
    )


@pytest.fixture(scope="module")
def result(router, data):
    return frontier(router, data, settings=SETTINGS, progress=False)


def test_each_setting_is_a_point_and_each_candidate_a_single(result, data):
    assert [point.policy for point in result.points[:5]] == ["expected_utility"] * 3 + ["min_success"] * 2
    assert [point.options["llm"] for point in result.points[5:]] == list(result.candidates)
    assert {point.policy for point in result.points[5:]} == {SINGLE}
    assert result.queries == data.sizes["query"]


def test_more_weight_on_correctness_is_expected_to_cost_more_and_to_be_right_more(result):
    by_alpha = result.points[:3]
    assert [p.cost_usd.mean for p in by_alpha] == sorted(p.cost_usd.mean for p in by_alpha)
    assert np.diff([p.accuracy.mean for p in by_alpha]).min() > -1e-6


def test_bands_hold_their_mean_and_nothing_answered_is_nothing(result):
    for point in result.points[:4]:
        for band in (point.accuracy, point.accuracy_replicated, point.cost_usd, point.cost_usd_replicated):
            assert band.lower <= band.mean <= band.upper
        # The same expectation; few queries' answers are noisier than what is believed of the parameters.
        for expected, replicated in (
            (point.accuracy, point.accuracy_replicated),
            (point.cost_usd, point.cost_usd_replicated),
        ):
            assert replicated.upper - replicated.lower > expected.upper - expected.lower
        assert point.accuracy.mean == pytest.approx(point.accuracy_replicated.mean, abs=0.05)
    nothing = result.points[4]
    assert nothing.answered == 0
    assert np.isnan(nothing.observed_accuracy)
    told = json.loads(json.dumps(plain(result.to_dict()), allow_nan=False))
    assert "parameters alone" in told["bands"]["accuracy"]
    assert "answers" in told["bands"]["accuracy_replicated"]
    assert set(told["bands"]) <= set(told["points"][0])


def test_outcomes_are_those_of_the_candidates(router, data):
    answered = answered_queries(router, data, progress=False)
    (one,) = outcomes(router, answered, [Setting(ExpectedUtility(), 0.0)])
    assert (one.choice >= 0).all()
    assert observed(one, answered.score).shape == (len(answered.score),)
    only = answered.llm[1]
    (alone,) = outcomes(router, answered, [Setting(ExpectedUtility(), 1.0)], candidates=[only])
    assert (alone.choice == 1).all()
    (dearer,) = outcomes(
        router, answered, [Setting(ExpectedUtility(), 0.0)], candidates=[only], output_factor={only: 4.0}
    )
    texts = answered.queries["text"].values.tolist()
    given = router.cost.input_cost(texts)[:, router.posterior.llm.index(only)]
    assert (given > 0).all()
    assert dearer.expected_cost - given == pytest.approx(4 * (alone.expected_cost - given), rel=1e-4)
    assert best_on_fitted(router, answered.llm) in answered.llm


def test_frontier_and_evaluation_choose_by_the_same_costs(router, data):
    """Two ways to the same decisions: draws of a decision problem, and expectations for a comparison with baselines."""
    alphas = (0.1, 0.5, 0.9)
    answered = answered_queries(router, data, progress=False)
    assert router.posterior.answer_length is not None
    predicted = predict_model(router.posterior, answered.queries, np.random.default_rng(0))
    facts = training_facts(router.posterior, answered.queries)
    judged, _ = judge(answered.queries, facts, {"model": predicted}, alphas, 0)
    for alpha in alphas:
        (one,) = outcomes(router, answered, [Setting(ExpectedUtility(), alpha)])
        np.testing.assert_array_equal(one.choice, judged["chosen"].sel(predictor="model", alpha=alpha).values)
        row = np.arange(len(one.choice))
        expected = facts.expected_cost_usd[row, one.choice]
        np.testing.assert_allclose(one.expected_cost, expected, rtol=1e-5)


def test_fitted_queries_are_refused_and_so_is_a_wrong_level(router, bank, data):
    with pytest.raises(InputError, match="seen in fitting"):
        frontier(router, bank(), progress=False)
    with pytest.raises(InputError, match="level is 1"):
        frontier(router, data, level=1.0)


def test_the_picture_has_a_line_for_each_policy(result, tmp_path):
    figure = accuracy_cost_frontier(result)
    assert "dark over the parameters alone" in figure.axes[0].get_title()
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert labels == ["expected utility", "min success", "single LLM"]
    for suffix in ("png", "svg"):
        write_figure(figure, tmp_path / f"a.{suffix}")
        assert (tmp_path / f"a.{suffix}").stat().st_size > 1000


shares = arrays(np.float64, 4, elements=st.floats(0, 1))


@given(shares, arrays(np.float64, 4, elements=st.floats(0, 10)), st.floats(0, 1))
def test_no_lottery_is_cheaper_than_the_cheapest_mixture(accuracy, cost, target):
    least = float(cheapest_mixture_cost(accuracy, cost, np.array(target)))
    assert np.isnan(least) == (accuracy.max() < target)
    rng = np.random.default_rng(0)
    lotteries = np.vstack([np.eye(4), rng.dirichlet(np.full(4, 0.3), 200)])
    enough = lotteries @ accuracy >= target + 1e-9
    if enough.any():
        assert (lotteries @ cost)[enough].min() >= least - 1e-6
    assert np.isnan(least) or least >= cost.min() - 1e-9
