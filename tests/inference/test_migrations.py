"""A folder of an older version is read as if the newest had written it. The older versions here are made up."""

import json
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from bayes_irt_router.errors import InputError
from bayes_irt_router.inference import migrations, storage
from bayes_irt_router.inference.migrations import Content, migrated, newest_version
from bayes_irt_router.irt.mirt import MIRT


def doubled(old: Content) -> Content:
    return Content(old.record | {"n": old.record["n"] * 2}, old.groups)


def increased(old: Content) -> Content:
    return Content(old.record | {"n": old.record["n"] + 1}, old.groups)


@pytest.mark.parametrize(("version", "expected"), [(1, 7), (2, 4), (3, 3)])
def test_a_content_passes_through_the_migrations_since_its_version_in_order(version, expected):
    content = Content({"n": 3}, {})
    assert migrated(content, version, (doubled, increased)).record == {"n": expected}
    assert content.record == {"n": 3}
    assert newest_version((doubled, increased)) == 3


@pytest.fixture
def older(small_fit, tmp_path, monkeypatch):
    """A folder as version 1 would have written it, if version 2 had renamed a group and an entry of the record."""
    current = tmp_path / "model"
    storage.save(replace(small_fit.thin(8), texts=None), current)
    record = json.loads((current / storage.RECORD).read_text(encoding="utf-8"))
    record["text_encoder"] = record.pop("encoder")
    record["schema_version"] = 1
    (current / storage.RECORD).write_text(json.dumps(record), encoding="utf-8")
    with xr.open_datatree(current / storage.DRAWS, engine="h5netcdf") as tree:
        groups = {name: node.to_dataset().load() for name, node in tree.children.items()}
    groups["items"] = groups.pop("queries")
    xr.DataTree.from_dict(groups).to_netcdf(current / storage.DRAWS, engine="h5netcdf")

    def to_version_2(old: Content) -> Content:
        record = {name: value for name, value in old.record.items() if name != "text_encoder"}
        groups = {name: group for name, group in old.groups.items() if name != "items"}
        return Content(
            record | {"encoder": old.record["text_encoder"]}, groups | {"queries": old.groups["items"]}
        )

    monkeypatch.setattr(storage, "MIGRATIONS", (to_version_2,))
    monkeypatch.setattr(storage, "SCHEMA_VERSION", newest_version((to_version_2,)))
    return current


def test_an_older_folder_is_loaded_and_saved_as_the_newest(small_fit, older, tmp_path):
    before = (older / storage.RECORD).read_bytes()
    posterior = storage.load(older)
    assert posterior.record["encoder"] == small_fit.record["encoder"]
    np.testing.assert_array_equal(
        posterior.tree["queries"]["embedding"], small_fit.tree["queries"]["embedding"]
    )
    assert (older / storage.RECORD).read_bytes() == before
    storage.save(posterior, tmp_path / "newer")
    assert (
        json.loads((tmp_path / "newer" / storage.RECORD).read_text(encoding="utf-8"))["schema_version"] == 2
    )
    assert storage.load(tmp_path / "newer").record == posterior.record


def test_an_older_folder_that_is_incomplete_is_told(older):
    record = json.loads((older / storage.RECORD).read_text(encoding="utf-8"))
    del record["text_encoder"]
    (older / storage.RECORD).write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(InputError, match="of version 1 and incomplete"):
        storage.load(older)


def test_the_version_that_is_written_is_the_newest():
    assert newest_version(migrations.MIGRATIONS) == storage.SCHEMA_VERSION


def test_a_folder_of_the_time_before_effects_on_tasks_has_none(small_fit, tmp_path):
    folder = tmp_path / "model"
    storage.save(small_fit, folder)
    path = folder / storage.RECORD
    record = json.loads(path.read_text(encoding="utf-8"))
    record["schema_version"] = 1
    del record["model"]["testlets"], record["model"]["priors"]["testlet"]
    path.write_text(json.dumps(record), encoding="utf-8")
    assert MIRT.from_dict(storage.load(folder).record["model"]) == MIRT(traits=2, testlets=False)


def test_a_folder_of_the_time_before_residuals_depended_on_each_other_has_slope_0(small_fit, tmp_path):
    folder = tmp_path / "model"
    draws = small_fit.draws.drop_vars(["discrimination_residual_slope", "specific"])
    groups = {str(name): node.to_dataset() for name, node in small_fit.tree.children.items()}
    storage.save(replace(small_fit, tree=xr.DataTree.from_dict({**groups, "posterior": draws})), folder)
    path = folder / storage.RECORD
    record = json.loads(path.read_text(encoding="utf-8"))
    record["schema_version"] = 2
    del record["model"]["priors"]["discrimination_slope"]
    path.write_text(json.dumps(record), encoding="utf-8")
    loaded = storage.load(folder)
    assert loaded.record["model"] == small_fit.record["model"]
    assert loaded.draws["discrimination_residual_slope"].shape == (4, 100, 1)
    assert (loaded.draws["discrimination_residual_slope"] == 0).all()
