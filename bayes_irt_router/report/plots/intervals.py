"""What the plots share: draws in one axis, rows of intervals, and a look that survives a grey printer."""

from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from jaxtyping import Float

from bayes_irt_router.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LEVEL = 0.89  # of the outer interval, as in ArviZ
INNER = 0.5  # of the thick inner interval
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#555555")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">")
LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (9, 3)))
"""Colours that the colour-blind tell apart; markers and dashes tell series apart in grey."""


def new_figure(width: float, height: float) -> "Figure":
    """An empty figure of so many inches, which pyplot does not know of."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def flat(values: xr.DataArray) -> Float[np.ndarray, "draw ..."]:
    """(chain, draw, ...) to (chain * draw, ...), in double precision."""
    array = values.values
    return array.reshape(array.shape[0] * array.shape[1], *array.shape[2:]).astype(np.float64)


def ends(
    draws: Float[np.ndarray, "draw *rest"], level: float
) -> tuple[Float[np.ndarray, "*rest"], Float[np.ndarray, "*rest"]]:
    """The ends of the equal-tailed interval that holds ``level`` of the draws.

    Raises:
        InputError: level out of range.

    >>> [round(float(end), 3) for end in ends(np.arange(101.0), 0.9)]
    [5.0, 95.0]
    """
    if not 0 < level < 1:
        raise InputError(f"level is {level:g}, but it must be between 0 and 1, for instance {LEVEL}.")
    lower, upper = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return np.asarray(lower), np.asarray(upper)


def stated(level: float) -> str:
    """How a caption says what an interval row shows.

    >>> stated(0.89)
    'posterior mean; thick 50 %, thin 89 % equal-tailed interval'
    """
    return f"posterior mean; thick {100 * INNER:g} %, thin {100 * level:g} % equal-tailed interval"


def interval_rows(
    axes: "Axes",
    draws: Float[np.ndarray, "draw row"],
    level: float,
    *,
    at: Sequence[float] | None = None,
    colours: Sequence[str] | str = COLOURS[0],
    markers: Sequence[str] | str = "o",
) -> None:
    """A row for each quantity: the mean as a marker, a thick and a thin line for the intervals; row 0 on top.

    Args:
        axes: to draw on.
        draws: of the quantities.
        level: of the thin interval.
        at: heights of the rows; 0, 1, 2, ... by default.
        colours, markers: one for all rows, or one each.
    """
    rows = draws.shape[1]
    height = np.arange(rows, dtype=float) if at is None else np.asarray(at, dtype=float)
    colour = [colours] * rows if isinstance(colours, str) else list(colours)
    outer, inner, mean = ends(draws, level), ends(draws, INNER), draws.mean(axis=0)
    axes.hlines(height, *outer, colors=colour, linewidth=1.1)
    axes.hlines(height, *inner, colors=colour, linewidth=3.2)
    for row in range(rows):
        marker = markers if isinstance(markers, str) else markers[row]
        axes.plot(
            mean[row],
            height[row],
            marker,
            color=colour[row],
            markersize=6.5,
            markeredgecolor="white",
            markeredgewidth=0.6,
        )


def name_rows(axes: "Axes", names: Sequence[str], *, shown: bool = True) -> None:
    """Names beside rows 0, 1, 2, ... counted from the top, and a faint line along each."""
    axes.set_yticks(range(len(names)), [escaped(name) for name in names] if shown else [""] * len(names))
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(axis="y", color="0.92", linewidth=0.8)
    tidy(axes)


def tidy(axes: "Axes") -> None:
    """No frame above and to the right; grid lines behind the data."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", length=0)


def escaped(name: str) -> str:
    r"""A name as plain text: dollar signs would start a formula.

    >>> escaped("pay$per$token")
    'pay\\$per\\$token'
    """
    return name.replace("$", r"\$")


def words(name: str) -> str:
    """A coordinate's name in words.

    >>> words("difficulty_kernel_sd")
    'difficulty kernel SD'
    """
    return " ".join("SD" if part == "sd" else part for part in name.split("_"))


def entry_labels(name: str, array: xr.DataArray) -> list[str]:
    """One label for each entry of a hyperparameter, dims (chain, draw, ...): its name and its coordinates, in words.

    >>> entry_labels("family_sd", xr.DataArray(np.zeros((1, 1)), dims=("chain", "draw")))
    ['family SD']
    """
    dims = array.dims[2:]
    if not dims:
        return [f"{words(name)}{' (no unit)' if name == 'score_precision' or name.endswith('slope') else ''}"]
    coordinates = product(*(array[dim].values.astype(str).tolist() for dim in dims))
    return [escaped(f"{words(name)}, {' '.join(words(part) for part in parts)}") for parts in coordinates]
