"""Permuted answers keep what they should, and AUC within LLMs has the distribution that is claimed."""

import numpy as np
import pytest

from bayes_irt_router.evaluation.metrics import auc
from bayes_irt_router.evaluation.shuffled_control import auc_within_llm, permute_answers, pooled_within_llm


def test_each_llm_keeps_its_answers_and_where_it_gave_them(bank):
    data = bank(queries=100)
    permuted = permute_answers(data, np.random.default_rng(0))
    np.testing.assert_array_equal(permuted["trials"].values > 0, data["trials"].values > 0)
    np.testing.assert_array_equal(np.sort(permuted["score"], axis=0), np.sort(data["score"], axis=0))
    assert (permuted["score"].values != data["score"].values).any()
    for name in ("embedding", "text"):
        np.testing.assert_array_equal(permuted[name].values, data[name].values)


def test_what_an_answer_cost_moves_with_it(bank):
    """Else costs would tell of queries what scores do not, and choosing by them would look like skill."""
    data = bank(queries=60)
    data = data.assign(output_tokens=data["score"].fillna(0.0) + 1.0)
    permuted = permute_answers(data, np.random.default_rng(1))
    answered = permuted["trials"].values > 0
    np.testing.assert_array_equal(
        permuted["output_tokens"].values[answered], permuted["score"].values[answered] + 1.0
    )
    assert (permuted["output_tokens"].values != data["output_tokens"].values).any()


def test_trials_move_with_their_scores(bank):
    data = bank(queries=60)
    trials = data["trials"].copy(deep=True)
    trials[:] = np.where(np.isnan(data["score"]), 0, 1 + 2 * data["score"].fillna(0))
    permuted = permute_answers(data.assign(trials=trials), np.random.default_rng(1))
    expected = np.where(np.isnan(permuted["score"]), 0, 1 + 2 * permuted["score"].fillna(0))
    np.testing.assert_array_equal(permuted["trials"].values, expected)


def test_what_llm_means_explain_is_one_half_within_llms():
    rng = np.random.default_rng(2)
    p = np.tile([0.1, 0.9], (200, 1))
    score = (rng.random(p.shape) < p).astype(float)
    assert auc(p, score) > 0.8
    found = auc_within_llm(p, score)
    assert (found.auc, found.null_sd, found.z, found.llms) == (0.5, 0.0, 0.0, 2)


def test_one_llm_is_the_usual_auc():
    rng = np.random.default_rng(3)
    p, score = rng.random((50, 1)).round(1), rng.integers(2, size=(50, 1)).astype(float)
    assert auc_within_llm(p, score).auc == pytest.approx(auc(p, score))


def test_its_spread_under_permutation_is_the_one_claimed():
    # The standard deviation of 400 permutations is within 15 % of the truth with probability 0.99997, and
    # their mean within 4 standard errors with probability 0.9999.
    rng = np.random.default_rng(4)
    p = rng.random((40, 3)).round(1)
    score = (rng.random((40, 3)) < [0.2, 0.5, 0.8]).astype(float)
    score[:5, 0] = np.nan
    drawn = []
    for _ in range(400):
        shuffled = score.copy()
        for j in range(3):
            seen = np.flatnonzero(~np.isnan(score[:, j]))
            shuffled[seen, j] = score[rng.permutation(seen), j]
        drawn.append(auc_within_llm(p, shuffled))
    values = np.array([one.auc for one in drawn])
    assert np.std(values) == pytest.approx(drawn[0].null_sd, rel=0.15)
    assert abs(values.mean() - 0.5) < 4 * drawn[0].null_sd / 20


def test_pooling_is_over_llms():
    rng = np.random.default_rng(5)
    parts = [auc_within_llm(rng.random((30, k)), rng.integers(2, size=(30, k)).astype(float)) for k in (2, 4)]
    pooled = pooled_within_llm(parts)
    assert pooled.llms == 6
    assert pooled.auc == pytest.approx((2 * parts[0].auc + 4 * parts[1].auc) / 6)
    assert pooled.null_sd < max(one.null_sd for one in parts)


def test_nothing_to_rank_is_unknown():
    assert np.isnan(pooled_within_llm([auc_within_llm(np.ones((3, 1)), np.ones((3, 1)))]).auc)
