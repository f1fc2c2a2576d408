"""How Sphinx builds the documentation; `make docs` runs it and takes every warning for an error."""

import sys
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx

sys.path.insert(0, str(Path(__file__).parent / "extensions"))

project = "bayes_irt_router"
author = "bayes_irt_router contributors"
project_copyright = author
version = release = installed_version("bayes_irt_router")

extensions = [
    "sphinx.ext.autodoc",  # reference pages from docstrings
    "sphinx.ext.napoleon",  # docstrings are in Google's style
    "sphinx.ext.viewcode",
    "myst_nb",  # pages in Markdown, and the notebooks with their outputs
    "mathml",
    "notebook_copies",
    "whole_reference",
]
exclude_patterns = ["_build", "images"]
default_role = "py:obj"  # `name` links where the name is known, and is set as code where not
highlight_language = "text"  # equations in docstrings are no program

myst_enable_extensions = ["dollarmath", "deflist", "colon_fence"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # `make notebooks` runs them; the pages show the outputs that were kept
suppress_warnings = ["mystnb.unknown_mime_type"]

autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 90
napoleon_use_ivar = True
napoleon_use_rtype = False

html_theme = "furo"
html_title = "bayes_irt_router"
html_math_renderer = "mathml"
html_static_path = ["static"]
html_css_files = ["formula.css"]
html_show_sourcelink = False
html_show_sphinx = False
html_copy_source = False


def _readable_defaults(
    app: "Sphinx",
    what: str,
    name: str,
    obj: object,
    options: object,
    signature: str | None,
    returns: str | None,
) -> tuple[str, str | None] | None:
    """A default that a dataclass makes anew is no Python; with it, Sphinx would tear the signature apart."""
    if signature is None or "<factory>" not in signature:
        return None
    return signature.replace("<factory>", "..."), returns


def setup(app: "Sphinx") -> None:
    """Connect the above."""
    app.connect("autodoc-process-signature", _readable_defaults)
