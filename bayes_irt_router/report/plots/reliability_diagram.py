"""When the model says 80 %, is it right in 80 of 100?"""

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from bayes_irt_router.errors import InputError
from bayes_irt_router.evaluation.judged import BINS
from bayes_irt_router.evaluation.metrics import ece, equal_width_bin, reliability_curve
from bayes_irt_router.evaluation.prediction_scores import replicated_ece
from bayes_irt_router.evaluation.predictions import MODEL
from bayes_irt_router.report.plots.intervals import COLOURS, LEVEL, ends, escaped, new_figure, tidy

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def reliability_diagram(judged: xr.Dataset, predictor: str = MODEL, *, level: float = LEVEL) -> "Figure":
    """Mean score against mean predicted P(correct) in the bins of the calibration error, and how many cells each bin has.

    Grey bars hold ``level`` of the mean scores that the prediction itself would produce, answers of one query going together
    as its joint draws say: a dot outside is more than noise. ArviZ's ``plot_ppc_pava`` takes answers for
    independent, and its bands would be too narrow here.

    Args:
        judged: predictions beside answers, as `judge` returns them.
        predictor: whose predictions.
        level: of the bars (equal-tailed).

    Raises:
        InputError: no such predictor.
    """
    names = [str(name) for name in judged["predictor"].values]
    if predictor not in names:
        raise InputError(f"There is no predictor {predictor!r}; choose {', '.join(names)}.")
    p = judged["p"].sel(predictor=predictor).values.astype(np.float64)
    score = judged["score"].values.astype(np.float64)
    curve = reliability_curve(p, score, BINS)
    full = curve.count > 0
    right = judged["replicated_right"].sel(predictor=predictor).values.astype(np.float64)
    lower, upper = ends(right[:, full] / curve.count[full], level)
    reference = float(np.quantile(replicated_ece([judged], predictor), 0.95))

    figure = new_figure(6.0, 6.4)
    upper_axes, lower_axes = figure.subplots(2, 1, height_ratios=[4, 1], sharex=True)
    upper_axes.plot([0, 100], [0, 100], color="0.6", linewidth=0.9)
    x = 100 * curve.mean_p[full]
    upper_axes.vlines(x, 100 * lower, 100 * upper, color="0.72", linewidth=6)
    inside = (curve.mean_score[full] >= lower) & (curve.mean_score[full] <= upper)
    y = 100 * curve.mean_score[full]
    upper_axes.plot(x[inside], y[inside], "o", color=COLOURS[0], markersize=5, label="inside")
    upper_axes.plot(x[~inside], y[~inside], "X", color=COLOURS[1], markersize=7, label="outside")
    upper_axes.set_ylabel("mean score of the answers, %")
    upper_axes.set_ylim(-2, 102)
    upper_axes.set_title(
        f"Predictor {escaped(predictor)!r}, {judged.sizes['query']:,} queries; bars hold {100 * level:g} % of what it would produce "
        f"itself.\nECE {ece(p, score, BINS):.3f}; on its own answers it would be below {reference:.3f} in 95 % of cases",
        fontsize=9,
    )
    seen = ~np.isnan(score)
    counts = np.bincount(equal_width_bin(p[seen], BINS), minlength=BINS)
    lower_axes.bar(
        100 * (np.arange(BINS) + 0.5) / BINS, counts, width=100 / BINS * 0.9, color="0.6", linewidth=0
    )
    lower_axes.set_ylabel("answers")
    lower_axes.set_xlabel("predicted P(correct), %")
    for axes in (upper_axes, lower_axes):
        tidy(axes)
    return figure
