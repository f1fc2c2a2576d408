import numpy as np
import xarray as xr

from bayes_irt_router.irt.identification import align_traits


def turned_draws(traits, rng):
    """The same abilities and discriminations in every draw, but for noise and a rotation of the specific traits."""
    ability, discrimination = rng.normal(size=(9, traits)), rng.normal(size=(30, traits)) ** 3
    shape = (2, 20)
    rotation = np.tile(np.eye(traits), (*shape, 1, 1))
    rotation[..., 1:, 1:] = np.linalg.qr(rng.normal(size=(*shape, traits - 1, traits - 1)))[0]
    frame = np.linalg.cholesky(np.cov(rng.normal(size=(traits, 40))).reshape(traits, traits))
    slope = rng.normal(size=(1, traits - 1))
    noisy = ability + 0.05 * rng.normal(size=(*shape, *ability.shape))
    return xr.Dataset(
        {
            "ability": (("chain", "draw", "llm", "trait"), noisy @ rotation),
            "discrimination": (("chain", "draw", "query", "trait"), discrimination @ rotation),
            "ability_frame": (("chain", "draw", "raw_trait", "trait"), frame @ rotation),
            "discrimination_residual_slope": (
                ("chain", "draw", "specific"),
                (slope @ rotation[..., 1:, 1:])[..., 0, :],
            ),
        },
        coords={
            "trait": ["general", *(f"specific_{d}" for d in range(1, traits))],
            "specific": [f"specific_{d}" for d in range(1, traits)],
        },
    )


def products(draws):
    return draws["discrimination"].values @ np.swapaxes(draws["ability"].values, -1, -2)


def test_alignment_keeps_a_theta_and_the_general_trait():
    for traits in (1, 2, 4):
        draws = turned_draws(traits, np.random.default_rng(traits))
        aligned = align_traits(draws)
        np.testing.assert_allclose(products(aligned), products(draws), atol=1e-4)
        np.testing.assert_allclose(
            aligned["ability"].values[..., 0], draws["ability"].values[..., 0], atol=1e-6
        )


def test_everything_that_has_traits_is_turned_alike():
    """What no turn can change: the frame with an ability, and the slopes with specific abilities."""
    for traits in (2, 3, 4):
        draws = turned_draws(traits, np.random.default_rng(traits))
        aligned = align_traits(draws)
        assert set(aligned.data_vars) == set(draws.data_vars)
        raw, slope = [], []
        for one in (draws, aligned):
            assert one["ability_frame"].dims == ("chain", "draw", "raw_trait", "trait")
            raw.append(one["ability_frame"].values @ np.swapaxes(one["ability"].values, -1, -2))
            slope.append(
                one["ability"].values[..., 1:] @ one["discrimination_residual_slope"].values[..., None]
            )
        np.testing.assert_allclose(*raw, atol=1e-8)
        np.testing.assert_allclose(*slope, atol=1e-8)


def test_alignment_undoes_the_rotations():
    """After it, draws of a specific ability differ by their noise (SD 0.05), not by the rotation (SD about 1)."""
    draws = turned_draws(3, np.random.default_rng(0))
    assert draws["ability"].std(("chain", "draw")).values[:, 1:].mean() > 0.4
    assert align_traits(draws)["ability"].std(("chain", "draw")).values[:, 1:].max() < 0.15
