"""What ships knows nothing of single training queries, and predicts as the whole model does."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr

from bayes_irt_router.errors import InputError
from bayes_irt_router.inference.population import keeps_queries, require_queries, without_queries
from bayes_irt_router.inference.posterior import Posterior
from bayes_irt_router.inference.storage import load, save
from bayes_irt_router.routing.cost_prediction import predict_cost
from bayes_irt_router.routing.prediction import predict


@pytest.fixture(scope="module")
def stripped(small_fit: Posterior, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shipped") / "model"
    save(without_queries(small_fit, 40), folder)
    return folder


def test_new_prompts_are_predicted_as_by_the_whole_model(
    small_fit: Posterior, stripped: Path, bank: Callable[..., xr.Dataset]
):
    new, whole, shipped = bank(seed=9), small_fit.thin(40), load(stripped)
    for seed in (0, 1):
        ours = predict(shipped, new, np.random.default_rng(seed))
        theirs = predict(whole, new, np.random.default_rng(seed))
        xr.testing.assert_allclose(ours, theirs, atol=1e-4)
        ours = predict_cost(shipped, new, np.random.default_rng(seed), shipped.size)
        theirs = predict_cost(whole, new, np.random.default_rng(seed), whole.size)
        xr.testing.assert_allclose(ours, theirs, rtol=1e-3)


def test_no_array_of_the_file_has_a_row_for_a_training_query(small_fit: Posterior, stripped: Path):
    queries = small_fit.tree["queries"].sizes["query"]
    names = {str(name) for name in small_fit.tree["queries"]["query"].values}
    shapes, texts = {}, []

    def visit(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            shapes[name] = item.shape
            if item.dtype.kind == "O":
                texts.extend(str(one) for one in np.ravel(item.asstr()[()]))

    with h5py.File(stripped / "posterior.nc") as file:
        file.visititems(visit)
    assert {name: shape for name, shape in shapes.items() if queries in shape} == {}
    assert [text for text in texts if any(name in text.split(" x ") for name in names)] == []
    assert not (stripped / "texts.parquet").exists()
    record = (stripped / "model.json").read_text(encoding="utf-8")
    assert [name for name in names if f'"{name}"' in record] == []


def test_it_says_what_it_lacks(small_fit: Posterior, stripped: Path):
    assert keeps_queries(small_fit)
    require_queries(small_fit, "calibration")
    shipped = load(stripped)
    assert not keeps_queries(shipped)
    with pytest.raises(InputError, match="calibration needs"):
        require_queries(shipped, "calibration")
