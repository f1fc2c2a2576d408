import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bayes_irt_router.errors import InputError
from bayes_irt_router.evaluation.routing_metrics import (
    RoutingScore,
    accuracy,
    dearest_cost,
    observed_on_every_query,
    reward,
    routing_score,
    total_cost,
)
from bayes_irt_router.evaluation.static_choices import best_single, cheapest, oracle, random_choice

SHAPE = (6, 4)
scores = arrays(np.float64, SHAPE, elements=st.sampled_from([0.0, 0.5, 1.0]))
costs = arrays(np.float64, SHAPE, elements=st.floats(0.001, 1))
choices = arrays(np.int64, SHAPE[0], elements=st.integers(0, SHAPE[1] - 1))
alphas = st.sampled_from([0.0, 0.2, 0.5, 0.8, 1.0])


@given(scores, costs, choices, alphas)
def test_no_choice_beats_the_oracle(score, cost, choice, alpha):
    assert (
        reward(choice, score, cost, alpha)
        <= reward(oracle(score, cost, alpha=alpha), score, cost, alpha) + 1e-9
    )


@given(scores, costs, choices, alphas, st.permutations(range(SHAPE[0])))
def test_order_of_queries_does_not_matter(score, cost, choice, alpha, order):
    got, expected = (
        routing_score(choice[o], score[o], cost[o], alpha) for o in (list(order), list(range(SHAPE[0])))
    )
    assert (got.accuracy, got.cost_usd, got.reward) == pytest.approx(
        (expected.accuracy, expected.cost_usd, expected.reward)
    )


@given(scores, costs, choices, alphas, st.floats(0.01, 100))
def test_reward_does_not_depend_on_the_currency(score, cost, choice, alpha, rate):
    assert reward(choice, score, rate * cost, alpha) == pytest.approx(reward(choice, score, cost, alpha))


@given(scores, costs)
def test_ends_of_reward(score, cost):
    dearest = np.full(SHAPE[0], np.argmax(cost.sum(axis=0)))
    assert reward(dearest, score, cost, 0.0) == pytest.approx(-100)
    assert reward(dearest, np.ones(SHAPE), cost, 1.0) == 100
    assert total_cost(dearest, cost) == pytest.approx(dearest_cost(cost))


def test_reward_by_hand():
    score, cost = np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([[1.0, 10.0], [1.0, 10.0]])
    got = routing_score(np.array([0, 1]), score, cost, 0.8)
    assert got == RoutingScore(accuracy=100.0, cost_usd=11.0, reward=80 - 20 * 11 / 20)


def test_unknown_costs_matter_only_below_alpha_one():
    score, cost, choice = np.ones((2, 2)), np.array([[1.0, np.nan], [1.0, 2.0]]), np.array([0, 0])
    assert reward(choice, score, cost, 1.0) == 100
    with pytest.raises(InputError, match="1 of 2 candidate LLMs"):
        reward(choice, score, cost, 0.5)


def test_free_llms_have_no_cost_term():
    assert reward(np.array([0]), np.array([[1.0, 1.0]]), np.zeros((1, 2)), 0.5) == 50


def test_a_chosen_answer_needs_a_score():
    with pytest.raises(InputError, match="1 of 2 chosen answers have no score"):
        accuracy(np.array([0, 1]), np.array([[1.0, 1.0], [1.0, np.nan]]))


@pytest.mark.parametrize("choice", [[0, 2], [-1, 0]])
def test_impossible_choices_are_refused(choice):
    with pytest.raises(ValueError, match="A choice is outside"):
        accuracy(np.array(choice), np.ones((2, 2)))


def test_no_queries_is_an_input_error():
    with pytest.raises(InputError, match="no query"):
        accuracy(np.zeros(0, dtype=np.int64), np.ones((0, 2)))


def test_candidates_are_observed_everywhere():
    score = np.array([[1.0, np.nan, 0.0], [0.0, 1.0, 0.0]])
    cost = np.array([[1.0, 1.0, np.nan], [1.0, 1.0, 1.0]])
    assert observed_on_every_query(score).tolist() == [True, False, True]
    assert observed_on_every_query(score, cost).tolist() == [True, False, False]


def test_static_choices_read_train_and_skip_llms_without_values():
    train_score = np.array([[0.0, 1.0, np.nan], [1.0, 1.0, np.nan]])
    train_cost = np.array([[1.0, 3.0, np.nan], [2.0, np.nan, np.nan]])
    assert best_single(train_score, 2).tolist() == [1, 1]
    assert cheapest(train_cost, 3).tolist() == [0, 0, 0]
    with pytest.raises(InputError, match="No candidate LLM"):
        cheapest(np.full((2, 2), np.nan), 1)


def test_random_choice_is_reproducible_and_uniform():
    # Each LLM gets Binomial(3000, 1/3), SD 26: 120 off happens about 4 times in a million per LLM.
    choice = random_choice(3000, 3, np.random.default_rng(0))
    assert (choice == random_choice(3000, 3, np.random.default_rng(0))).all()
    assert np.bincount(choice, minlength=3) == pytest.approx([1000] * 3, abs=120)


def test_oracle_takes_the_cheapest_right_answer():
    score = np.array([[1.0, 1.0, 0.0], [0.0, 0.0, 0.0], [0.0, np.nan, 1.0]])
    cost = np.array([[2.0, 1.0, 0.5], [2.0, 1.0, 0.5], [2.0, 0.1, 0.5]])
    assert oracle(score, cost, alpha=0.8).tolist() == [1, 2, 2]
    assert oracle(score, cost, alpha=1.0).tolist() == [1, 2, 2]
    assert oracle(score, np.full((3, 3), np.nan), alpha=1.0).tolist() == [0, 0, 2]
    assert oracle(score, np.zeros((3, 3)), alpha=0.5).tolist() == [0, 0, 2]


def test_oracle_needs_somebody_who_answered():
    with pytest.raises(InputError, match="No candidate LLM has a score"):
        oracle(np.array([[np.nan, np.nan]]), np.ones((1, 2)), alpha=0.5)
