from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from bayes_irt_router.calibration.items import ItemBank
from bayes_irt_router.inference.posterior import Posterior


def with_draws(posterior: Posterior, **arrays: np.ndarray) -> Posterior:
    """The posterior with other values of some variables, dims as they are."""
    groups = {name: node.to_dataset() for name, node in posterior.tree.children.items()}
    group = groups["posterior"]
    groups["posterior"] = group.assign(
        {
            name: (group[name].dims, np.broadcast_to(values, group[name].shape).astype(np.float32))
            for name, values in arrays.items()
        }
    )
    return replace(posterior, tree=xr.DataTree.from_dict(groups))


@pytest.fixture(scope="session")
def fitted_bank(small_fit: Posterior) -> ItemBank:
    return ItemBank.of(small_fit)


@pytest.fixture(scope="session")
def certain(small_fit: Posterior) -> Posterior:
    """Everything known: all draws are the same one."""
    names = ("ability", "ability_frame", "discrimination", "difficulty")
    return with_draws(small_fit, **{name: small_fit.draws[name].values[:1, :1] for name in names})


@pytest.fixture(scope="session")
def uncertain(certain: Posterior) -> Callable[[float], Posterior]:
    """Makes a posterior with known abilities, and items that are independent normals with this SD."""

    def make(sd: float) -> Posterior:
        rng = np.random.default_rng(3)
        a, b = certain.draws["discrimination"].values, certain.draws["difficulty"].values
        return with_draws(
            certain,
            discrimination=a + sd / 2 * rng.standard_normal(a.shape),
            difficulty=b + sd * rng.standard_normal(b.shape),
        )

    return make


@pytest.fixture(scope="session")
def skewed(certain: Posterior) -> Posterior:
    """Known abilities, and items that are independent and skewed: difficulties have a tail upwards, discriminations one downwards."""
    rng = np.random.default_rng(4)
    a, b = certain.draws["discrimination"].values, certain.draws["difficulty"].values
    return with_draws(
        certain,
        discrimination=a - 0.2 * rng.gamma(8.0, size=a.shape) + 1.6,
        difficulty=b + 0.4 * rng.gamma(6.0, size=b.shape) - 2.4,
    )


@pytest.fixture(scope="session")
def reframed() -> Callable[[Posterior], Posterior]:
    """Makes a posterior whose frames of the abilities are those of six LLMs, drawn: far apart from draw to draw."""

    def make(posterior: Posterior) -> Posterior:
        raw = np.random.default_rng(1).standard_normal((posterior.size, 2, 6))
        raw -= raw.mean(axis=2, keepdims=True)
        frames = np.linalg.cholesky(raw @ np.swapaxes(raw, 1, 2) / 6)
        return with_draws(posterior, ability_frame=frames.reshape(posterior.draws["ability_frame"].shape))

    return make
