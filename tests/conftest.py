"""What holds in every test and doctest, set before the package is imported for the first time."""

import os
import tempfile

import pytest
from jaxtyping import install_import_hook

# No window is opened, no model hub is asked: both libraries read these when they are first imported.
os.environ["MPLBACKEND"] = "Agg"
os.environ["HF_HUB_OFFLINE"] = "1"

# Shapes and types in signatures are checked while running, but only here. As for mypy, an int may stand for a
# float.
install_import_hook(
    "bayes_irt_router",
    "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))",
)

_cache = pytest.StashKey[tempfile.TemporaryDirectory]()


# Not a fixture: fixtures of this folder do not reach the package's doctests.
def pytest_configure(config: pytest.Config) -> None:
    config.stash[_cache] = tempfile.TemporaryDirectory(prefix="birt-cache-")
    os.environ["BIRT_CACHE_DIR"] = config.stash[_cache].name


def pytest_unconfigure(config: pytest.Config) -> None:
    config.stash[_cache].cleanup()
