"""What holds in every test and doctest, set before the package is imported for the first time."""

import os
import tempfile
from collections.abc import Callable
from typing import TYPE_CHECKING

import hypothesis
import numpy as np
import pytest
import xarray as xr
from jaxtyping import install_import_hook

if TYPE_CHECKING:
    from bayes_irt_router.inference.posterior import Posterior

# No window is opened, no model hub is asked: both libraries read these when they are first imported.
os.environ["MPLBACKEND"] = "Agg"
os.environ["HF_HUB_OFFLINE"] = "1"

# Shapes and types in signatures are checked while running, but only here. As for mypy, an int may stand for a
# float.
install_import_hook(
    "bayes_irt_router",
    "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))",
)

# A first call may compile or import for seconds, and a busy machine may stall: time is no property of the code.
# In continuous integration the same examples run every time.
hypothesis.settings.register_profile("house", deadline=None, derandomize="CI" in os.environ)
hypothesis.settings.load_profile("house")

_cache = pytest.StashKey[tempfile.TemporaryDirectory]()


# Not a fixture: fixtures of this folder do not reach the package's doctests.
def pytest_configure(config: pytest.Config) -> None:
    config.stash[_cache] = tempfile.TemporaryDirectory(prefix="birt-cache-")
    os.environ["BIRT_CACHE_DIR"] = config.stash[_cache].name


def pytest_unconfigure(config: pytest.Config) -> None:
    config.stash[_cache].cleanup()


@pytest.fixture(scope="session")
def bank() -> Callable[..., xr.Dataset]:
    """Makes small featurized datasets: simulated answers, clustered unit vectors instead of an encoder."""
    from bayes_irt_router.data.simulation import simulate
    from bayes_irt_router.data.surface import features_named, surface_matrix

    def make(
        queries: int = 48, llms: int = 6, *, dims: int = 16, seed: int = 0, tasks: int | None = None
    ) -> xr.Dataset:
        rng = np.random.default_rng(seed)
        data = simulate(rng, queries=max(queries, 32), llms=llms).dataset.isel(query=slice(queries))
        if tasks is not None:  # few enough that each has queries enough to be told apart
            names = np.unique(data["task"].values.astype(str))[:tasks]
            data = data.assign_coords(task=("query", names[np.arange(queries) % tasks].astype(object)))
        tasks, task = np.unique(data["task"].values.astype(str), return_inverse=True)
        vectors = rng.standard_normal((len(tasks), dims))[task] + 0.5 * rng.standard_normal((queries, dims))
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        features = features_named(["characters", "words", "digits", "arithmetic_operators", "question_words"])
        made_by = {"encoder": "clustered vectors", "encoder_revision": "1"}
        return data.assign_coords(surface_feature=[feature.name for feature in features]).assign(
            embedding=(("query", "embedding_dim"), vectors.astype(np.float32), made_by),
            surface=(("query", "surface_feature"), surface_matrix(data["text"].values.tolist(), features)),
        )

    return make


@pytest.fixture(scope="session")
def small_fit(bank: Callable[..., xr.Dataset]) -> "Posterior":
    """A fit of 48 queries x 6 LLMs: much too short to converge, but it has all that a fit has."""
    from bayes_irt_router.inference.fitting import fit
    from bayes_irt_router.inference.nuts import NUTS
    from bayes_irt_router.irt.mirt import MIRT

    sampler = NUTS(draws=100, tune=100, chains=4, max_tree_depth=5)
    return fit(MIRT(traits=2), bank(), sampler, seed=1, keep_texts=True, progress=False)


@pytest.fixture(scope="session")
def testlet_fit(bank: Callable[..., xr.Dataset]) -> "Posterior":
    """The same for queries of three tasks that are told apart: LLMs have effects of their own on them."""
    from bayes_irt_router.inference.fitting import fit
    from bayes_irt_router.inference.nuts import NUTS
    from bayes_irt_router.irt.mirt import MIRT

    sampler = NUTS(draws=100, tune=100, chains=4, max_tree_depth=5)
    return fit(MIRT(traits=2), bank(tasks=3), sampler, seed=1, keep_texts=True, progress=False)


@pytest.fixture(scope="session")
def small_stack(small_fit: "Posterior", small_nirt: "Posterior") -> "Posterior":
    """Both as one model."""
    from bayes_irt_router.inference.stacking import stack

    return stack([small_fit, small_nirt])


@pytest.fixture(scope="session")
def small_nirt(bank: Callable[..., xr.Dataset]) -> "Posterior":
    """A NIRT of four abilities, two networks and a few steps: badly trained, but it has all that a fit has."""
    from bayes_irt_router.inference.neural_fitting import fit_nirt
    from bayes_irt_router.inference.neural_training import Training
    from bayes_irt_router.irt.ability_table import ABILITIES
    from bayes_irt_router.irt.nirt import NIRT
    from bayes_irt_router.irt.relevance import from_descriptions

    data = bank()
    relevance = from_descriptions(np.eye(4, data.sizes["embedding_dim"]))
    training = Training(networks=2, passes=6, steps=6, batch=32, validation=0.2)
    model = NIRT(abilities=ABILITIES[:4], units=3, hidden=8, factors=2)
    return fit_nirt(
        model, data, training, relevance=relevance, seed=1, keep_draws=40, keep_texts=True, progress=False
    )
