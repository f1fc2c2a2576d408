"""The comparison: the same cells for all, paired differences, routing under one cost."""

import json

import numpy as np
import pytest

from bayes_irt_router.errors import InputError
from bayes_irt_router.evaluation.baselines.local_means import LLMMean, NearestNeighbours
from bayes_irt_router.evaluation.compare import compare
from bayes_irt_router.evaluation.evaluate import evaluate
from bayes_irt_router.routing.router import Router

FEW = (LLMMean(), NearestNeighbours())


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
def train(bank):
    return bank()


@pytest.fixture(scope="module")
def test(bank, train):
    # Three LLMs answered all that is left, so that there is something to route.
    other = bank(seed=5)
    answered = other["score"].notnull().values[:, :3].all(axis=1)
    unseen = ~np.isin(other["text"].values, train["text"].values)
    return other.isel(query=answered & unseen).assign_coords(
        query=lambda data: [f"new-{query}" for query in data["query"].values]
    )


@pytest.fixture(scope="module")
def comparison(router, train, test):
    return compare(router, train, test, baselines=FEW, progress=False)


def test_the_model_scores_as_when_evaluated_alone(comparison, router, test):
    alone = evaluate(router, test, progress=False)
    assert comparison.evaluation.prediction["model"] == alone.prediction["model"]
    for name, by_alpha in alone.routing.items():
        assert comparison.evaluation.routing[name] == by_alpha


def test_reward_differences_are_of_the_rewards_shown(comparison):
    routing = comparison.evaluation.routing
    for name, by_alpha in comparison.rewards.items():
        for alpha, paired in by_alpha.items():
            expected = routing[name][alpha].reward - routing["model"][alpha].reward
            assert paired.difference == pytest.approx(expected)
            assert paired.lower <= paired.difference <= paired.upper


def test_differences_are_of_the_log_losses_shown(comparison):
    scores = comparison.evaluation.prediction
    for name, paired in comparison.differences.items():
        assert paired.difference == pytest.approx(scores[name]["log_loss"] - scores["model"]["log_loss"])
        assert paired.lower <= paired.difference <= paired.upper


def test_every_baseline_is_routed_scored_and_shown(comparison):
    names = {"model", *(one.name for one in FEW)}
    assert names == set(comparison.evaluation.prediction)
    rules = {"best_single", "best_static", "static_mixture", "cheapest", "random", "oracle"}
    assert names | rules == set(comparison.evaluation.routing)
    assert names | rules == set(comparison.evaluation.curve)
    (_, table), (_, more) = comparison.tables()
    assert list(more.index) == list(table.index)
    assert set(table.index) == {name.replace("_", " ") for name in names | rules}
    assert set(comparison.table().index) == names | rules
    assert comparison.to_dict()["schema_version"] == 1
    json.dumps(comparison.to_dict())


def test_the_order_of_columns_and_of_baselines_does_not_matter(comparison, router, train, test):
    turned = compare(router, train.isel(llm=slice(None, None, -1)), test, baselines=FEW[::-1], progress=False)
    for name, paired in comparison.differences.items():
        assert turned.differences[name].difference == pytest.approx(paired.difference, abs=1e-9)


def test_other_training_data_than_the_models_are_noted(comparison, router, train, test):
    assert not any("training data are not equal" in note for note in comparison.evaluation.notes)
    fewer = compare(router, train.isel(query=slice(30)), test, baselines=FEW[:1], progress=False)
    assert any("training data are not equal" in note for note in fewer.evaluation.notes)


def test_queries_of_both_parts_are_refused(router, train, test):
    with pytest.raises(InputError, match="seen in fitting"):
        compare(router, train, train, baselines=FEW, progress=False)
    with pytest.raises(InputError, match="texts of the test queries"):
        compare(router, test, test, baselines=FEW, progress=False)


def test_llms_missing_in_training_and_repeated_names_are_refused(router, train, test):
    with pytest.raises(InputError, match="do not have"):
        compare(router, train.isel(llm=slice(3)), test, baselines=FEW, progress=False)
    with pytest.raises(InputError, match="llm_mean"):
        compare(router, train, test, baselines=(LLMMean(), LLMMean()), progress=False)
