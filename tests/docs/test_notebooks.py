"""The notebooks that are kept: in step with their scripts, with outputs, small, and free of one machine's traces."""

import json
import re
from pathlib import Path

import jupytext
import nbformat
import pytest

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
SCRIPTS = sorted(FOLDER.glob("*.py"))
# Places of a machine: home folders, temporary ones, environments.
PLACES = re.compile(
    r"/(?:home|Users|root|tmp|work|workspace|opt|usr)/\w|[A-Z]:\\\\|site-packages|ipykernel_\d"
)
LARGEST = 1_000_000  # bytes


def kept(script: Path) -> nbformat.NotebookNode:
    return nbformat.read(script.with_suffix(".ipynb"), as_version=4)


def test_there_are_six_pairs():
    assert len(SCRIPTS) == 6
    assert [path.stem for path in sorted(FOLDER.glob("*.ipynb"))] == [path.stem for path in SCRIPTS]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_pair_has_the_same_cells(script):
    written = [(cell.cell_type, cell.source) for cell in jupytext.read(script, fmt="py:percent").cells]
    assert [(cell.cell_type, cell.source) for cell in kept(script).cells] == written


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_outputs_are_there_and_whole(script):
    notebook = kept(script)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert {output.output_type for output in outputs} <= {"stream", "display_data", "execute_result"}
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 2
    assert script.with_suffix(".ipynb").stat().st_size < LARGEST


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_nothing_tells_of_the_machine(script):
    notebook = kept(script)
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            output.get("data", {}).pop("image/png", None)  # base64 may spell anything
    assert PLACES.findall(json.dumps(notebook)) == []
