import numpy as np
import pytest
import xarray as xr

from bayes_irt_router.errors import InputError


@pytest.mark.parametrize("draws", [4, 5, 7, 40, 111, 399])
def test_thinning_keeps_evenly_spaced_draws_equally_many_of_each_chain(small_fit, draws):
    thinned = small_fit.thin(draws)
    each = draws // 4
    assert thinned.size == 4 * each <= draws
    kept = thinned.draws["draw"].values
    assert len(set(kept.tolist())) == each
    if each > 1:
        assert (kept[0], kept[-1]) == (0, 99)
        assert np.ptp(np.diff(kept)) <= 1
    xr.testing.assert_equal(thinned.draws, small_fit.draws.sel(draw=kept))
    stats = small_fit.tree["sample_stats"].to_dataset()
    xr.testing.assert_equal(thinned.tree["sample_stats"].to_dataset(), stats.sel(draw=kept))
    assert set(thinned.tree.children) == set(small_fit.tree.children)


def test_thinning_leaves_the_original_alone_and_never_adds_draws(small_fit):
    small_fit.thin(8)
    assert small_fit.size == 400
    assert small_fit.thin(400) is small_fit
    assert small_fit.thin(10**9) is small_fit


def test_thinning_keeps_all_else(small_fit):
    thinned = small_fit.thin(8)
    assert thinned.record == small_fit.record
    assert thinned.gate is small_fit.gate
    assert thinned.feature_map is small_fit.feature_map
    assert thinned.texts == small_fit.texts
    assert thinned.llm == small_fit.llm


@pytest.mark.parametrize("draws", [3, 0, -1])
def test_fewer_draws_than_chains(small_fit, draws):
    with pytest.raises(InputError, match="ask for at least 4"):
        small_fit.thin(draws)
