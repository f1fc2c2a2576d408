"""Paired differences over queries, and intervals over folds and LLMs."""

import numpy as np
import pytest

from bayes_irt_router.evaluation.bootstrap import paired_differences, pigeonhole_interval


def test_no_difference_has_no_interval():
    [paired] = paired_differences(np.zeros((60, 1)), np.ones(60), np.random.default_rng(0))
    assert (paired.difference, paired.lower, paired.upper) == (0.0, 0.0, 0.0)


def test_swapping_the_two_swaps_the_sign():
    rng = np.random.default_rng(1)
    difference, weight = rng.normal(size=(60, 1)), rng.integers(1, 9, size=60).astype(float)
    [forth] = paired_differences(difference, weight, np.random.default_rng(2))
    [back] = paired_differences(-difference, weight, np.random.default_rng(2))
    assert forth.difference == pytest.approx(-back.difference)
    assert (forth.lower, forth.upper) == pytest.approx((-back.upper, -back.lower))
    assert forth.difference == pytest.approx(difference.sum() / weight.sum())


def test_columns_do_not_depend_on_one_another():
    difference = np.random.default_rng(3).normal(size=(40, 3))
    together = paired_differences(difference, np.ones(40), np.random.default_rng(4))
    for k in range(3):
        [alone] = paired_differences(difference[:, [k]], np.ones(40), np.random.default_rng(4))
        assert (alone.lower, alone.upper) == pytest.approx((together[k].lower, together[k].upper))


def test_interval_has_its_level():
    # 200 data sets of 60 independent queries whose mean difference is 0. Fewer than 177 intervals hold 0 with
    # probability 0.0001 at a true level of 0.95, and 0.001 at 0.94, the percentile bootstrap's shortfall.
    rng = np.random.default_rng(5)
    held = 0
    for _ in range(200):
        [paired] = paired_differences(rng.normal(size=(60, 1)), np.ones(60), rng, resamples=300)
        held += paired.lower <= 0 <= paired.upper
    assert held >= 177


def test_what_the_llms_of_a_fold_share_widens_the_interval():
    rng = np.random.default_rng(6)
    shared = np.repeat(rng.normal(size=(8, 1)), 40, axis=1)
    own = rng.permuted(shared, axis=0)
    own = rng.permutation(own.ravel()).reshape(shared.shape)
    wide, narrow = (np.diff(pigeonhole_interval(values, rng))[0] for values in (shared, own))
    assert wide > 2 * narrow


def test_missing_cells_are_left_out():
    values = np.array([[1.0, np.nan, 1.0], [np.nan, 1.0, 1.0]])
    assert pigeonhole_interval(values, np.random.default_rng(0)) == (1.0, 1.0)
