"""Figures as files, and as text inside a page."""

import base64
import io
from pathlib import Path
from typing import TYPE_CHECKING

from bayes_irt_router.data.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = (".png", ".svg", ".pdf")
DPI = 150
LARGEST_SVG = 300_000  # bytes


def write_figure(figure: "Figure", path: Path) -> None:
    """Write a picture in the format of the suffix, atomically."""
    content = io.BytesIO()
    figure.savefig(content, format=path.suffix.lower().removeprefix("."), dpi=DPI)
    with atomic_path(path) as temporary:
        temporary.write_bytes(content.getvalue())


def data_url(figure: "Figure") -> str:
    """The picture as an address that holds its own content, for ``<img src>``; transparent, and the same for the same figure.

    SVG with its text kept as text, unless its lines are so many that PNG is smaller.
    """
    from matplotlib import rc_context

    svg, png = io.BytesIO(), io.BytesIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "birt"}):
        figure.savefig(svg, format="svg", dpi=DPI, transparent=True, metadata={"Date": None})
    if len(svg.getvalue()) <= LARGEST_SVG:
        return "data:image/svg+xml;base64," + base64.b64encode(svg.getvalue()).decode("ascii")
    figure.savefig(png, format="png", dpi=DPI, transparent=True, metadata={"Software": None})
    return "data:image/png;base64," + base64.b64encode(png.getvalue()).decode("ascii")
