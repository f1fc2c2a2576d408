"""What pyproject.toml asks for, as parsed requirements: the ground of the scripts beside this file."""

import tomllib
from collections.abc import Iterable
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent


def read_project() -> dict:
    """The `[project]` table of pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def requirements(extras: Iterable[str] = ()) -> list[Requirement]:
    """Direct dependencies and those of the extras; an extra that names the project's own extras is unfolded.

    Args:
        extras: names of extras, such as `dev`.

    Returns:
        Requirements in the order of pyproject.toml, each line once.

    Raises:
        KeyError: pyproject.toml has no such extra.
    """
    project = read_project()
    own_name = canonicalize_name(project["name"])
    found: dict[str, Requirement] = {line: Requirement(line) for line in project["dependencies"]}
    waiting = list(extras)
    seen: set[str] = set()
    while waiting:
        extra = waiting.pop(0)
        if extra in seen:
            continue
        seen.add(extra)
        for line in project["optional-dependencies"][extra]:
            requirement = Requirement(line)
            if canonicalize_name(requirement.name) == own_name:
                waiting.extend(sorted(requirement.extras))
            else:
                found[line] = requirement
    return list(found.values())
