"""A NIRT from data to folder and back."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from bayes_irt_router.errors import InputError
from bayes_irt_router.inference.neural_fitting import fit_nirt
from bayes_irt_router.inference.neural_training import Training
from bayes_irt_router.inference.posterior import Posterior
from bayes_irt_router.inference.storage import load, save
from bayes_irt_router.irt.ability_table import ABILITIES
from bayes_irt_router.irt.nirt import NIRT
from bayes_irt_router.irt.relevance import from_descriptions
from bayes_irt_router.routing.prediction import predict

SMALL = NIRT(abilities=ABILITIES[:3], units=2, hidden=4, factors=1)
SHORT = Training(networks=1, passes=3, steps=3, batch=16)


def test_predictions_are_the_same_after_a_round_trip(
    small_nirt: Posterior, bank: Callable[..., xr.Dataset], tmp_path: Path
):
    save(small_nirt, tmp_path / "model")
    back = load(tmp_path / "model")
    queries = bank(seed=5)
    before, after = (predict(one, queries, np.random.default_rng(0)) for one in (small_nirt, back))
    xr.testing.assert_allclose(before, after, rtol=1e-5)
    assert back.record["kind"] == "nirt"
    assert back.gate.verdict == small_nirt.gate.verdict
    assert back.texts == small_nirt.texts


def test_predictions_keep_the_contract(small_nirt: Posterior, bank: Callable[..., xr.Dataset]):
    found = predict(small_nirt, bank(seed=5), np.random.default_rng(0))
    assert found["p_correct"].dims == ("chain", "draw", "query", "llm")
    assert found.sizes["chain"] * found.sizes["draw"] == small_nirt.size
    for name in ("p_correct", "p_correct_conditional"):
        assert ((found[name] > 0) & (found[name] < 1)).all()
    # Over the draws, one residual each has the mean that integrating has, to 4 standard errors of the mean over cells and more.
    difference = (found["p_correct"] - found["p_correct_conditional"]).mean(("chain", "draw"))
    assert abs(float(difference.mean())) < 0.02


def test_the_same_seed_gives_the_same_fit(bank: Callable[..., xr.Dataset]):
    first, second = (fit_nirt(SMALL, bank(), SHORT, seed=3, keep_draws=4, progress=False) for _ in range(2))
    xr.testing.assert_identical(first.draws, second.draws)


def test_a_missing_answer_counts_nowhere(bank: Callable[..., xr.Dataset]):
    data = bank()
    hidden = data["trials"] == 0
    hidden[::7, 1] = True
    masked = data.assign(score=data["score"].where(~hidden), trials=data["trials"].where(~hidden, 0))
    first = fit_nirt(SMALL, masked, SHORT, seed=3, keep_draws=4, progress=False)
    changed = masked.assign(score=masked["score"].where(~hidden, 1.0))
    second = fit_nirt(SMALL, changed, SHORT, seed=3, keep_draws=4, progress=False)
    other = fit_nirt(SMALL, data, SHORT, seed=3, keep_draws=4, progress=False)
    xr.testing.assert_identical(first.draws, second.draws)
    assert not np.allclose(first.draws["ability"], other.draws["ability"])


def test_a_relevance_prior_of_other_abilities_is_refused(bank: Callable[..., xr.Dataset]):
    with pytest.raises(InputError, match="abilities"):
        fit_nirt(SMALL, bank(), SHORT, relevance=from_descriptions(np.eye(4, 16)), progress=False)


def test_more_answers_of_a_better_llm_raise_its_ability(small_nirt: Posterior):
    table = small_nirt.tree["llms"].to_dataset()
    general = small_nirt.draws["ability"].mean(("chain", "draw", "trait"))
    scores = table["mean_score"].values
    assert general[int(scores.argmax())] > general[int(scores.argmin())]
