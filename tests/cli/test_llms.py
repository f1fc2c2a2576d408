"""`birt llms` as a person meets it: a changed list of LLMs in a new folder, nothing lost."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from bayes_irt_router.cli import app
from bayes_irt_router.data.cost import CostModel
from bayes_irt_router.inference import storage
from bayes_irt_router.inference.storage import load, load_calibration, save
from bayes_irt_router.routing.router import Router

LEARNED = {"schema_version": 1, "llm": "somebody", "ended": "the budget was used"}


def birt(*arguments: object) -> Result:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.fixture(scope="module")
def model(small_fit, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "model"
    save(replace(small_fit, gate=replace(small_fit.gate, complaints=())), folder, LEARNED)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def changed(name: str, llms: list[str]) -> tuple[list[str], list[str]]:
    """Arguments of a subcommand, and the LLMs that it must leave."""
    return {
        "retire": (["retire", llms[1], llms[4]], [n for n in llms if n not in (llms[1], llms[4])]),
        "rename": (["rename", llms[2], "other"], [*llms[:2], "other", *llms[3:]]),
        "reprice": (["reprice", llms[3], "--input-price", "7", "--output-price", "9.5"], llms),
    }[name]


@pytest.mark.parametrize("name", ["retire", "rename", "reprice"])
def test_the_change_is_made_in_a_new_folder_and_nothing_is_lost(model, name, tmp_path):
    before, old = contents(model), load(model)
    arguments, left = changed(name, old.llm)
    result = birt("llms", *arguments, "--model", model, "--output", tmp_path / "new", "--json")
    assert result.exit_code == 0, result.output
    assert contents(model) == before
    assert [path.name for path in tmp_path.iterdir()] == ["new"]
    told, new = json.loads(result.stdout), load(tmp_path / "new")
    assert told["llms"] == new.llm == left
    assert told["changes"] == new.record["changes"]
    assert len(new.record["changes"]) == 1
    assert set(contents(tmp_path / "new")) == set(before)
    assert load_calibration(tmp_path / "new") == LEARNED
    assert new.texts == old.texts
    for kept in set(left) & set(old.llm):
        np.testing.assert_array_equal(new.draws["ability"].sel(llm=kept), old.draws["ability"].sel(llm=kept))
    for variable in ("difficulty", "discrimination", "ability_frame"):
        np.testing.assert_array_equal(new.draws[variable], old.draws[variable])
    again = birt("llms", "retire", left[0], "--model", tmp_path / "new", "--output", tmp_path / "newer")
    assert again.exit_code == 0, again.output
    assert len(load(tmp_path / "newer").record["changes"]) == 2
    listed = birt("info", "--model", tmp_path / "newer")
    assert "since the fit" in listed.stdout


def test_a_new_price_reaches_the_router(model, tmp_path):
    llm = load(model).llm[3]
    arguments = ["llms", "reprice", llm, "--input-price", "0", "--output-price", "0"]
    result = birt(*arguments, "--model", model, "--output", tmp_path / "free")
    assert f"{llm} costs 0 USD per million" in result.stdout
    record = Router.load(tmp_path / "free").posterior.record
    cost = CostModel.from_dict(record["cost"])
    assert cost.predict_cost(["abc"])[0, 3] == 0.0
    assert cost.scale_usd == CostModel.from_dict(load(model).record["cost"]).scale_usd


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["retire", "nobody", "no-one"], ["'nobody', 'no-one'"]),
        (["retire", *("KNOWN" + str(i) for i in range(6))], ["No LLM would be left"]),
        (["rename", "KNOWN0", "KNOWN1"], ["taken or empty"]),
        (["rename", "nobody", "other"], ["does not know"]),
        (["reprice", "KNOWN0", "--input-price", "1"], ["--output-price USD"]),
        (
            ["reprice", "KNOWN0", "--input-price", "-1", "--output-price", "nan"],
            ["input price", "output price"],
        ),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_written(model, arguments, expected, tmp_path):
    llms = load(model).llm
    arguments = [llms[int(word[5:])] if word.startswith("KNOWN") else word for word in arguments]
    result = birt("llms", *arguments, "--model", model, "--output", tmp_path / "new")
    assert result.exit_code == 2, result.output
    assert all(problem in result.stderr for problem in expected)
    assert list(tmp_path.iterdir()) == []


def test_the_report_of_a_calibration_goes_by_the_llms_name(model, tmp_path):
    llm = load(model).llm[0]
    save(load(model), tmp_path / "old", {**LEARNED, "llm": llm})
    assert (
        birt(
            "llms", "rename", llm, "other", "--model", tmp_path / "old", "--output", tmp_path / "a"
        ).exit_code
        == 0
    )
    assert load_calibration(tmp_path / "a") == {**LEARNED, "llm": "other"}
    assert birt("llms", "retire", llm, "--model", tmp_path / "old", "--output", tmp_path / "b").exit_code == 0
    assert load_calibration(tmp_path / "b") is None


def test_the_old_folder_is_never_the_new_one(model, tmp_path):
    before = contents(model)
    (tmp_path / "link").symlink_to(model)
    for output in (model, model / ".." / model.name, tmp_path / "link"):
        result = birt("llms", "retire", load(model).llm[0], "--model", model, "--output", output)
        assert result.exit_code == 2
        assert "would be lost" in result.stderr
    assert "--output DIR" in birt("llms", "retire", load(model).llm[0], "--model", model).stderr
    assert "--model DIR" in birt("llms", "retire", "x", "--output", tmp_path / "new").stderr
    assert contents(model) == before


def test_a_write_that_fails_leaves_what_stood_there(model, tmp_path, monkeypatch):
    target = tmp_path / "served"
    save(load(model), target)
    before = contents(target)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(storage, "write_json", full)
    result = birt("llms", "retire", load(model).llm[0], "--model", model, "--output", target)
    assert result.exit_code == 1
    assert "No space left" in result.stderr
    assert contents(target) == before
    assert [path.name for path in tmp_path.iterdir()] == ["served"]
