"""Figures as files and as text for a page."""

import base64
import io
from pathlib import Path
from typing import TYPE_CHECKING

from bayes_irt_router.data.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = (".png", ".svg", ".pdf")
DPI = 150


def write_figure(figure: "Figure", path: Path) -> None:
    """Write a picture in the format of the suffix, atomically."""
    content = io.BytesIO()
    figure.savefig(content, format=path.suffix.lower().removeprefix("."), dpi=DPI)
    with atomic_path(path) as temporary:
        temporary.write_bytes(content.getvalue())


def svg_data_url(figure: "Figure") -> str:
    """The picture as an address that holds its own content, for ``<img src>``: transparent, its text kept as text.

    The same figure gives the same bytes.
    """
    from matplotlib import rc_context

    content = io.BytesIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "birt", "font.family": "sans-serif"}):
        figure.savefig(content, format="svg", dpi=DPI, transparent=True, metadata={"Date": None})
    return "data:image/svg+xml;base64," + base64.b64encode(content.getvalue()).decode("ascii")
