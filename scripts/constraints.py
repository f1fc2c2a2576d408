"""Write constraints.txt: the version of everything that the `dev` extra needs, as installed here.

Run it with the interpreter whose environment shall be recorded: `make constraints`.
"""

import sys
from importlib.metadata import PackageNotFoundError, distribution

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from project import ROOT, requirements

# PyTorch pins its CUDA libraries itself, to the last digit, and only on Linux.
LEFT_TO_TORCH = ("nvidia-", "cuda-")

HEADER = """\
# Tested versions, written by `make constraints`; the ranges are in pyproject.toml.
"""


def pinned(roots: list[Requirement]) -> dict[str, str]:
    """Versions of the installed distributions reachable from `roots`, markers of this platform applied.

    Args:
        roots: requirements to start from, with their extras.

    Returns:
        Canonical name -> public version (a local tag such as `+cpu` is taken off), by name.

    Raises:
        PackageNotFoundError: something needed is not installed.
    """
    versions: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    waiting = [(requirement, "") for requirement in roots]
    while waiting:
        requirement, parent_extra = waiting.pop()
        if requirement.marker and not requirement.marker.evaluate({"extra": parent_extra}):
            continue
        name = canonicalize_name(requirement.name)
        if name.startswith(LEFT_TO_TORCH):
            continue
        installed = distribution(name)
        versions[name] = Version(installed.version).public
        # An extra is a marker on some of the lines: one more walk over them for each.
        for extra in ("", *sorted(requirement.extras)):
            if (name, extra) not in seen:
                seen.add((name, extra))
                waiting.extend((Requirement(line), extra) for line in installed.requires or [])
    return dict(sorted(versions.items()))


def main() -> int:
    try:
        versions = pinned(requirements(["dev"]))
    except PackageNotFoundError as error:
        print(
            f"{error.name} is not installed; install the project with its dev extra first.", file=sys.stderr
        )
        return 1
    lines = "".join(f"{name}=={version}\n" for name, version in versions.items())
    (ROOT / "constraints.txt").write_text(HEADER + lines, encoding="utf-8")
    print(f"constraints.txt: {len(versions)} versions")
    return 0


if __name__ == "__main__":
    sys.exit(main())
