"""`birt stack` as a person meets it."""

import json
from pathlib import Path

import pandas as pd
import pytest
from click.testing import Result
from typer.testing import CliRunner

from bayes_irt_router.cli import app
from bayes_irt_router.inference.posterior import Posterior
from bayes_irt_router.inference.stacking import members
from bayes_irt_router.inference.storage import load, save


def birt(*arguments: object) -> Result:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.fixture(scope="module")
def models(
    small_fit: Posterior, small_nirt: Posterior, tmp_path_factory: pytest.TempPathFactory
) -> list[Path]:
    folder = tmp_path_factory.mktemp("models")
    save(small_fit, folder / "mirt")
    save(small_nirt, folder / "nirt")
    return [folder / "mirt", folder / "nirt"]


def test_two_models_become_one_that_is_read_like_any(models: list[Path], tmp_path: Path):
    made = birt("stack", *models, "--output", tmp_path / "both", "--json")
    assert made.exit_code == 0, made.output
    assert json.loads(made.stdout)["kinds"] == ["mirt", "nirt"]
    assert [one.record["kind"] for one in members(load(tmp_path / "both"))] == ["mirt", "nirt"]
    told = birt("info", "--model", tmp_path / "both")
    assert told.exit_code == 0, told.output
    assert "stacked with" in told.output
    content = json.loads(birt("info", "--model", tmp_path / "both", "--json").stdout)
    assert [one["kind"] for one in content["stacked"]] == ["nirt"]


def test_people_are_told_where_it_is(models: list[Path], tmp_path: Path):
    made = birt("stack", *models, "--output", tmp_path / "both")
    assert made.exit_code == 0, made.output
    assert "stack of 2 models (mirt, nirt)" in " ".join(made.stdout.split())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "at least two"),
        (("nowhere", "neither"), "neither"),
    ],
)
def test_what_cannot_be_stacked_is_refused(
    models: list[Path], tmp_path: Path, arguments: tuple[str, ...], said: str
):
    found = birt("stack", models[0], *(tmp_path / name for name in arguments), "--output", tmp_path / "both")
    assert found.exit_code == 2
    assert said in " ".join(found.output.split())
    assert not (tmp_path / "both").exists()


def test_no_model_is_written_over(models: list[Path]):
    before = {path.name: path.read_bytes() for path in models[0].iterdir()}
    found = birt("stack", *models, "--output", models[0])
    assert found.exit_code == 2
    assert {path.name: path.read_bytes() for path in models[0].iterdir()} == before


def test_a_new_llm_is_placed_in_every_model(small_fit: Posterior, models: list[Path], tmp_path: Path):
    birt("stack", *models, "--output", tmp_path / "both")
    queries = small_fit.draws["query"].values[:12].astype(str)
    means = {}
    for score in (0.0, 1.0):
        answers = tmp_path / f"answers-{score}.csv"
        pd.DataFrame({"query_id": queries, "score": score}).to_csv(answers, index=False)
        output = tmp_path / f"placed-{score}"
        placed = birt(
            "calibrate",
            "--model",
            tmp_path / "both",
            "--llm",
            "new",
            "--answers",
            answers,
            "--output",
            output,
        )
        assert placed.exit_code == 0, placed.output
        parts = members(load(output))
        assert [one.llm for one in parts] == [[*small_fit.llm, "new"]] * 2
        means[score] = [float(one.general_ability.sel(llm="new").mean()) for one in parts]
    assert all(low < high for low, high in zip(means[0.0], means[1.0], strict=True))
