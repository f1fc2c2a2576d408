"""Brings the executed notebooks into the source folder before it is read, so that they live in one place only."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.config import Config


def _copy(app: "Sphinx", config: "Config") -> None:
    source, target = Path(app.srcdir).parent / "notebooks", Path(app.srcdir) / "tutorials"
    for old in target.glob("*.ipynb"):
        old.unlink()
    for notebook in sorted(source.glob("*.ipynb")):
        shutil.copyfile(notebook, target / notebook.name)


def setup(app: "Sphinx") -> dict[str, Any]:
    """Copy once the configuration is known."""
    app.connect("config-inited", _copy)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
