import numpy as np
import pytest

from bayes_irt_router.irt.answer_length import AnswerLengthDistribution


def test_expectations_are_those_of_the_draws():
    rng = np.random.default_rng(0)
    draws = 200_000
    one = AnswerLengthDistribution(
        np.full((draws, 1, 2), 1.0), np.full((draws, 1), 0.3), np.full((draws, 1, 2), 0.4)
    )
    residuals = one.residuals(rng)
    # The relative standard error of a mean of 200,000 log-normals with an SD of 0.5 is 0.0012; 4 SDs.
    assert one.conditional(residuals).mean() == pytest.approx(one.expected()[0, 0, 0], rel=0.005)
    assert one.replicated(residuals, rng).mean() == pytest.approx(one.expected()[0, 0, 0], rel=0.005)


def test_residuals_are_shared_by_all_llms():
    one = AnswerLengthDistribution(np.zeros((50, 3, 2)), np.ones((50, 3)), np.zeros((50, 3, 2)))
    drawn = one.conditional(one.residuals(np.random.default_rng(0)))
    assert (drawn[:, :, 0] == drawn[:, :, 1]).all()
    assert drawn.std() > 0
