"""Hull, AIQ, APGR, CPT, RouterArena's score and the static mixture: what each must be by its definition."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayes_irt_router.errors import InputError
from bayes_irt_router.evaluation.cost_quality import (
    aiq,
    apgr,
    convex_hull,
    cpt,
    performance_gap_recovered,
    router_arena_score,
    static_mixture,
    strong_call_curve,
)

amounts = st.integers(1, 1000).map(lambda n: n / 100)
points = st.lists(st.tuples(amounts, amounts), min_size=1, max_size=12).map(
    lambda pairs: tuple(np.array(column) for column in zip(*pairs, strict=True))
)
binary = st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(-3, 3)), min_size=2, max_size=30)


@given(points)
def test_hull_rises_ever_more_slowly_above_all_points(curve):
    cost, quality = curve
    x, y = convex_hull(cost, quality)
    assert (np.diff(x) > 0).all()
    assert (np.diff(y) > 0).all()
    assert (np.diff(np.diff(y) / np.diff(x)) <= 1e-9).all()
    assert (np.interp(cost, x, y) >= quality - 1e-9).all()
    assert x[0] == cost.min()
    assert y[-1] == quality.max()


@given(amounts, amounts, amounts)
def test_aiq_of_a_static_choice_is_its_accuracy(cost, accuracy, width):
    assert aiq(np.array([cost]), np.array([accuracy]), cost, cost + width) == pytest.approx(accuracy)


@given(points, amounts)
def test_aiq_lies_between_least_and_best_and_a_better_point_cannot_harm(curve, width):
    cost, quality = curve
    low, high = cost.min(), cost.min() + width
    value = aiq(cost, quality, low, high)
    assert quality[cost == low].max() - 1e-9 <= value <= quality.max() + 1e-9
    more = aiq(np.append(cost, low), np.append(quality, quality.max() + 1), low, high)
    assert more >= value


def test_aiq_makes_up_no_points():
    assert np.isnan(aiq(np.array([2.0]), np.array([1.0]), 1.0, 3.0))


@given(binary)
def test_apgr_is_0_for_weak_1_for_strong_and_half_at_random(answers):
    weak, strong, gain = (np.array(column, dtype=float) for column in zip(*answers, strict=True))
    low, high = weak.mean(), strong.mean()
    flat = strong_call_curve(np.zeros(weak.size), weak, strong)
    curve = strong_call_curve(gain, weak, strong)
    assert (curve[0], curve[-1]) == pytest.approx((low, high))
    if high <= low:
        assert np.isnan(apgr(curve, low, high))
        assert np.isnan(cpt(curve, low, high, 0.5))
        return
    assert apgr(np.full(3, low), low, high) == 0
    assert apgr(np.full(3, high), low, high) == 1
    assert apgr(flat, low, high) == pytest.approx(0.5)
    best = apgr(strong_call_curve(strong - weak, weak, strong), low, high)
    worst = apgr(strong_call_curve(weak - strong, weak, strong), low, high)
    assert worst - 1e-9 <= apgr(curve, low, high) <= best + 1e-9
    assert 0 <= cpt(curve, low, high, 0.5) <= cpt(curve, low, high, 0.8) <= 1
    assert performance_gap_recovered(high, low, high) == 1


def test_cpt_of_a_router_without_knowledge_is_the_share_recovered():
    curve = strong_call_curve(np.zeros(100), np.zeros(100), np.ones(100))
    assert cpt(curve, 0.0, 1.0, 0.8) == pytest.approx(0.8)


@given(st.floats(0, 1), st.floats(0.001, 300), st.floats(1.01, 10))
def test_router_arena_score_falls_with_cost_and_rises_with_accuracy(accuracy, cost, factor):
    score = router_arena_score(accuracy, cost)
    assert 0 <= score <= 1
    assert router_arena_score(accuracy, cost * factor) <= score + 1e-12
    assert router_arena_score(min(1.0, accuracy * factor), cost) >= score - 1e-12


def test_router_arena_score_at_its_ends():
    assert router_arena_score(1.0, 0.0044) == pytest.approx(1.0)
    assert router_arena_score(1.0, 200.0) == 0.0


@given(points, st.floats(0.005, 12))
def test_mixture_costs_what_it_should_and_is_the_hull(curve, target):
    cost, quality = curve
    weights = static_mixture(quality, cost, target)
    x, y = convex_hull(cost, quality)
    assert weights.sum() == pytest.approx(1)
    assert (weights >= 0).all()
    assert (weights > 0).sum() <= 2
    assert weights @ cost == pytest.approx(np.clip(target, x[0], x[-1]))
    assert weights @ quality == pytest.approx(np.interp(target, x, y))


def test_unknown_llms_are_never_mixed_in():
    weights = static_mixture(np.array([0.5, np.nan, 0.9]), np.array([1.0, 1.5, 2.0]), 1.5)
    assert weights.tolist() == [0.5, 0.0, 0.5]
    with pytest.raises(InputError, match="no point"):
        static_mixture(np.array([np.nan]), np.array([1.0]), 1.0)
