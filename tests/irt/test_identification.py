import numpy as np
import xarray as xr

from bayes_irt_router.irt.identification import align_traits


def turned_draws(traits, rng):
    """The same abilities and discriminations in every draw, but for noise and a rotation of the specific traits."""
    ability, discrimination = rng.normal(size=(9, traits)), rng.normal(size=(30, traits)) ** 3
    shape = (2, 20)
    rotation = np.tile(np.eye(traits), (*shape, 1, 1))
    rotation[..., 1:, 1:] = np.linalg.qr(rng.normal(size=(*shape, traits - 1, traits - 1)))[0]
    noisy = ability + 0.05 * rng.normal(size=(*shape, *ability.shape))
    return xr.Dataset(
        {
            "ability": (("chain", "draw", "llm", "trait"), noisy @ rotation),
            "discrimination": (("chain", "draw", "query", "trait"), discrimination @ rotation),
        }
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


def test_alignment_undoes_the_rotations():
    """After it, draws of a specific ability differ by their noise (SD 0.05), not by the rotation (SD about 1)."""
    draws = turned_draws(3, np.random.default_rng(0))
    assert draws["ability"].std(("chain", "draw")).values[:, 1:].mean() > 0.4
    assert align_traits(draws)["ability"].std(("chain", "draw")).values[:, 1:].max() < 0.15
