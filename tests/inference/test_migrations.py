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


def saved_as(version, posterior, draws, folder):
    """A folder with these draws that says it is of an older version; the record is for the test to change and write."""
    groups = {str(name): node.to_dataset() for name, node in posterior.tree.children.items()}
    storage.save(replace(posterior, tree=xr.DataTree.from_dict({**groups, "posterior": draws})), folder)
    path = folder / storage.RECORD
    record = json.loads(path.read_text(encoding="utf-8"))
    record["schema_version"] = version
    path.write_text(json.dumps(record), encoding="utf-8")
    return path, record


def misnamed(draws):
    """As draws were up to version 3: the frame's two dims had each other's names."""
    frame = draws["ability_frame"].transpose("chain", "draw", "raw_trait", "trait").values
    return draws.drop_vars("ability_frame").assign(
        ability_frame=(("chain", "draw", "trait", "raw_trait"), frame)
    )


def test_a_folder_of_the_time_before_alignment_is_aligned_and_means_the_same(small_fit, tmp_path):
    """Draws with a sign of the specific trait that differs from draw to draw, as the sampler leaves them."""
    sign = xr.DataArray(np.where(np.arange(100) % 3 == 0, -1.0, 1.0).astype(np.float32), dims="draw")
    draws = small_fit.draws.copy()
    for name in ("ability", "discrimination", "discrimination_weight", "ability_frame"):
        turn = xr.where(draws["trait"] == "general", 1.0, sign).astype(np.float32)
        draws[name] = (small_fit.draws[name] * turn).transpose(*small_fit.draws[name].dims)
    slope = "discrimination_residual_slope"
    draws[slope] = (small_fit.draws[slope] * sign).transpose(*small_fit.draws[slope].dims)
    saved_as(3, small_fit, misnamed(draws), tmp_path / "model")
    loaded = storage.load(tmp_path / "model").draws
    for name in ("ability", "discrimination", "discrimination_weight", "ability_frame", slope):
        np.testing.assert_allclose(
            loaded[name].transpose(*small_fit.draws[name].dims), small_fit.draws[name], atol=1e-5
        )


def test_a_folder_of_the_time_before_effects_on_tasks_has_none(small_fit, tmp_path):
    folder = tmp_path / "model"
    path, record = saved_as(1, small_fit, misnamed(small_fit.draws), folder)
    del record["model"]["testlets"], record["model"]["priors"]["testlet"]
    path.write_text(json.dumps(record), encoding="utf-8")
    assert MIRT.from_dict(storage.load(folder).record["model"]) == MIRT(traits=2, testlets=False)


def test_a_folder_of_the_time_before_residuals_depended_on_each_other_has_slope_0(small_fit, tmp_path):
    folder = tmp_path / "model"
    draws = misnamed(small_fit.draws).drop_vars(["discrimination_residual_slope", "specific"])
    path, record = saved_as(2, small_fit, draws, folder)
    del record["model"]["priors"]["discrimination_slope"]
    path.write_text(json.dumps(record), encoding="utf-8")
    loaded = storage.load(folder)
    assert loaded.record["model"] == small_fit.record["model"]
    assert loaded.draws["discrimination_residual_slope"].shape == (4, 100, 1)
    assert (loaded.draws["discrimination_residual_slope"] == 0).all()


def test_a_nirt_of_the_time_of_own_units_is_told_in_sds_of_its_llms(small_nirt, tmp_path):
    draws = small_nirt.draws.drop_vars(["ability_mean", "ability_sd"])
    path, record = saved_as(4, small_nirt, draws, tmp_path / "model")
    del record["stacked"]
    path.write_text(json.dumps(record), encoding="utf-8")
    loaded = storage.load(tmp_path / "model")
    np.testing.assert_allclose(loaded.general_ability, small_nirt.general_ability, atol=1e-5)
    assert loaded.stacked == ()


def test_effects_on_tasks_of_the_time_when_queries_were_told_by_look_keep_what_they_are_multiplied_by(
    testlet_fit, tmp_path
):
    groups = {str(name): node.to_dataset() for name, node in testlet_fit.tree.children.items()}
    groups["queries"] = groups["queries"].rename(testlet_loading="task_probability")
    old = replace(testlet_fit, tree=xr.DataTree.from_dict(groups))
    path, record = saved_as(5, old, testlet_fit.draws, tmp_path / "model")
    path.write_text(json.dumps(record), encoding="utf-8")
    loaded = storage.load(tmp_path / "model").tree["queries"].to_dataset()
    assert "task_probability" not in loaded
    np.testing.assert_array_equal(
        loaded["testlet_loading"], testlet_fit.tree["queries"].to_dataset()["testlet_loading"]
    )
