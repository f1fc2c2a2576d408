"""Chosen questions count less the more there are; questions that nobody chose count in full."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayes_irt_router.calibration.ability_prior import new_llm_prior
from bayes_irt_router.calibration.answers import Answer
from bayes_irt_router.calibration.coarsening import MOST, chosen_weight
from bayes_irt_router.calibration.selection import Choosable, task_shares
from bayes_irt_router.calibration.session import Setup, state
from bayes_irt_router.calibration.targets import Target


@pytest.fixture(scope="module")
def setup(fitted_bank):
    open_ = np.ones(len(fitted_bank.query), dtype=bool)
    choosable = Choosable(open_, np.ones(len(open_)), task_shares(fitted_bank, open_))
    return Setup(fitted_bank, new_llm_prior(fitted_bank.posterior), Target(), choosable)


@given(st.integers(0, 5000), st.integers(1, 5000))
def test_more_answers_weigh_less_each_and_more_together(answered, more):
    fewer, many = chosen_weight(answered), chosen_weight(answered + more)
    assert 0.0 < many <= fewer <= 1.0
    assert answered * fewer < (answered + more) * many
    if answered >= MOST:
        assert many == fewer


def test_only_chosen_questions_are_weighted(setup):
    answers = [Answer(name, float(i % 3 > 0)) for i, name in enumerate(setup.bank.query[:12])]
    chosen, random, given_ = (
        state(one, answers) for one in (setup, replace(setup, selector="random"), replace(setup, given=12))
    )
    assert chosen.placement.weight == chosen_weight(12)
    assert random.placement.weight == given_.placement.weight == 1.0
    assert chosen.target.sd > given_.target.sd
    # Four of them were chosen; an answer given twice is one question.
    partly = state(replace(setup, given=8), [*answers, answers[0]])
    assert partly.placement.weight == chosen_weight(4)
