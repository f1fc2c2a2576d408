import json

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from bayes_irt_router.errors import InputError
from bayes_irt_router.routing.correctness_policies import ChanceConstrained, MinSuccess
from bayes_irt_router.routing.decision import decide
from bayes_irt_router.routing.decision_problem import DecisionProblem
from bayes_irt_router.routing.limits import Limits
from bayes_irt_router.routing.policies import choose, expected_utility
from bayes_irt_router.routing.utility_policies import ExpectedUtility

LLMS = ["small", "middle", "large"]
COST = np.array([[0.001, 0.004, 0.02]] * 2)
SCALE = 0.02


def draws(seed=0, mean=(0.3, 0.6, 0.8), queries=2):
    """Posterior draws (chain, draw, query, llm) of both sorts around `mean`."""
    rng = np.random.default_rng(seed)
    dims = ("chain", "draw", "query", "llm")
    coords = {"llm": LLMS}
    epistemic = rng.normal(0, 0.02, size=(2, 50, queries, 3))
    residual = rng.normal(0, 0.1, size=(2, 50, queries, 1))
    p = np.clip(np.array(mean) + epistemic, 0, 1)
    conditional = np.clip(p + residual, 0, 1)
    return xr.DataArray(p, coords, dims), xr.DataArray(conditional, coords, dims)


def decided(alpha=0.8, cost=COST, allow=LLMS, policy=None, turned=None, **options):
    p, conditional = draws()
    if turned:
        p, conditional = p.transpose(*turned), conditional.transpose(*turned)
    allowed = np.tile(np.isin(LLMS, allow), (2, 1))
    problem = DecisionProblem.known_cost(p, conditional, cost, alpha=alpha, scale=SCALE, allowed=allowed)
    return decide(problem, policy or ExpectedUtility(), **options)


def test_ends_of_alpha():
    assert [d.llm for d in decided(alpha=0.0)] == ["small", "small"]
    assert [d.llm for d in decided(alpha=1.0)] == ["large", "large"]


def test_agrees_with_the_policy():
    p, _ = draws()
    mean = p.mean(("chain", "draw")).values
    utility = expected_utility(mean, COST, alpha=0.8, scale=SCALE)
    for query, decision in enumerate(decided()):
        assert decision.index == query
        assert decision.llm == decision.candidates[0].llm == LLMS[choose(utility)[query]]
        for candidate in decision.candidates:
            j = LLMS.index(candidate.llm)
            assert candidate.utility == pytest.approx(utility[query, j])
            assert candidate.p_correct.mean == pytest.approx(mean[query, j])
            assert candidate.cost_usd == COST[query, j]
        assert sum(candidate.p_best for candidate in decision.candidates) == pytest.approx(1)
        utilities = [candidate.utility for candidate in decision.candidates]
        assert utilities == sorted(utilities, reverse=True)


@given(st.floats(0, 1), st.sets(st.sampled_from(LLMS), min_size=1))
def test_restricting_the_candidates_leaves_the_others_utilities_alone(alpha, allow):
    full = {c.llm: c for c in decided(alpha)[0].candidates}
    fewer = decided(alpha, allow=sorted(allow))[0]
    assert {c.llm for c in fewer.candidates} == allow
    for candidate in fewer.candidates:
        assert candidate.utility == full[candidate.llm].utility
        assert candidate.p_correct == full[candidate.llm].p_correct
        assert candidate.p_best >= full[candidate.llm].p_best


def test_interval_is_over_the_parameter_draws_and_holds_its_level():
    p, _ = draws()
    for level in (0.5, 0.89):
        candidate = next(c for c in decided(level=level)[0].candidates if c.llm == "middle")
        samples = p.sel(llm="middle").isel(query=0).values.ravel()
        inside = (samples >= candidate.p_correct.lower) & (samples <= candidate.p_correct.upper)
        assert inside.mean() == pytest.approx(level, abs=0.02)  # 100 draws
        assert candidate.p_correct.level == level


def test_order_of_dimensions_does_not_matter():
    assert decided(turned=("llm", "draw", "query", "chain")) == decided()


def test_one_prediction_without_spread_is_enough():
    p = xr.DataArray(np.array([[[[0.2, 0.9, 0.5]]]]), {"llm": LLMS}, ("chain", "draw", "query", "llm"))
    problem = DecisionProblem.known_cost(p, p, COST[:1], alpha=1.0, scale=SCALE)
    (decision,) = decide(problem, ExpectedUtility())
    winner = decision.candidates[0]
    assert (decision.llm, winner.p_best) == ("middle", 1.0)
    assert winner.p_correct.lower == winner.p_correct.upper == 0.9


def test_json_shape():
    content = json.loads(json.dumps(decided()[1].to_dict(), allow_nan=False))
    assert list(content) == ["index", "llm", "reason", "familiarity", "candidates"]
    assert content["index"] == 1
    assert list(content["candidates"][0]) == ["llm", "p_correct", "cost_usd", "utility", "p_best"]
    assert list(content["candidates"][0]["p_correct"]) == ["mean", "lower", "upper", "level"]


def test_unknown_costs_are_null_at_alpha_one_and_an_error_below():
    unknown = np.full((2, 3), np.nan)
    decision = decided(1.0, cost=unknown)[0]
    assert all(candidate.cost_usd is None for candidate in decision.candidates)
    assert "USD" not in decision.reason
    json.dumps(decision.to_dict(), allow_nan=False)
    with pytest.raises(InputError, match="unknown"):
        decided(0.8, cost=unknown)
    part = COST.copy()
    part[:, 2] = np.nan
    assert decided(0.8, cost=part, allow=["small", "middle"])[0].llm in ("small", "middle")


def test_reason_tells_winner_runner_up_and_cheapest():
    reason = decided(0.99)[0].reason  # large, then middle, and small is the cheapest
    assert reason.startswith("large has the highest utility: expected correctness 0.8")
    assert "89% interval" in reason
    assert "0.02 USD" in reason
    assert "runner-up middle" in reason
    assert reason.endswith("for the cheapest, small.")


def test_reason_when_the_cheapest_wins_or_comes_second_or_is_alone():
    assert decided(0.0)[0].reason.endswith("; no candidate is cheaper.")
    assert decided(1.0, allow=["small", "large"])[0].reason.endswith(
        "runner-up small, which is the cheapest."
    )
    assert decided(1.0, allow=["large"])[0].reason.startswith("large is the only candidate")


def test_reason_writes_small_costs_without_exponent():
    assert "at 0.00000123 USD" in decided(0.0, cost=np.array([[1.23456e-6, 1e-3, 1e-2]] * 2))[0].reason


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"alpha": 1.5}, "alpha is 1.5"),
        ({"level": 1.0}, "level is 1.0"),
        ({"level": 0.0}, "level is 0.0"),
    ],
)
def test_wrong_options_are_input_errors(options, problem):
    with pytest.raises(InputError, match=problem):
        decided(**options)


def test_no_queries_no_decisions():
    p, conditional = draws(queries=0)
    problem = DecisionProblem.known_cost(p, conditional, np.zeros((0, 3)), alpha=0.8, scale=SCALE)
    assert decide(problem, ExpectedUtility()) == []


def test_abstention_says_why_and_a_fallback_takes_its_place():
    policy = MinSuccess(target=0.99)
    for decision in decided(policy=policy):
        assert decision.llm is None
        assert decision.reason.startswith(
            "No LLM is chosen: no candidate has an expected correctness of 0.99"
        )
        assert "large" in decision.reason  # the nearest
        assert len(decision.candidates) == 3
    for decision in decided(policy=policy, limits=Limits(fallback="small")):
        assert decision.llm == decision.candidates[0].llm == "small"
        assert "is the fallback, because no candidate" in decision.reason


def test_unfamiliar_queries_go_to_the_fallback_or_to_nobody():
    familiarity = np.array([0.9, 0.2])
    with_fallback = decided(limits=Limits(fallback="small", min_familiarity=0.5), familiarity=familiarity)
    assert [d.llm for d in with_fallback] == ["middle", "small"]
    assert "unfamiliar (0.20" in with_fallback[1].reason
    without = decided(limits=Limits(min_familiarity=0.5), familiarity=familiarity)
    assert [d.llm for d in without] == ["middle", None]
    assert [d.familiarity for d in without] == [0.9, 0.2]


def test_a_query_that_the_limits_leave_nobody_for_is_told():
    p, conditional = draws()
    allowed = np.array([[True, True, True], [False, False, False]])
    for policy in (ExpectedUtility(), ChanceConstrained(target=0.5)):
        problem = DecisionProblem.known_cost(p, conditional, COST, alpha=0.8, scale=SCALE, allowed=allowed)
        first, second = decide(problem, policy)
        assert first.llm is not None
        assert (second.llm, second.candidates) == (None, ())
        assert "exclude every LLM" in second.reason
