"""What is taken away from a population's values may be narrowed, because what is left does not depend on it."""

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import pytest
from scipy.stats import ks_2samp, norm

from bayes_irt_router.irt.population import NARROW, DoubleCentring, frame, raw_random, standardised_logp

ERROR_RATE = 1e-4
LLMS = 6
QUICK = "FAST_COMPILE"


def narrowing(logp, raw):
    """By what each draw's density is multiplied, relative to that of standard normals."""
    value = pt.tensor3()
    found = pt.stack([logp(value[k], None) for k in range(50)])
    compiled = pm.compile(inputs=[value], outputs=found, mode=QUICK)
    logs = np.concatenate([compiled(part) for part in raw.reshape(-1, 50, *raw.shape[1:])])
    return np.exp(logs + 0.5 * (raw**2).sum(axis=(1, 2)))


def test_what_is_left_has_the_same_distribution():
    """Standard normals weighted by the narrowing: functions of what is left have the mean that they have without weights."""
    raw = np.random.default_rng(0).standard_normal((40_000, 1, LLMS))
    weight = narrowing(standardised_logp, raw)
    left = raw - raw.mean(axis=2, keepdims=True)
    left = (left / left.std(axis=2, keepdims=True))[:, 0]
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


def gaps(rows=4):
    """Cells that are centred: every row and LLM has some, and some are missing."""
    inside = np.random.default_rng(5).random((rows, LLMS)) < 0.7
    assert inside.any(axis=0).all()
    assert inside.any(axis=1).all()
    assert not inside.all()
    return inside


def test_double_centring_without_gaps_takes_both_means_away():
    centring = DoubleCentring.of(np.full((3, LLMS), True))
    raw = np.random.default_rng(3).standard_normal((3, LLMS))
    expected = raw - raw.mean(axis=0) - raw.mean(axis=1, keepdims=True) + raw.mean()
    np.testing.assert_allclose(centring.left(raw), expected, atol=1e-6)


def test_double_centring_leaves_nothing_of_what_rows_and_llms_have_in_common():
    inside = gaps()
    rng, centring = np.random.default_rng(3), DoubleCentring.of(inside)
    raw = rng.standard_normal(inside.shape)
    left = centring.left(raw) * inside
    np.testing.assert_allclose(left.sum(axis=0), 0.0, atol=1e-6)
    np.testing.assert_allclose(left.sum(axis=1), 0.0, atol=1e-6)
    additive = rng.standard_normal((len(inside), 1)) + rng.standard_normal(LLMS)
    np.testing.assert_allclose(centring.left(raw + additive) * inside, left, atol=1e-5)


def test_double_centring_narrows_main_effects_and_what_is_left_has_the_same_distribution():
    """All is normal: the covariances follow from the precision, minus the Hessian of the log density."""
    inside = gaps()
    centring, cells = DoubleCentring.of(inside), inside.size
    unit = np.eye(cells).reshape(cells, *inside.shape)
    logp = np.array([[float(centring.logp(a + b, None)) for a in unit] for b in unit])
    alone = np.array([float(centring.logp(a, None)) for a in unit])
    precision = -(logp - alone - alone[:, None])
    covariance = np.linalg.inv(precision)
    left = np.stack([centring.left(a).ravel() for a in unit], axis=1)
    np.testing.assert_allclose(left @ covariance @ left.T, left @ left.T, atol=1e-4)
    effects = np.stack([np.concatenate(centring.main_effects(a)) for a in unit], axis=1)
    sd = np.sqrt(np.diag(effects @ covariance @ effects.T))
    assert (sd < NARROW).all()
    assert (np.sqrt(np.diag(effects @ effects.T)) > 5 * NARROW).all()


def test_cells_outside_vary_as_new_ones_around_what_the_others_say():
    """Around main effects that are estimated from independent values: as far as a new value is from its prediction."""
    inside = gaps()
    centring = DoubleCentring.of(inside)
    raw = np.random.default_rng(3).standard_normal((20_000, *inside.shape))
    left = np.stack([centring.left(one) for one in raw])
    new = np.stack(
        [one - np.add.outer(*centring.main_effects(one)) for one in raw[::-1]]
    )  # of cells outside, which have no part in the main effects
    limit = norm.isf(ERROR_RATE / 2 / (~inside).sum()) * np.sqrt(4 / len(raw))
    ratio = left.var(axis=0)[~inside] / new.var(axis=0)[~inside]
    assert (np.abs(np.log(ratio)) < limit).all()


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
