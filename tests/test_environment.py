"""environment.yml and constraints.txt keep in step with pyproject.toml."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PINS = [
    line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")
]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DIRECT = [
    Requirement(line)
    for line in (
        *PROJECT["dependencies"],
        *(
            line
            for name in ("test", "lint", "docs", "offline", "nutpie", "collect")
            for line in PROJECT["optional-dependencies"][name]
        ),
    )
]


def run_environment(*arguments: str, root: Path = ROOT) -> subprocess.CompletedProcess[str]:
    script = root / "scripts" / "environment.py"
    return subprocess.run([sys.executable, script, *arguments], capture_output=True, text=True, check=False)


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A copy of the three files that the script reads or writes."""
    (tmp_path / "scripts").mkdir()
    for name in ("pyproject.toml", "environment.yml", "scripts/environment.py", "scripts/project.py"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    return tmp_path


def test_environment_is_what_pyproject_says():
    answer = run_environment("--check")
    assert answer.returncode == 0, answer.stderr


def test_a_changed_range_is_noticed_and_written(copied: Path):
    project = copied / "pyproject.toml"
    project.write_text(project.read_text().replace('"rich>=14"', '"rich>=15"'))
    noticed = run_environment("--check", root=copied)
    assert noticed.returncode == 1
    assert "make environment" in noticed.stderr
    assert run_environment("--write", root=copied).returncode == 0
    assert "  - rich >=15\n" in (copied / "environment.yml").read_text()
    assert run_environment("--check", root=copied).returncode == 0


@pytest.mark.parametrize(
    "name", ["python", "pymc", "arviz", "numpyro", "jax", "sentence-transformers", "xarray", "pandas"]
)
def test_environment_names_what_a_reader_looks_for(name: str):
    lines = (ROOT / "environment.yml").read_text().splitlines()
    assert any(line.split()[:2] == ["-", name] for line in lines)


def test_every_pin_is_a_plain_version():
    assert [line for line in PINS if not re.fullmatch(r"[a-z0-9-]+==[0-9][0-9a-z.]*", line)] == []
    names = [line.split("==")[0] for line in PINS]
    assert names == sorted(set(names))


@pytest.mark.parametrize("requirement", DIRECT, ids=lambda requirement: requirement.name)
def test_every_dependency_is_pinned_inside_its_range(requirement: Requirement):
    pins = dict(line.split("==") for line in PINS)
    assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)], prereleases=True)
