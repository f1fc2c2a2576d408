"""What is taken away from a population's values may be narrowed, because what is left does not depend on it."""

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import pytest
from scipy.stats import ks_2samp, norm

from bayes_irt_router.irt.population import centred, centred_logp, frame, raw_random, standardised_logp

ERROR_RATE = 1e-4
LLMS = 6
QUICK = "FAST_COMPILE"


def narrowing(logp, raw):
    """By what each draw's density is multiplied, relative to that of standard normals."""
    value = pt.tensor3()
    found = pt.stack([logp(value[k], np.full((1, LLMS), 1 / LLMS)) for k in range(50)])
    compiled = pm.compile(inputs=[value], outputs=found, mode=QUICK)
    logs = np.concatenate([compiled(part) for part in raw.reshape(-1, 50, *raw.shape[1:])])
    return np.exp(logs + 0.5 * (raw**2).sum(axis=(1, 2)))


@pytest.mark.parametrize("logp", [centred_logp, standardised_logp])
def test_what_is_left_has_the_same_distribution(logp):
    """Standard normals weighted by the narrowing: functions of what is left have the mean that they have without weights."""
    raw = np.random.default_rng(0).standard_normal((40_000, 1, LLMS))
    weight = narrowing(logp, raw)
    left = raw - raw.mean(axis=2, keepdims=True)
    if logp is standardised_logp:
        left /= left.std(axis=2, keepdims=True)
    left = left[:, 0]
    functions = {
        "one LLM": left[:, 0] ** 2,
        "two LLMs": left[:, 0] * left[:, 1],
        "tails": left[:, 2] ** 4,
        "largest": left.max(axis=1),
    }
    limit = norm.isf(ERROR_RATE / 2 / len(functions))
    for name, value in functions.items():
        mean = np.average(value, weights=weight)
        error = np.sqrt((weight**2 * (value - mean) ** 2).sum()) / weight.sum()
        error = np.hypot(error, value.std() / np.sqrt(len(value)))
        assert abs(mean - value.mean()) < limit * error, name


def test_llms_outside_the_mean_are_as_far_from_it_as_new_ones():
    """The last two have no share: variance 1 - 1 / m inside, 1 + 1 / m outside, and the inside does not move with the outside."""
    inside = LLMS - 2
    share = np.array([[1 / inside] * inside + [0.0] * 2])
    value = pt.matrix()
    left = pm.compile(inputs=[value], outputs=centred(value, share), mode=QUICK)
    raw = np.random.default_rng(3).standard_normal((4000, LLMS))
    drawn = np.concatenate([left(row[None]) for row in raw])
    np.testing.assert_allclose(drawn[:, :inside].mean(axis=1), 0.0, atol=1e-6)
    expected = np.array([1 - 1 / inside] * inside + [1 + 1 / inside] * 2)
    limit = norm.isf(ERROR_RATE / 2 / LLMS) * np.sqrt(2 / len(raw))
    assert (np.abs(drawn.var(axis=0) / expected - 1) < limit).all()
    np.testing.assert_array_equal(left(raw[:1] * (share > 0))[:, :inside], left(raw[:1])[:, :inside])


def test_what_is_taken_away_is_narrowed():
    raw = np.random.default_rng(1).standard_normal((20_000, 1, LLMS))
    mean, variance = raw.mean(axis=2)[:, 0], raw.var(axis=2)[:, 0]
    weight = narrowing(standardised_logp, raw)
    assert np.sqrt(np.average(mean**2, weights=weight)) == pytest.approx(0.05, rel=0.2)
    assert np.average(np.abs(variance - 1), weights=weight) < 0.1 < np.abs(variance - 1).mean()


@pytest.mark.parametrize("traits", [1, 3])
def test_the_frame_is_that_of_normal_values(traits):
    with pm.Model(coords={"raw_trait": range(traits)}):
        drawn = pm.draw(frame(traits, LLMS), 3000, random_seed=1, mode=QUICK)
    raw = np.random.default_rng(2).standard_normal((3000, traits, LLMS))
    raw -= raw.mean(axis=2, keepdims=True)
    expected = np.linalg.cholesky(raw @ np.swapaxes(raw, 1, 2) / LLMS)
    entries = [(i, k) for i in range(traits) for k in range(i + 1)]
    for i, k in entries:
        assert ks_2samp(drawn[:, i, k], expected[:, i, k]).pvalue > ERROR_RATE / len(entries)
    assert (drawn[:, *np.triu_indices(traits, 1)] == 0).all()


def test_draws_have_the_asked_shape():
    rng = np.random.default_rng(0)
    assert raw_random(np.zeros((2, LLMS)), rng).shape == (2, LLMS)
    assert raw_random(np.zeros((2, LLMS)), rng, (5,)).shape == (5, 2, LLMS)
