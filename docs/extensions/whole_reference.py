"""Adds to each reference page the modules of its part that it does not list, so that none is forgotten.

The pages list what a reader looks for first, in an order that teaches; the rest follows by name.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

PACKAGE = "bayes_irt_router"
# Tables of words and templates, and what only other modules call.
LEFT_OUT = ("question_", "surface_vocabulary", "rehearsal", "encoder_weights")


def modules(root: Path, part: str) -> list[str]:
    """Names of a part's modules; `readers` is a part of its own, and no longer one of `data`."""
    readers = root / "data" / "readers"
    folder = readers if part == "readers" else root / part
    found = [path for path in sorted(folder.rglob("*.py")) if path.stem != "__init__"]
    found = [path for path in found if folder == readers or readers not in path.parents]
    kept = [path for path in found if not path.stem.startswith(LEFT_OUT)]
    return [".".join(path.relative_to(root.parent).with_suffix("").parts) for path in kept]


def _complete(app: "Sphinx", page: str, source: list[str]) -> None:
    folder, _, part = page.partition("/")
    if folder != "reference" or part == "index":
        return
    for name in modules(Path(app.srcdir).parent / PACKAGE, part):
        if f"automodule:: {name}\n" not in source[0]:
            short = name.removeprefix(f"{PACKAGE}.")
            source[0] += f"\n## `{short}`\n\n```{{eval-rst}}\n.. automodule:: {name}\n```\n"


def setup(app: "Sphinx") -> dict[str, Any]:
    """Complete each page as it is read."""
    app.connect("source-read", _complete)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
