import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bayes_irt_router.data.candidates import allowed_llms
from bayes_irt_router.errors import InputError
from bayes_irt_router.routing.policies import choose, expected_utility, probability_best

SHAPE = (3, 4)
probabilities = arrays(np.float64, SHAPE, elements=st.floats(0, 1))
draws = arrays(np.float64, (11, *SHAPE), elements=st.sampled_from([0.0, 0.25, 0.5, 1.0]))
costs = arrays(np.float64, SHAPE, elements=st.floats(0, 2))
alphas = st.floats(0, 1)
scales = st.floats(0.1, 10)


def p_best(conditional, cost, *, alpha, scale, allowed=None):
    utility = expected_utility(
        conditional, np.broadcast_to(cost, conditional.shape), alpha=alpha, scale=scale
    )
    return probability_best(utility, None if allowed is None else np.tile(allowed, (len(cost), 1)))


allowances = arrays(np.bool_, SHAPE[1]).filter(lambda allowed: allowed.any())


@given(probabilities, costs, scales)
def test_alpha_zero_takes_the_cheapest_and_alpha_one_the_most_accurate(p, cost, scale):
    rows = np.arange(SHAPE[0])
    cheap = choose(expected_utility(p, cost, alpha=0.0, scale=scale))
    accurate = choose(expected_utility(p, cost, alpha=1.0, scale=scale))
    assert cost[rows, cheap] == pytest.approx(cost.min(axis=1), abs=1e-12)
    assert (p[rows, accurate] == p.max(axis=1)).all()


@given(probabilities, costs, scales, st.lists(alphas, min_size=2, max_size=2).map(sorted))
def test_more_alpha_never_lowers_utility_nor_the_chosen_correctness(p, cost, scale, pair):
    rows = np.arange(SHAPE[0])
    low, high = (expected_utility(p, cost, alpha=alpha, scale=scale) for alpha in pair)
    assert (high >= low - 1e-12).all()  # P and C are not negative, so dS / dalpha = P + C / scale >= 0
    if pair[1] - pair[0] > 1e-6:
        assert (p[rows, choose(high)] >= p[rows, choose(low)] - 1e-6).all()


@given(probabilities, costs, alphas, scales, allowances)
def test_choice_among_the_allowed_is_the_best_of_them(p, cost, alpha, scale, allowed):
    utility = expected_utility(p, cost, alpha=alpha, scale=scale)
    choice = choose(utility, allowed)
    assert allowed[choice].all()
    assert (utility[np.arange(SHAPE[0]), choice] == utility[:, allowed].max(axis=1)).all()


@given(draws, costs, alphas, scales, allowances)
def test_p_best_sums_to_one_over_the_candidates(conditional, cost, alpha, scale, allowed):
    best = p_best(conditional, cost, alpha=alpha, scale=scale, allowed=allowed)
    assert best.sum(axis=1) == pytest.approx(1)
    assert (best[:, ~allowed] == 0).all()
    assert (best >= 0).all()


@given(draws, costs, alphas, scales, st.permutations(range(SHAPE[1])))
def test_p_best_does_not_depend_on_the_order_of_llms(conditional, cost, alpha, scale, order):
    best = p_best(conditional, cost, alpha=alpha, scale=scale)
    permuted = p_best(conditional[:, :, order], cost[:, order], alpha=alpha, scale=scale)
    assert permuted == pytest.approx(best[:, order])


@given(draws, costs, alphas, scales, st.integers(0, SHAPE[1] - 1))
def test_leaving_a_candidate_out_never_lowers_the_others_p_best(conditional, cost, alpha, scale, out):
    others = np.arange(SHAPE[1]) != out
    full = p_best(conditional, cost, alpha=alpha, scale=scale)
    fewer = p_best(conditional, cost, alpha=alpha, scale=scale, allowed=others)
    assert (fewer[:, others] >= full[:, others] - 1e-12).all()


def test_p_best_uses_the_joint_draws_and_shares_ties():
    # Always equal: half each, although each alone would look uncertain.
    conditional = np.array([[[0.2, 0.2]], [[0.9, 0.9]]])
    assert p_best(conditional, np.zeros((1, 2)), alpha=1.0, scale=1.0).tolist() == [[0.5, 0.5]]
    # Always ahead by a little: certain, although the marginal distributions overlap.
    ahead = conditional + np.array([0.0, 0.01])
    assert p_best(ahead, np.zeros((1, 2)), alpha=1.0, scale=1.0).tolist() == [[0.0, 1.0]]


def test_cost_and_scale_play_no_part_at_alpha_one():
    p, unknown = np.array([[0.3, 0.6]]), np.full((1, 2), np.nan)
    assert expected_utility(p, unknown, alpha=1.0, scale=float("nan")).tolist() == [[0.3, 0.6]]
    assert p_best(p[None], unknown, alpha=1.0, scale=float("nan")).tolist() == [[0.0, 1.0]]


def test_unknown_cost_of_a_candidate_is_an_error_only_for_candidates():
    p, cost = np.array([[0.3, 0.6]]), np.array([[0.1, np.nan]])
    utility = expected_utility(p, cost, alpha=0.5, scale=1.0)
    assert choose(utility, np.array([True, False])).tolist() == [0]
    assert p_best(p[None], cost, alpha=0.5, scale=1.0, allowed=np.array([True, False])).tolist() == [[1, 0]]
    with pytest.raises(InputError, match="utility of a candidate LLM is unknown"):
        choose(utility)
    with pytest.raises(InputError, match="cost of a candidate LLM is unknown"):
        p_best(p[None], cost, alpha=0.5, scale=1.0)


@pytest.mark.parametrize("alpha", [-0.1, 1.1, float("nan")])
def test_alpha_outside_its_range(alpha):
    p = np.array([[0.3]])
    with pytest.raises(InputError, match="alpha is"):
        expected_utility(p, p, alpha=alpha, scale=1.0)
    with pytest.raises(InputError, match="alpha is"):
        p_best(p[None], p, alpha=alpha, scale=1.0)


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf")])
def test_scale_must_be_known_where_cost_counts(scale):
    p = np.array([[0.3]])
    with pytest.raises(InputError, match="scale is unknown"):
        expected_utility(p, p, alpha=0.5, scale=scale)


def test_allowed_names():
    assert allowed_llms(["a", "b"], None).tolist() == [True, True]
    assert allowed_llms(["a", "b"], ["b", "b"]).tolist() == [False, True]
    with pytest.raises(InputError) as error:
        allowed_llms(["a", "b"], ["x", "a", "y"])
    assert len(error.value.problems) == 2
    with pytest.raises(InputError, match="No candidate LLM is left"):
        allowed_llms(["a", "b"], [])
    with pytest.raises(InputError, match="No candidate LLM is left"):
        choose(np.ones((1, 2)), np.zeros(2, dtype=bool))
    assert probability_best(np.ones((1, 1, 2)), np.zeros((1, 2), dtype=bool)).tolist() == [[0.0, 0.0]]
