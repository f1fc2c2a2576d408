"""The verdict on a training says what it rests on, and how far networks agree."""

import numpy as np
import pytest

from bayes_irt_router.inference.diagnostics import NETWORK_SPREAD
from bayes_irt_router.inference.neural_training import Trained
from bayes_irt_router.inference.training_verdict import GENERAL, NAMED, network_spread, training_gate


def trained(*course: float, stopped: bool = False, judged: int = 50, networks: int = 2) -> Trained:
    """With this validation log loss after each pass, the same in each network."""
    validation = np.repeat(np.array(course)[:, None], networks, axis=1)
    return Trained({}, validation + 1.0, validation, stopped, 40, judged, "CPU", 1.0)


K_HAT = np.array([0.1, 0.3, 0.2])


def draws(networks: int = 2) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.standard_normal((100, 3, 2)) for _ in range(networks)]


def verdict(found: Trained) -> tuple[bool, str]:
    gate = training_gate(found, ["a", "b", "c"], ["sums", "facts"], draws(), K_HAT)
    return gate.passed, gate.verdict


FALLING = tuple(np.linspace(0.9, 0.5, 20))
FLAT = (*np.linspace(0.9, 0.5, 10), *[0.5] * 10)


def test_a_flat_validation_loss_is_rest_and_a_falling_one_is_not():
    assert verdict(trained(*FLAT))[0]
    passed, told = verdict(trained(*FALLING))
    assert not passed
    assert "still fell after 20 passes" in told
    # It stopped by itself while the mean over networks fell: no network got better.
    assert verdict(trained(*FALLING, stopped=True))[0]


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (trained(0.5, 0.6, 0.7, stopped=True), "2 of 2 networks was never lower than after the first pass"),
        (trained(0.5), "one pass"),
        (trained(np.nan, np.nan, judged=0), "no validation queries"),
    ],
)
def test_what_cannot_be_told_is_not_rest(found: Trained, why: str):
    passed, told = verdict(found)
    assert not passed
    assert why in told


def test_the_verdict_tells_the_course_and_the_spread():
    told = verdict(trained(*FLAT))[1]
    for part in (
        "all 20 passes",
        "0.9000 after the first pass",
        "0.5000 at",
        "50 queries",
        "general ability",
    ):
        assert part in told
    assert "stopped after 3 of at most 40 passes" in verdict(trained(0.5, 0.4, 0.4, stopped=True))[1]


def test_the_spread_between_networks_is_that_of_their_means():
    rng = np.random.default_rng(1)
    centre = 2.0 * rng.standard_normal((400, 1, 5, 1))  # as many networks as tell an SD of 2 within 4 %
    found = network_spread(list(centre + rng.standard_normal((400, 20, 5, 1))))
    np.testing.assert_allclose(found, 2.0, rtol=0.15)
    same = network_spread(list(rng.standard_normal((400, 20, 5, 1))))
    assert (same < 0.1).all()  # the means of 20 draws differ by 0.22, which is no disagreement
    assert np.isnan(network_spread([np.zeros((4, 3, 2))])).all()


def test_every_llm_and_ability_is_listed():
    gate = training_gate(trained(*FLAT), ["a", "b", "c"], ["sums", "facts"], draws(), K_HAT)
    assert gate.table["quantity"].tolist() == [GENERAL] * 3 + [NAMED] * 2
    summary = gate.summary().set_index("quantity")
    for quantity in (GENERAL, NAMED):
        largest = gate.table.query("quantity == @quantity")[NETWORK_SPREAD].max()
        assert summary.loc[quantity, f"{NETWORK_SPREAD}_max"] == largest


def test_abilities_that_are_not_normal_are_named():
    told = training_gate(
        trained(*FLAT), ["a", "b", "c"], ["sums", "facts"], draws(), np.array([0.1, 0.9, 0.2])
    )
    assert not told.passed
    assert "k-hat of abilities is above 0.7 for b (0.90)" in told.verdict
