"""`birt report` as a person meets it."""

from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from bayes_irt_router.cli import app
from bayes_irt_router.inference.storage import save


def birt(*arguments: object) -> Result:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.fixture(scope="module")
def model(small_fit, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("report") / "my model"
    save(small_fit, folder)
    return folder


def test_a_model_alone_makes_a_page(model, tmp_path):
    result = birt("report", "--model", model, "--output", tmp_path / "report.html")
    assert result.exit_code == 0, result.output
    assert "warning: The draws FAIL" in result.stderr
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<h1>my model</h1>" in page
    assert page.count("<figure>") == 9
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_everything_that_is_wrong_is_told_at_once(model, tmp_path):
    result = birt("report", "--model", model, "--output", tmp_path / "a.txt", "--level", "2", "--split", "x")
    assert result.exit_code == 2
    assert result.stderr.count("error: ") == 3
    assert list(tmp_path.iterdir()) == []
