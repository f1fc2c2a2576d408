"""The fast placing against NUTS on the same posteriors: what is predicted of a new LLM agrees in mean and SD, cell by cell.

At the sizes below the Monte Carlo errors of a mean and of a ratio of SDs are about 0.006 and 0.04; the bounds are some three of them.
One fixed seed: each test passes or fails for good.
"""

import numpy as np
import pytest

from bayes_irt_router.calibration.ability_prior import new_llm_prior
from bayes_irt_router.calibration.answers import Answer
from bayes_irt_router.calibration.items import ItemBank
from bayes_irt_router.calibration.placing import place
from bayes_irt_router.inference.fitting import fit
from bayes_irt_router.inference.nuts import NUTS
from bayes_irt_router.inference.placement_reference import cut_by_nuts, joint_by_nuts
from bayes_irt_router.irt.mirt import MIRT
from bayes_irt_router.irt.response import p_correct

pytestmark = pytest.mark.slow

MODEL = MIRT(traits=2)
MEAN, RATIO, SHARE = 0.02, 0.15, 0.95
ANSWERS, LLMS = 16, 15


@pytest.fixture(scope="module")
def data(bank):
    """80 queries, most of them answered by 15 LLMs and by the new one: with fewer, items are known too little for a normal residual."""
    return bank(80, llms=LLMS + 1, seed=4)


@pytest.fixture(scope="module")
def posterior(data):
    sampler = NUTS(draws=1800, tune=400)
    return fit(
        MODEL, data.isel(llm=slice(LLMS)), sampler, seed=2, landmarks=16, keep_draws=7200, progress=False
    )


@pytest.fixture(scope="module")
def given(data):
    score = data["score"].values[:, LLMS]
    positions = np.flatnonzero(~np.isnan(score))[:ANSWERS]
    return positions, score[positions]


def placed(posterior, given, mode):
    bank = ItemBank.of(posterior)
    answers = [Answer(bank.query[i], float(s)) for i, s in zip(*given, strict=True)]
    placement = place(bank, new_llm_prior(posterior), answers, np.random.default_rng(0), mode=mode)
    return bank.p_correct(placement.index, placement.ability)


def agree(fast, reference):
    difference = fast.mean(axis=0) - reference.mean(axis=0)
    ratio = fast.std(axis=0) / reference.std(axis=0)
    assert (np.abs(difference) <= MEAN).mean() >= SHARE, np.sort(np.abs(difference))[-5:]
    assert (np.abs(ratio - 1) <= RATIO).mean() >= SHARE, np.sort(np.abs(ratio - 1))[-5:]


def test_cut(posterior, given):
    bank, prior = ItemBank.of(posterior), new_llm_prior(posterior)
    draws = bank.posterior.draws
    a = draws["discrimination"].transpose("chain", "draw", "query", "trait").values.astype(float)
    a = a.reshape(bank.draws, *a.shape[2:])
    b = draws["difficulty"].values.reshape(bank.draws, -1).astype(float)
    positions, score = given
    theta = cut_by_nuts(
        prior.mean, prior.factor, a[:, positions], b[:, positions], score, NUTS(draws=20, tune=150, chains=1)
    )
    reference = np.concatenate([p_correct(t[:, None], a, b)[..., 0] for t in theta[::4]])
    agree(placed(posterior, given, "cut"), reference)


def test_joint(posterior, given, data):
    sampler = NUTS(draws=1800, tune=400)
    fitted = posterior.feature_map.apply_in_training(
        data.isel(llm=slice(LLMS)), seed=2
    )  # as the fit saw them
    drawn = joint_by_nuts(MODEL, fitted, *given, sampler, seed=3, progress=False)
    a, b, theta = (
        drawn[name].values.reshape(7200, *drawn[name].shape[2:])
        for name in ("discrimination", "difficulty", "new_ability")
    )
    # What an answer tells of its own query, beside the ability, is not passed on to that query's item: it will not be asked again.
    others = np.setdiff1d(np.arange(data.sizes["query"]), given[0])
    agree(placed(posterior, given, "joint")[:, others], p_correct(theta[:, None], a, b)[:, others, 0])
