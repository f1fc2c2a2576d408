import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from bayes_irt_router.irt.crude_estimates import crude_estimates


def answers(queries, llms, seed, observed=0.8):
    rng = np.random.default_rng(seed)
    trials = (rng.random((queries, llms)) < observed).astype(np.int64)
    score = np.where(trials > 0, rng.integers(0, 2, trials.shape), np.nan)
    return xr.Dataset({"score": (("query", "llm"), score), "trials": (("query", "llm"), trials)})


@st.composite
def banks(draw):
    llms = draw(st.integers(4, 12))
    data = answers(draw(st.integers(15, 60)), llms, draw(st.integers(0, 10**6)))
    return data, draw(st.integers(1, min(8, llms - 2)))


@given(banks())
def test_abilities_have_mean_0_sd_1_and_no_correlation(bank):
    data, traits = bank
    ability = crude_estimates(data, traits).ability
    llms = data.sizes["llm"]
    assert ability.shape == (llms, traits)
    np.testing.assert_allclose(ability.mean(axis=0), 0.0, atol=1e-9)
    np.testing.assert_allclose(ability.T @ ability / llms, np.eye(traits), atol=1e-9)


@pytest.mark.parametrize("score", [0.0, 1.0])
def test_abilities_are_framed_even_if_the_answers_tell_nothing(score):
    data = answers(20, 6, 0, observed=1.0)
    data["score"][:] = score
    ability = crude_estimates(data, 3).ability
    assert np.isfinite(ability).all()


def test_difficulty_falls_with_the_share_of_right_answers():
    score = np.tril(np.ones((6, 5)), -1)  # query i is answered by the first i LLMs
    data = xr.Dataset(
        {"score": (("query", "llm"), score), "trials": (("query", "llm"), np.ones((6, 5), int))}
    )
    difficulty = crude_estimates(data, 1).difficulty
    assert np.isfinite(difficulty).all()
    assert (np.diff(difficulty) < 0).all()
    assert difficulty[0] == pytest.approx(-difficulty[-1])


def test_the_general_ability_orders_llms_as_accuracy_does():
    rng = np.random.default_rng(1)
    score = (rng.random((400, 5)) < np.array([0.9, 0.2, 0.5, 0.7, 0.35])).astype(float)
    data = xr.Dataset(
        {"score": (("query", "llm"), score), "trials": (("query", "llm"), np.ones((400, 5), int))}
    )
    general = crude_estimates(data, 2).ability[:, 0]
    assert np.argsort(general).tolist() == np.argsort(score.mean(axis=0)).tolist()


def test_specific_abilities_are_of_what_is_left_within_groups():
    """LLMs' levels by group are in the groups' logits, and not in the specific trait, which splits each group's queries."""
    rng = np.random.default_rng(2)
    group, half = np.repeat([0, 1], 2000), np.tile([1.0, -1.0], 2000)
    general, specific = np.array([0.5, -0.5, 0.5, -0.5]), np.array([0.7, 0.7, -0.7, -0.7])
    level = np.array([[1.0, -1.0, -1.0, 1.0], [-1.0, 1.0, 1.0, -1.0]])
    p = 1.0 / (1.0 + np.exp(-general - level[group] - half[:, None] * specific))
    score = (rng.random(p.shape) < p).astype(float)
    data = xr.Dataset(
        {"score": (("query", "llm"), score), "trials": (("query", "llm"), np.ones(p.shape, int))}
    )
    crude = crude_estimates(data, 2, group)
    assert abs(np.corrcoef(crude.ability[:, 1], specific)[0, 1]) > 0.95
    assert abs(np.corrcoef(crude_estimates(data, 2).ability[:, 1], specific)[0, 1]) < 0.9
    assert np.corrcoef(crude.group_logit.ravel(), (general + level).ravel())[0, 1] > 0.95
