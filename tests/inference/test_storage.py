import json
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from bayes_irt_router.errors import InputError
from bayes_irt_router.inference import storage
from bayes_irt_router.inference.storage import DRAWS, RECORD, SCHEMA_VERSION, TEXTS, load, save


@pytest.fixture(scope="module")
def posterior(small_fit):
    """Few draws, and no texts."""
    return replace(small_fit.thin(40), texts=None)


@pytest.fixture
def folder(posterior, tmp_path):
    save(posterior, tmp_path / "model")
    return tmp_path / "model"


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_round_trip_is_exact(posterior, folder):
    again = load(folder)
    assert set(again.tree.children) == set(posterior.tree.children)
    for name, group in posterior.tree.children.items():
        xr.testing.assert_equal(again.tree[name].to_dataset(), group.to_dataset())
        assert {k: v.dtype for k, v in again.tree[name].data_vars.items() if v.dtype.kind == "f"} == {
            k: v.dtype for k, v in group.data_vars.items() if v.dtype.kind == "f"
        }
    xr.testing.assert_identical(again.feature_map.to_dataset(), posterior.feature_map.to_dataset())
    assert again.record == posterior.record
    assert again.llm == posterior.llm
    assert again.texts is None


def test_the_gate_comes_back(posterior, folder):
    again = load(folder).gate
    assert (again.passed, again.verdict) == (posterior.gate.passed, posterior.gate.verdict)
    assert again.complaints == posterior.gate.complaints
    assert again.table["name"].tolist() == posterior.gate.table["name"].tolist()
    for column in ("r_hat", "ess_bulk", "ess_tail"):
        np.testing.assert_array_equal(again.table[column], posterior.gate.table[column])
    assert again.summary().to_dict() == posterior.gate.summary().to_dict()


def test_saving_what_was_loaded_changes_nothing(folder, tmp_path):
    save(load(folder), tmp_path / "again")
    first, second = load(folder), load(tmp_path / "again")
    assert first.record == second.record
    for name in first.tree.children:
        xr.testing.assert_identical(first.tree[name].to_dataset(), second.tree[name].to_dataset())


def test_neither_texts_nor_responses_are_in_the_folder(posterior, folder, bank):
    assert set(contents(folder)) == {RECORD, DRAWS}
    whole = b"\n".join(contents(folder).values())
    assert posterior.llm[0].encode() in whole  # so strings can be found by searching
    data = bank()
    for text in data["text"].values:
        for start in range(0, max(1, len(text) - 24), 24):
            assert text[start : start + 24].encode() not in whole or len(text) < 12
    with xr.open_datatree(folder / DRAWS, engine="h5netcdf") as tree:
        for node in tree.subtree:
            assert all({"query", "llm"} - set(values.dims) for values in node.variables.values())


def test_texts_are_kept_on_request(small_fit, tmp_path):
    kept = small_fit.thin(8)
    save(kept, tmp_path / "model")
    assert set(contents(tmp_path / "model")) == {RECORD, DRAWS, TEXTS}
    assert load(tmp_path / "model").texts == kept.texts


def test_nothing_is_pickled(folder):
    for content in contents(folder).values():
        assert b"pickle" not in content
        assert not content.startswith(b"\x80")


def test_the_draws_are_an_arviz_file(folder):
    import arviz as az

    with xr.open_datatree(folder / DRAWS, engine="h5netcdf") as tree:
        for draws in (tree, load(folder).tree):
            summary = az.summary(draws, var_names=["difficulty_mean", "discrimination_mean", "ability"])
            assert len(summary) == 2 + 6 * 2
            assert "r_hat" in summary


def test_one_draw_and_no_surface_features_can_be_saved(posterior, tmp_path):
    bare = replace(
        posterior.feature_map,
        surface_names=(),
        surface_mean=posterior.feature_map.surface_mean[:0],
        surface_scale=posterior.feature_map.surface_scale[:0],
    )
    small = replace(posterior.thin(4), feature_map=bare)
    save(small, tmp_path / "model")
    again = load(tmp_path / "model")
    assert again.size == 4
    xr.testing.assert_equal(again.feature_map.to_dataset(), bare.to_dataset())


def test_an_older_model_is_replaced_and_other_folders_are_not(posterior, folder, tmp_path):
    other = replace(posterior, record=posterior.record | {"seed": 99})
    save(other, folder)
    assert load(folder).record["seed"] == 99
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="not replaced"):
        save(posterior, tmp_path / "mine")
    assert set(contents(tmp_path / "mine")) == {"thesis.txt"}


def test_a_failure_leaves_the_old_model_and_nothing_else(posterior, folder, tmp_path, monkeypatch):
    before = contents(folder)

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(storage, "write_json", fail)
    with pytest.raises(OSError, match="disk full"):
        save(posterior, folder)
    assert contents(folder) == before
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def edit(folder, **changes):
    record = json.loads((folder / RECORD).read_text()) | changes
    record = {name: value for name, value in record.items() if value is not None}
    (folder / RECORD).write_text(json.dumps(record))


def truncate(path, share):
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])


def drop(folder, group, variable=None):
    with xr.open_datatree(folder / DRAWS, engine="h5netcdf") as opened:
        groups = {name: node.to_dataset().load() for name, node in opened.children.items()}
    kept = groups.pop(group)
    if variable:
        groups[group] = kept.drop_vars(variable)
    xr.DataTree.from_dict(groups).to_netcdf(folder / DRAWS, engine="h5netcdf")


def remove_folder(folder):
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()


def foreign_netcdf(folder):
    xr.Dataset({"temperature": ("city", [1.0, 2.0])}).to_netcdf(folder / DRAWS, engine="h5netcdf")


DAMAGES = {
    "missing folder": (remove_folder, "There is no model folder"),
    "no record": (lambda f: (f / RECORD).unlink(), "is not a model folder"),
    "empty record": (lambda f: (f / RECORD).write_text(""), "damaged or not of this program"),
    "record is a list": (lambda f: (f / RECORD).write_text("[1]"), "damaged or not of this program"),
    "record is a number": (lambda f: (f / RECORD).write_text("3"), "damaged or not of this program"),
    "record of bytes": (
        lambda f: (f / RECORD).write_bytes(b"\xff\xfe\x00"),
        "damaged or not of this program",
    ),
    "truncated record": (lambda f: truncate(f / RECORD, 0.5), "damaged or not of this program"),
    "foreign record": (lambda f: (f / RECORD).write_text('{"lr": 0.1}'), "damaged or not of this program"),
    "newer": (lambda f: edit(f, schema_version=SCHEMA_VERSION + 1), "install a newer version"),
    "other kind": (lambda f: edit(f, kind="crystal ball"), "of kind crystal ball"),
    "record without gate": (lambda f: edit(f, gate=None), "incomplete"),
    "record with another gate": (lambda f: edit(f, gate=[1]), "incomplete"),
    "record without cost": (lambda f: edit(f, cost=None), "incomplete"),
    "record without encoder": (lambda f: edit(f, encoder=None), "incomplete"),
    "record with another encoder": (lambda f: edit(f, encoder="a"), "incomplete"),
    "no draws": (lambda f: (f / DRAWS).unlink(), "has no posterior.nc"),
    "empty draws": (lambda f: (f / DRAWS).write_bytes(b""), "damaged"),
    "draws are a text": (lambda f: (f / DRAWS).write_text("not a model\n" * 100), "damaged"),
    "draws cut at a fifth": (lambda f: truncate(f / DRAWS, 0.2), "damaged"),
    "draws cut in the middle": (lambda f: truncate(f / DRAWS, 0.5), "damaged"),
    "draws cut near the end": (lambda f: truncate(f / DRAWS, 0.99), "damaged"),
    "foreign draws": (foreign_netcdf, "has no group posterior, sample_stats"),
    "draws without a group": (lambda f: drop(f, "llms"), "has no group llms"),
    "feature map without landmarks": (lambda f: drop(f, "feature_map", "landmarks"), "incomplete"),
    "draws without ability": (lambda f: drop(f, "posterior", "ability"), "incomplete"),
    "gate without r-hat": (lambda f: drop(f, "gate", "r_hat"), "incomplete"),
    "truncated texts": (lambda f: (f / TEXTS).write_bytes(b"PAR1 and no more"), "incomplete"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_told_in_one_clear_sentence(folder, damage):
    spoil, words = DAMAGES[damage]
    spoil(folder)
    with pytest.raises(InputError) as caught:
        load(folder)
    (problem,) = caught.value.problems
    assert words in problem
    assert str(folder) in problem
    assert problem.endswith(".")
    assert "\n" not in problem
    assert len(problem) < 400
