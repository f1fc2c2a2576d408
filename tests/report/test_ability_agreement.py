"""Agreement of two fits' abilities: does not depend on coordinates, and finds what is there and not what is not."""

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from bayes_irt_router.errors import InputError
from bayes_irt_router.report.ability_agreement import ability_agreement

LLMS, DRAWS = 40, 100


@pytest.fixture
def fitted(small_fit):
    """A posterior with these abilities (draw, llm, trait), of LLMs named by their numbers."""

    def make(theta, first=0):
        names = [f"llm-{k}" for k in range(first, first + theta.shape[1])]
        draws = xr.Dataset(
            {"ability": (("chain", "draw", "llm", "trait"), theta[None])},
            coords={"llm": names, "trait": [f"trait-{k}" for k in range(theta.shape[2])]},
        )
        return replace(small_fit, tree=xr.DataTree.from_dict({"posterior": draws}))

    return make


def repeated(theta):
    return np.tile(theta, (DRAWS, 1, 1))


def test_abilities_that_are_combinations_of_the_other_s_are_explained_whatever_the_rotation(fitted):
    rng = np.random.default_rng(0)
    theta, mixing = rng.standard_normal((LLMS, 3)), rng.standard_normal((3, 4))
    second = fitted(repeated(theta @ mixing + 5.0))
    turn = np.eye(3)
    turn[1:, 1:] = np.linalg.qr(rng.standard_normal((2, 2)))[0]
    tables = [
        ability_agreement(fitted(repeated(one)), second, np.random.default_rng(1))
        for one in (theta, theta @ turn)
    ]
    np.testing.assert_allclose(tables[0]["explained"], 1.0, atol=1e-9)
    expected = [np.corrcoef(theta[:, 0], (theta @ mixing)[:, k])[0, 1] for k in range(4)]
    np.testing.assert_allclose(tables[0]["correlation"][1:], expected, atol=1e-9)
    assert tables[0]["ability"].tolist() == ["mean of all", "trait-0", "trait-1", "trait-2", "trait-3"]
    for name in ("correlation", "explained"):
        np.testing.assert_allclose(tables[0][name], tables[1][name], atol=1e-9)


def test_unrelated_abilities_explain_nothing(fitted):
    """Error rate 1e-4: adjusted R^2 has mean 0, and over 100 independent pairs its mean an SD below 0.01."""
    rng = np.random.default_rng(2)
    first, second = (fitted(rng.standard_normal((DRAWS, LLMS, traits))) for traits in (3, 5))
    table = ability_agreement(first, second, rng, pairs=DRAWS)
    assert (table["explained"].abs() < 0.05).all()
    assert (table["correlation"].abs() < 0.09).all()
    assert (
        (table["correlation_lower"] < table["correlation"])
        & (table["correlation"] < table["correlation_upper"])
    ).all()


def test_only_llms_that_both_know_are_compared(fitted):
    rng = np.random.default_rng(3)
    theta = rng.standard_normal((LLMS + 10, 2))
    first, second = fitted(repeated(theta[:LLMS])), fitted(repeated(theta[10:]), first=10)
    table = ability_agreement(first, second, rng)
    np.testing.assert_allclose(table["correlation"][1], 1.0, atol=1e-9)
    with pytest.raises(InputError, match="2 LLMs in common"):
        ability_agreement(first, fitted(repeated(theta[:10]), first=LLMS - 2), rng)


def test_a_mirt_and_a_nirt_are_compared(small_fit, small_nirt):
    table = ability_agreement(small_fit, small_nirt, np.random.default_rng(0))
    assert table["ability"].tolist() == ["mean of all", *small_nirt.draws["trait"].values.tolist()]
    assert np.isfinite(table.drop(columns="ability").values).all()
