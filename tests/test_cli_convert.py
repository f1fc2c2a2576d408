"""`birt convert` as a person meets it."""

import json
from pathlib import Path

import pandas as pd
import pytest
from click.testing import Result
from typer.testing import CliRunner

from bayes_irt_router.cli import app
from bayes_irt_router.cli.convert import convert
from bayes_irt_router.data.canonical import read_dataset
from bayes_irt_router.data.readers.catalogue import FORMATS


def birt(*arguments: str | Path) -> Result:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.fixture
def source(tmp_path: Path) -> Path:
    frame = pd.DataFrame({"prompt": ["Why?", "How?"], "gpt": [True, False], "mixtral": [False, False]})
    frame.to_csv(tmp_path / "mmlu.csv", index=False)
    return tmp_path / "mmlu.csv"


def test_a_source_becomes_the_canonical_layout(source: Path, tmp_path: Path):
    result = birt("convert", source, "--output", tmp_path / "out", "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert (told["schema_version"], told["format"], told["queries"], told["responses"]) == (
        1,
        "routellm",
        2,
        4,
    )
    assert read_dataset(tmp_path / "out")["llm"].values.tolist() == told["llms"] == ["gpt", "mixtral"]


def test_the_table_shows_the_llms(source: Path, tmp_path: Path):
    result = birt("convert", source, "--format", "routellm", "--output", tmp_path / "out")
    assert result.exit_code == 0
    assert "mixtral" in result.stdout


def test_problems_are_sentences_and_nothing_is_written(source: Path, tmp_path: Path):
    source.write_text("prompt,gpt,mixtral\nWhy?,True,maybe\n,1,0\n")
    result = birt("convert", source, "--output", tmp_path / "deep" / "out")
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 3
    assert all(line.startswith("error: ") for line in result.stderr.splitlines())
    assert not (tmp_path / "deep").exists()


def test_data_in_the_output_folder_are_not_replaced(source: Path, tmp_path: Path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "queries.csv").write_text("mine")
    result = birt("convert", source, "--output", tmp_path / "out")
    assert result.exit_code == 2
    assert "already holds queries.csv" in result.stderr
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["queries.csv"]


def test_an_unknown_format_lists_the_known_ones(source: Path, tmp_path: Path):
    result = birt("convert", source, "--format", "excel", "--output", tmp_path / "out")
    assert result.exit_code == 2
    assert "choose from irt-router" in result.stderr


def test_help_names_every_format():
    text = " ".join(birt("convert", "--help").stdout.replace("│", " ").split())
    assert [one.name for one in FORMATS if one.name not in text] == []
    assert convert.__doc__
