"""The wheel, installed into a second environment, routes with the model that travels in it."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bayes_irt_router.cli import app
from bayes_irt_router.inference.population import without_queries
from bayes_irt_router.inference.shipped import DEFAULTS, REFERENCE
from bayes_irt_router.inference.storage import load, save

ROOT = Path(__file__).resolve().parent.parent
PROJECT = ("pyproject.toml", "README.md", "LICENSE", "bayes_irt_router", "models")


def run(*words: str | Path, folder: Path) -> str:
    """A command away from the source tree, without its variables."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        [str(w) for w in words], cwd=folder, env=plain, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_installed_wheel_routes_without_a_model_being_named(tmp_path: Path):
    copy = tmp_path / "project"
    copy.mkdir()
    for name in PROJECT:
        path = ROOT / name
        if path.is_dir():
            shutil.copytree(path, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(path, copy / name)
    quick = ["--traits", "1", "--draws", "20", "--tune", "20", "--chains", "2", "--landmarks", "12"]
    for line in (
        ["simulate", "--output", tmp_path / "data", "--queries", "48", "--llms", "5"],
        ["fit", "--data", tmp_path / "data", "--output", tmp_path / "fit", *quick],
    ):
        result = CliRunner().invoke(app, [str(word) for word in line])
        assert result.exit_code == 0, result.output
    # Whatever ships is tested as it is; where no reference model does yet, a quick fit takes its place.
    there = [copy / "models" / name for name in DEFAULTS if (copy / "models" / name / "model.json").is_file()]
    reference = there[0] if there else copy / "models" / REFERENCE
    if not there:
        save(without_queries(load(tmp_path / "fit"), 20), reference)
    shipped = sorted(path.parent for path in (copy / "models").glob("*/model.json"))

    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-cache-dir"]
    run(
        *pip,
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
        "--wheel-dir",
        tmp_path,
        copy,
        folder=tmp_path,
    )
    (wheel,) = tmp_path.glob("*.whl")
    second = tmp_path / "second"
    run(sys.executable, "-m", "venv", "--without-pip", second, folder=tmp_path)
    python = second / "bin" / "python"
    (site,) = second.glob("lib/python*/site-packages")
    # The dependencies are those of this environment: a path alone, so that its editable installs do not follow.
    (site / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    run(*pip, "--python", python, "install", "--quiet", "--no-deps", "--no-index", wheel, folder=tmp_path)

    where = run(python, "-c", "import bayes_irt_router; print(bayes_irt_router.__file__)", folder=tmp_path)
    assert Path(where.strip()).is_relative_to(second)
    told = json.loads(run(second / "bin" / "birt", "route", "What is 17 * 23?", "--json", folder=tmp_path))
    (decision,) = told["decisions"]
    known = load(reference).llm
    assert decision["llm"] in known
    assert len(decision["candidates"]) == len(known)
    for folder in shipped:
        inside = Path(where.strip()).parent / "models" / folder.name
        assert sorted(path.name for path in inside.iterdir()) == sorted(
            path.name for path in folder.iterdir()
        )
        assert load(inside).llm == load(folder).llm
