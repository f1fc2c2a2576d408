import numpy as np
import pytest
import xarray as xr

from bayes_irt_router.errors import InputError
from bayes_irt_router.routing.limits import Limits

LLMS = xr.Dataset(
    coords={
        "llm": ["a", "b", "c"],
        "context_tokens": ("llm", [100.0, 1000.0, np.nan]),
        "capabilities": ("llm", ["images; Tools", "tools", ""]),
    }
)
COST = np.array([[0.1, 0.2, 0.3], [1.0, 2.0, 3.0]])
TOKENS = np.array([[50.0, 50.0, 50.0], [500.0, 500.0, 5e6]])


def allowed(**limits):
    assert Limits(**limits).problems(LLMS) == []
    return Limits(**limits).allowed(LLMS, COST, TOKENS).tolist()


def test_an_overlong_prompt_excludes_an_llm_whose_context_is_known():
    assert allowed() == [[True, True, True], [False, True, True]]


def test_limits_are_cut_together():
    assert allowed(allow=("a",), deny=("b",)) == [[True, False, False], [False, False, False]]
    assert allowed(max_cost=2.0) == [[True, True, True], [False, True, False]]
    assert allowed(require=("TOOLS",)) == [[True, True, False], [False, True, False]]
    assert allowed(require=("tools", "images")) == [[True, False, False], [False, False, False]]


def test_unknown_costs_cannot_be_limited():
    cost = COST.copy()
    cost[:, 2] = np.nan
    with pytest.raises(InputError, match="cost of c"):
        Limits(max_cost=1.0).allowed(LLMS, cost, TOKENS)
    assert Limits(max_cost=1.0, deny=("c",)).allowed(LLMS, cost, TOKENS).any()


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({"allow": ("x", "a"), "deny": ("y",), "fallback": "z"}, ["'x'", "'y'", "'z'"]),
        ({"allow": ("a",), "deny": ("a",)}, ["a cannot be both"]),
        ({"deny": ("a", "b", "c")}, ["No candidate LLM is left"]),
        ({"allow": ()}, ["No candidate LLM is left"]),
        ({"require": ("audio",)}, ["'audio'; the tags are images, tools"]),
        ({"max_cost": -1.0, "min_familiarity": 2.0}, ["max_cost is -1", "min_familiarity is 2"]),
        ({"fallback": "a", "deny": ("a",)}, ["fallback a is denied"]),
    ],
)
def test_all_that_is_wrong_is_told_at_once(limits, expected):
    problems = Limits(**limits).problems(LLMS)
    assert len(problems) == len(expected)
    for words, problem in zip(expected, problems, strict=True):
        assert words in problem
