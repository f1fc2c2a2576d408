"""What each policy promises, on any beliefs."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bayes_irt_router.errors import InputError
from bayes_irt_router.routing.correctness_policies import ChanceConstrained, MinSuccess
from bayes_irt_router.routing.decision_problem import DecisionProblem
from bayes_irt_router.routing.policy_catalogue import POLICIES, policy_named, policy_options
from bayes_irt_router.routing.utility_policies import (
    Equivalence,
    ExpectedUtility,
    LowerBound,
    ProbabilityOfImprovement,
)

LLMS = ("a", "b", "c", "d")
EVERY = (
    ExpectedUtility(),
    MinSuccess(0.5),
    ChanceConstrained(0.5, 0.2),
    ProbabilityOfImprovement("b", 0.7),
    LowerBound(0.25),
    Equivalence(0.05, 0.6),
)


draws = arrays(np.float64, (7, 3, 4), elements=st.floats(0, 1, width=16))
allowances = arrays(np.bool_, (3, 4)).filter(lambda one: one.any(axis=1).all())
# Not built within the strategy: the shape checks use randomness of their own, which Hypothesis forbids there.
beliefs = st.tuples(draws, draws, draws, draws, allowances, st.floats(0, 1))


def posed(believed):
    return DecisionProblem(LLMS, *believed, 1.0)


def made(p, cost, alpha=0.5, conditional=None, allowed=None):
    """One query; p and conditional are (draw, llm), cost is (llm)."""
    p = np.asarray(p, dtype=np.float64)[:, None, :]
    conditional = p if conditional is None else np.asarray(conditional, dtype=np.float64)[:, None, :]
    cost = np.asarray(cost, dtype=np.float64)[None, None, :]
    allowed = np.ones(p.shape[1:], dtype=bool) if allowed is None else np.array([allowed])
    return DecisionProblem(LLMS[: p.shape[2]], p, conditional, cost, cost, allowed, alpha, 1.0)


@pytest.mark.parametrize("policy", EVERY, ids=lambda policy: policy.name)
@given(believed=beliefs)
def test_every_policy_picks_an_allowed_llm_or_abstains_and_says_why(policy, believed):
    problem = posed(believed)
    choice = policy.choose(problem)
    assert len(choice.clause) == 3
    for query in range(3):
        assert sorted(choice.ranking[query]) == [0, 1, 2, 3]
        count = problem.allowed[query].sum()
        assert problem.allowed[query, choice.ranking[query, :count]].all()
        assert choice.clause[query]
        if choice.llm[query] >= 0:
            assert problem.allowed[query, choice.llm[query]]
            assert choice.ranking[query, 0] == choice.llm[query]
        else:
            assert policy.name in ("min_success", "chance_constrained")


@given(beliefs)
def test_min_success_is_the_cheapest_that_reaches_the_target(believed):
    problem = posed(believed)
    choice = MinSuccess(0.5).choose(problem).llm
    for query, j in enumerate(choice):
        good = problem.allowed[query] & (problem.mean_p[query] >= 0.5)
        assert good.any() == (j >= 0)
        if j >= 0:
            assert good[j]
            assert problem.mean_cost[query, j] == problem.mean_cost[query, good].min()


@given(beliefs, st.floats(0, 0.5), st.floats(0, 0.5))
def test_a_stricter_chance_constraint_is_met_by_fewer_and_costs_more(believed, delta, less):
    problem = posed(believed)
    loose = ChanceConstrained(0.5, delta).choose(problem).llm
    strict = ChanceConstrained(0.5, max(delta - less, 0)).choose(problem).llm
    assert not ((strict >= 0) & (loose < 0)).any()
    for query in np.flatnonzero(strict >= 0):
        assert problem.mean_cost[query, strict[query]] >= problem.mean_cost[query, loose[query]]


@given(beliefs)
def test_equivalence_without_tolerance_has_the_best_utility_and_with_it_never_costs_more(believed):
    problem = posed(believed)
    best = ExpectedUtility().choose(problem).llm
    rows = np.arange(3)
    some = Equivalence(0.1, 0.5).choose(problem).llm
    assert (problem.mean_cost[rows, some] <= problem.mean_cost[rows, best]).all()


def test_the_chance_constraint_is_over_the_parameters_alone():
    sure, unsure = np.full((10, 1), 0.85), np.linspace(0.7, 1.0, 10)[:, None]
    p = np.hstack([unsure, sure])  # equal means
    conditional = np.hstack([unsure, np.linspace(0.5, 1.0, 10)[:, None]])
    choice = ChanceConstrained(0.8, 0.1).choose(made(p, [1.0, 2.0], conditional=conditional))
    assert choice.llm.tolist() == [1]
    assert MinSuccess(0.8).choose(made(p, [1.0, 2.0])).llm.tolist() == [0]


def test_abstention_names_the_nearest():
    choice = ChanceConstrained(0.9, 0.1).choose(made([[0.5, 0.95], [0.5, 0.5]], [1.0, 2.0]))
    assert choice.llm.tolist() == [-1]
    assert choice.clause[0].endswith("the highest is 0.50, of b")


def test_the_incumbent_stays_unless_a_gain_is_probable():
    p = [[0.9, 0.8], [0.6, 0.8], [0.9, 0.8], [0.9, 0.8]]  # a is better in three draws of four
    for tau, expected in ((0.7, 0), (0.8, 1)):
        problem = made(p, [0.0, 0.0], alpha=1.0)
        choice = ProbabilityOfImprovement("b", tau).choose(problem)
        assert choice.llm.tolist() == [expected]
    excluded = made(p, [0.0, 0.0], alpha=1.0, allowed=[True, False])
    choice = ProbabilityOfImprovement("b", 0.99).choose(excluded)
    assert choice.llm.tolist() == [0]
    assert "exclude the incumbent" in choice.clause[0]


def test_a_probable_small_gain_does_not_pay_for_a_rare_large_loss():
    p = [[0.81, 0.8]] * 9 + [[0.1, 0.8]]
    choice = ProbabilityOfImprovement("b", 0.8).choose(made(p, [0.0, 0.0], alpha=1.0))
    assert choice.llm.tolist() == [1]


def test_the_lower_bound_prefers_what_is_known():
    p = np.column_stack([np.linspace(0.5, 1.0, 21), np.full(21, 0.74)])
    assert ExpectedUtility().choose(made(p, [0.0, 0.0], alpha=1.0)).llm.tolist() == [0]
    assert LowerBound(0.1).choose(made(p, [0.0, 0.0], alpha=1.0)).llm.tolist() == [1]


def test_of_practically_equal_llms_the_cheapest_answers():
    p = np.full((5, 3), [0.900, 0.895, 0.5])
    problem = made(p, [0.01, 0.001, 0.0], alpha=1.0)
    choice = Equivalence(0.02, 0.8).choose(problem)
    assert choice.llm.tolist() == [1]
    assert "cheapest of 2" in choice.clause[0]
    assert Equivalence(0.0, 0.8).choose(problem).llm.tolist() == [0]


def test_of_equal_utilities_the_more_probable_success_wins():
    problem = made([[0.5, 0.9, 0.7]] * 4, [0.0, 0.0, 0.0], alpha=0.0)
    assert ExpectedUtility().choose(problem).llm.tolist() == [1]


# Parameters are sure here (each draw alike), and what decides is unknown about the query: residuals that LLMs share.
SURE = [[0.7, 0.6]] * 4
SHARED = [[0.9, 0.1], [0.9, 0.9], [0.5, 0.6], [0.5, 0.8]]  # means as in SURE


def test_improvement_counts_what_is_unknown_about_the_query():
    """By the parameters "a" is better for certain; jointly it is in one draw of four."""
    problem = made(SURE, [0.0, 0.0], alpha=1.0, conditional=SHARED)
    assert ProbabilityOfImprovement("b", 0.5).choose(problem).llm.tolist() == [1]
    assert ProbabilityOfImprovement("b", 0.25).choose(problem).llm.tolist() == [0]


def test_the_lower_bound_is_over_what_is_unknown_about_the_query():
    turned = [[0.1, 0.6], [0.9, 0.6], [0.9, 0.6], [0.9, 0.6]]
    problem = made(SURE, [0.0, 0.0], alpha=1.0, conditional=turned)
    assert LowerBound(0.1).choose(problem).llm.tolist() == [1]


def test_equivalence_is_over_the_parameters_alone():
    """ "b" costs less and is worse by more than the tolerance for certain, by the parameters; jointly in one draw of four."""
    problem = made(SURE, [0.2, 0.0], alpha=0.9, conditional=SHARED)
    assert Equivalence(0.05, 0.7).choose(problem).llm.tolist() == [0]
    problem = made(SHARED, [0.2, 0.0], alpha=0.9, conditional=SURE)
    assert Equivalence(0.05, 0.7).choose(problem).llm.tolist() == [1]


def test_draws_of_cost_alone_decide_too():
    """Equal correctness; "a" costs less in three draws of four, and in the mean."""
    cost = np.array([[[0.0, 0.1]], [[0.0, 0.1]], [[0.0, 0.1]], [[0.3, 0.1]]])
    problem = replace(made([[0.5, 0.5]] * 4, [0.0, 0.0]), cost_usd=cost, cost_usd_conditional=cost)
    assert ProbabilityOfImprovement("b", 0.7).choose(problem).llm.tolist() == [0]
    assert ProbabilityOfImprovement("b", 0.8).choose(problem).llm.tolist() == [1]
    assert LowerBound(0.1).choose(problem).llm.tolist() == [1]


def test_unknown_costs_are_told_where_they_are_needed():
    problem = made([[0.9, 0.8]], [np.nan, 1.0], alpha=1.0)
    assert ExpectedUtility().choose(problem).llm.tolist() == [0]
    for policy in (MinSuccess(), ChanceConstrained(), Equivalence()):
        with pytest.raises(InputError, match="cost of a is unknown"):
            policy.choose(problem)


def test_the_catalogue_knows_each_policy_by_its_name_and_options():
    assert {policy.name for policy in EVERY} == set(POLICIES)
    for policy in EVERY:
        options = [f"{key}={value}" for key, value in policy_options(policy).items()]
        assert policy_named(policy.name, options) == policy


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("best", [], ["no policy 'best'"]),
        ("min_success", ["target=2"], ["target is 2.0"]),
        (
            "chance_constrained",
            ["target=x", "delta=7", "foo=1", "bar"],
            ["'x'", "delta is 7", "'foo'", "bar"],
        ),
        ("probability_of_improvement", ["tau=0.5"], ["needs the option incumbent"]),
        ("expected_utility", ["a=1"], ["it has no options"]),
        ("lower_bound", ["quantile=0"], ["quantile is 0"]),
        ("equivalence", ["rope=-1", "certainty=2"], ["rope is -1", "certainty is 2"]),
    ],
)
def test_wrong_options_are_told_together(name, options, expected):
    with pytest.raises(InputError) as error:
        policy_named(name, options)
    assert len(error.value.problems) == len(expected)
    for words in expected:
        assert words in str(error.value)
