"""Run the notebooks and keep their outputs: `notebooks/NAME.py` (Jupytext's percent format) becomes `notebooks/NAME.ipynb`.

python scripts/notebooks.py                  # all, in order: the first one saves the model that others open
python scripts/notebooks.py 04_calibrating   # those whose names begin so
python scripts/notebooks.py --sync           # take changed words over without running; the outputs of cells that are alike stay
"""

import argparse
import sys
import time
from base64 import b64decode, b64encode
from io import BytesIO
from pathlib import Path
from typing import Any

from project import ROOT

FOLDER = ROOT / "notebooks"
LIMIT = 3600  # seconds a cell; machines may be busy
COLOURS = 128  # of a picture that is kept: plots need no more, and take a third of the room


def read_percent(path: Path) -> Any:
    """The notebook that a percent script stands for, without outputs; ids of cells count them, so that nothing is random."""
    import jupytext

    notebook = jupytext.read(path, fmt="py:percent")
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number}"
        cell["metadata"] = {}
    notebook["metadata"] = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}
    }
    return notebook


def run(notebook: Any) -> None:
    """Execute in place, in the notebooks' folder; an error in a cell ends it, standard error is not kept."""
    from nbclient import NotebookClient

    NotebookClient(
        notebook,
        kernel_name="python3",
        extra_arguments=["--IPKernelApp.log_level=40"],  # errors only
        timeout=LIMIT,
        startup_timeout=LIMIT,
        resources={"metadata": {"path": str(FOLDER)}},
        record_timing=False,
    ).execute()
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell["outputs"] = [one for one in cell["outputs"] if not passing(one)]
            for output in cell["outputs"]:
                if "image/png" in output.get("data", {}):
                    output["data"]["image/png"] = smaller(output["data"]["image/png"])
    notebook["metadata"].pop("language_info", None)


def passing(output: Any) -> bool:
    """Whether an output is about the run and not about its result: standard error, and Rich's bars, which draw themselves in a notebook."""
    shown = str(output.get("data", {}).get("text/plain", ""))
    return (
        output.get("name") == "stderr" or "ipywidgets" in shown or not (shown.strip() or output.get("text"))
    )


def smaller(picture: str) -> str:
    """A PNG, in base64, with a palette instead of full colour."""
    from PIL import Image  # comes with matplotlib

    content = BytesIO()
    image = Image.open(BytesIO(b64decode(picture))).convert("RGB")
    # An octree keeps small marks' colours apart; the median cut of the default merges blue with green, vermilion with orange.
    octree = Image.Quantize.FASTOCTREE
    image.quantize(COLOURS, octree, dither=Image.Dither.NONE).save(content, "PNG", optimize=True)
    return b64encode(content.getvalue()).decode("ascii")


def with_kept_outputs(notebook: Any, kept: Any) -> None:
    """Give each code cell the outputs of the same code in the notebook of before."""
    outputs = {cell.source: cell for cell in kept.cells if cell.cell_type == "code"}
    for cell in notebook.cells:
        if cell.cell_type == "code" and cell.source in outputs:
            cell["outputs"] = outputs[cell.source]["outputs"]
            cell["execution_count"] = outputs[cell.source]["execution_count"]


def main() -> None:
    import nbformat

    parser = argparse.ArgumentParser(description="Run the notebooks and keep their outputs.")
    parser.add_argument("names", nargs="*", help="beginnings of names; all by default")
    parser.add_argument("--sync", action="store_true", help="do not run; keep the outputs there are")
    arguments = parser.parse_args()
    scripts = [
        path
        for path in sorted(FOLDER.glob("*.py"))
        if not arguments.names or any(path.name.startswith(name) for name in arguments.names)
    ]
    if not scripts:
        sys.exit("No notebook has such a name.")
    for script in scripts:
        target = script.with_suffix(".ipynb")
        notebook, start = read_percent(script), time.perf_counter()
        if arguments.sync:
            with_kept_outputs(notebook, nbformat.read(target, as_version=4))  # type: ignore[no-untyped-call]  # the library has no types
        else:
            run(notebook)
        nbformat.write(notebook, target)  # type: ignore[no-untyped-call]
        seconds = time.perf_counter() - start
        print(
            f"{target.relative_to(ROOT)}: {seconds:.0f} s, {target.stat().st_size / 1e3:.0f} kB", flush=True
        )


if __name__ == "__main__":
    main()
