import numpy as np
import pytest
from scipy.stats import binom

from bayes_irt_router.calibration.answers import Answer
from bayes_irt_router.calibration.drift import check_drift
from bayes_irt_router.errors import InputError

ERROR_RATE = 1e-4


def simulated(bank, llm, rng, count, flip=False):
    """Answers of an LLM as one draw of the posterior has it, or of its opposite."""
    s = int(rng.integers(bank.draws))
    theta = bank.posterior.draws["ability"].sel(llm=llm).values.reshape(-1, 2)[s]
    p = bank.p_correct(np.array([s]), theta[None].astype(float))[0]
    p = 1 - p if flip else p
    return [Answer(bank.query[i], float(rng.random() < p[i])) for i in rng.permutation(len(p))[:count]]


def test_false_alarms_are_as_rare_as_stated_at_any_time(fitted_bank):
    """At a rate of 0.2, checking after 8, 24 and 48 answers: at most 0.2 of 40 unchanged LLMs, binomial test."""
    rng, runs = np.random.default_rng(0), 40
    llm = fitted_bank.posterior.llm[1]
    alarms = 0
    for _ in range(runs):
        given = simulated(fitted_bank, llm, rng, 48)
        alarms += any(
            check_drift(fitted_bank, llm, given[:n], rng, false_alarms=0.2).drifted for n in (8, 24, 48)
        )
    assert binom.sf(alarms - 1, runs, 0.2) > ERROR_RATE


def test_a_changed_llm_is_found(fitted_bank):
    rng = np.random.default_rng(1)
    llm = fitted_bank.posterior.llm[0]
    found = check_drift(fitted_bank, llm, simulated(fitted_bank, llm, rng, 48, flip=True), rng)
    assert found.drifted
    assert found.p_value < 0.01
    assert "has changed" in found.sentence
    same = check_drift(fitted_bank, llm, simulated(fitted_bank, llm, rng, 48), rng)
    assert not same.drifted
    assert "no change" in same.sentence


def test_predictive_p_values_are_not_too_small_too_often(fitted_bank):
    rng, llm = np.random.default_rng(2), fitted_bank.posterior.llm[2]
    values = [
        check_drift(fitted_bank, llm, simulated(fitted_bank, llm, rng, 30), rng).p_value for _ in range(60)
    ]
    assert binom.sf(sum(v < 0.2 for v in values) - 1, 60, 0.2) > ERROR_RATE


def test_graded_answers_can_be_checked(fitted_bank):
    given = [Answer(name, 0.25) for name in fitted_bank.query[:6]]
    assert (
        0
        <= check_drift(fitted_bank, fitted_bank.posterior.llm[0], given, np.random.default_rng(0)).p_value
        <= 1
    )


@pytest.mark.parametrize(
    ("llm", "count", "rate", "expected"),
    [
        ("nobody", 1, 0.1, "does not know"),
        (None, 0, 0.1, "no recent answers"),
        (None, 1, 0.0, "false alarms"),
    ],
)
def test_what_cannot_be_checked_is_said(fitted_bank, llm, count, rate, expected):
    given = [Answer(fitted_bank.query[0], 1.0)] * count
    with pytest.raises(InputError, match=expected):
        check_drift(
            fitted_bank,
            llm or fitted_bank.posterior.llm[0],
            given,
            np.random.default_rng(0),
            false_alarms=rate,
        )
