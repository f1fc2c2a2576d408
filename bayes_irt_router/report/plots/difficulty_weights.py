"""What makes a query hard: explanatory item response theory."""

from typing import TYPE_CHECKING

import numpy as np

from bayes_irt_router.inference.posterior import Posterior
from bayes_irt_router.report.plots.intervals import (
    COLOURS,
    LEVEL,
    flat,
    interval_rows,
    name_rows,
    new_figure,
    stated,
    words,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SPREADS = ("difficulty_surface_sd", "difficulty_kernel_sd", "difficulty_residual_sd")
_SPREAD_NAMES = ("weights of the features", "likeness to known queries", "what no feature tells")
FEATURES = 24  # those with the largest mean weights


def difficulty_weights(posterior: Posterior, *, level: float = LEVEL) -> "Figure":
    """The surface features' weights on difficulty, largest first; and what carries difficulty beside them.

    A weight is in logits for one standard deviation of the feature over the fitted queries, all other features and the kernel held
    still (after De Boeck and Wilson, 2004). Features that go together share their effect, so single weights may be wide where
    the sum is sharp. At most 24 features are shown.

    Args:
        posterior: the fitted model.
        level: of the thin intervals.
    """
    draws = posterior.draws
    weight = flat(draws["difficulty_weight"])
    names = [str(name) for name in draws["feature"].values]
    surface = [k for k, name in enumerate(names) if name in set(posterior.feature_map.surface_names)]
    order = sorted(surface, key=lambda k: -abs(float(weight[:, k].mean())))[:FEATURES]
    rest = len(surface) - len(order)
    figure = new_figure(7.5, 2.6 + 0.24 * len(order))
    upper, lower = figure.subplots(2, 1, height_ratios=[max(len(order), 3), 3.6])
    upper.axvline(0, color="0.75", linewidth=0.9)
    interval_rows(upper, weight[:, order], level)
    name_rows(upper, [words(names[k]) for k in order])
    upper.set_xlabel("weight on difficulty, logits for one SD of the feature (right: harder)")
    spreads = np.stack([flat(draws[name]) for name in _SPREADS], axis=1)
    interval_rows(lower, spreads, level, colours=COLOURS[1], markers="s")
    name_rows(lower, list(_SPREAD_NAMES))
    lower.set_xlim(left=0)
    lower.set_xlabel("standard deviations in the prior of difficulty, logits")
    left_out = f"\n{rest} features with smaller mean weights are left out" if rest else ""
    figure.suptitle(f"What difficulty leans on: {stated(level)}{left_out}", fontsize=9)
    return figure
