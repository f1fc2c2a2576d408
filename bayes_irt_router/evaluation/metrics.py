"""How good predicted probabilities are: proper scores, ranking, calibration, and what the model itself
would expect.

All functions take arrays (query, llm). A cell without a score is NaN in `score` and is left out. Nothing
here knows which method made the prediction. `p` is the predictive probability: the posterior mean of
`p_correct`.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from bayes_irt_router.errors import InputError
from bayes_irt_router.evaluation.replication import GradedScores, replicate

SMALLEST_P = 1e-6
"""Probabilities are clipped to [this, 1 - this] before a logarithm: a mistake costs at most 13.8 nats."""


def _observed(
    p: Float[np.ndarray, "query llm"], score: Float[np.ndarray, "query llm"]
) -> tuple[Float[np.ndarray, " cell"], Float[np.ndarray, " cell"]]:
    """`p` and `score` of the observed cells, flat, as float64."""
    if p.shape != score.shape:
        raise ValueError(f"p has shape {p.shape}, score has {score.shape}.")
    seen = ~np.isnan(score)
    if not seen.any():
        raise InputError(
            "There is no observed score to compare the predictions with: choose another split or data set."
        )
    p_seen, score_seen = p[seen].astype(np.float64), score[seen].astype(np.float64)
    if not ((p_seen >= 0) & (p_seen <= 1)).all():  # also False for NaN
        raise ValueError("p must lie in [0, 1] in every observed cell.")
    return p_seen, score_seen


def log_loss(
    p: Float[np.ndarray, "query llm"],
    score: Float[np.ndarray, "query llm"],
    trials: Int[np.ndarray, "query llm"] | None = None,
) -> float:
    """Mean cross-entropy in nats, `-mean(y log p + (1 - y) log(1 - p))`, over the observed cells (Good 1952).

    `p` is clipped to [1e-6, 1 - 1e-6]. A graded score y in (0, 1) enters as it is. With `trials` (answers
    behind each mean score) each cell counts that often, which is the mean over answers.

    >>> round(log_loss(np.array([[0.5, 0.5]]), np.array([[1.0, np.nan]])), 4)
    0.6931
    """
    q, y = _observed(p, score)
    q = np.clip(q, SMALLEST_P, 1 - SMALLEST_P)
    loss = -(y * np.log(q) + (1 - y) * np.log1p(-q))
    return float(np.average(loss, weights=None if trials is None else trials[~np.isnan(score)]))


def brier(p: Float[np.ndarray, "query llm"], score: Float[np.ndarray, "query llm"]) -> float:
    """Mean squared error `mean((p - y)^2)` over the observed cells (Brier 1950).

    >>> brier(np.array([[0.5, 1.0]]), np.array([[1.0, 1.0]]))
    0.125
    """
    q, y = _observed(p, score)
    return float(np.mean((q - y) ** 2))


def auc(p: Float[np.ndarray, "query llm"], score: Float[np.ndarray, "query llm"]) -> float:
    """Area under the ROC curve: P(p of a right answer > p of a wrong one), ties counting one half (Hanley &
    McNeil 1982).

    Taken on the probabilities, never on thresholded predictions, over the cells whose score is exactly 0 or
    1; graded cells are left out. NaN when right or wrong answers are missing altogether. With mid-ranks R
    and n1 right, n0 wrong answers `AUC = (sum of R over right answers - n1 (n1 + 1) / 2) / (n1 n0)`.
    """
    q, y = _observed(p, score)
    binary = (y == 0) | (y == 1)
    q, right = q[binary], y[binary] == 1
    n1, n0 = int(right.sum()), int((~right).sum())
    if n1 == 0 or n0 == 0:
        return float("nan")
    _, group, size = np.unique(q, return_inverse=True, return_counts=True)
    mid_rank = np.cumsum(size) - (size - 1) / 2
    return float((mid_rank[group][right].sum() - n1 * (n1 + 1) / 2) / (n1 * n0))


def equal_width_bin(p: Float[np.ndarray, " cell"], bins: int) -> Int[np.ndarray, " cell"]:
    """The equal-width bin [k / bins, (k + 1) / bins) of each p; p = 1 belongs to the last."""
    return np.minimum((p * bins).astype(np.int64), bins - 1)


def ece(p: Float[np.ndarray, "query llm"], score: Float[np.ndarray, "query llm"], bins: int = 15) -> float:
    """Expected calibration error `sum_k (n_k / n) |mean p in bin k - mean score in bin k|`, equal-width
    bins (Naeini et al. 2015, Guo et al. 2017).

    It is biased upwards: a perfectly calibrated prediction has ECE > 0. Judge it against `replicated_ece`.

    >>> round(ece(np.array([[0.9, 0.9]]), np.array([[1.0, 1.0]])), 6)
    0.1
    """
    curve = reliability_curve(p, score, bins)
    full = curve.count > 0
    gap = np.abs(curve.mean_p[full] - curve.mean_score[full])
    return float(np.sum(curve.count[full] * gap) / curve.count.sum())


@dataclass(frozen=True, eq=False)
class ReliabilityCurve:
    """One point per bin: mean prediction, mean score (both NaN in an empty bin) and number of cells."""

    mean_p: Float[np.ndarray, " bin"]
    mean_score: Float[np.ndarray, " bin"]
    count: Int[np.ndarray, " bin"]


def reliability_curve(
    p: Float[np.ndarray, "query llm"], score: Float[np.ndarray, "query llm"], bins: int = 15
) -> ReliabilityCurve:
    """Mean score against mean prediction in `bins` equal-width bins of p (Murphy & Winkler 1977)."""
    q, y = _observed(p, score)
    which = equal_width_bin(q, bins)
    count = np.bincount(which, minlength=bins)
    with np.errstate(invalid="ignore"):  # 0 / 0 in an empty bin is the NaN we want
        mean_p = np.bincount(which, weights=q, minlength=bins) / count
        mean_score = np.bincount(which, weights=y, minlength=bins) / count
    return ReliabilityCurve(mean_p, mean_score, count)


@dataclass(frozen=True)
class CalibrationLine:
    """`logit P(y = 1) = intercept + slope * logit p`: calibrated is slope 1 and intercept 0, over-confident
    is a slope below 1.
    """

    slope: float
    intercept: float


def calibration_slope(
    p: Float[np.ndarray, "query llm"], score: Float[np.ndarray, "query llm"]
) -> CalibrationLine:
    """Logistic regression of the score on logit p (Cox 1958), by Newton's method with step halving.

    p is clipped as in `log_loss`. Both numbers are NaN where no finite maximum of the likelihood exists:
    all p equal, only right or only wrong answers, or a threshold on p that separates them.
    """
    q, y = _observed(p, score)
    q = np.clip(q, SMALLEST_P, 1 - SMALLEST_P)
    x = np.log(q) - np.log1p(-q)
    with_right, with_wrong = x[y > 0], x[y < 1]  # a graded score holds some of both
    if with_right.size == 0 or with_wrong.size == 0:
        return CalibrationLine(float("nan"), float("nan"))
    if with_wrong.max() <= with_right.min() or with_right.max() <= with_wrong.min():
        return CalibrationLine(float("nan"), float("nan"))
    design = np.stack([np.ones_like(x), x], axis=1)

    def loss(beta: Float[np.ndarray, " 2"]) -> float:
        eta = design @ beta
        return float(np.mean(np.logaddexp(0, eta) - y * eta))

    beta = np.zeros(2)
    for _ in range(100):
        mean = 0.5 * (1 + np.tanh(design @ beta / 2))  # the sigmoid without overflow
        gradient = design.T @ (mean - y) / y.size
        hessian = (design * (mean * (1 - mean))[:, None]).T @ design / y.size
        step = np.linalg.lstsq(hessian, gradient, rcond=None)[0]
        if np.abs(step).max() < 1e-10:
            break
        size = 1.0
        while loss(beta - size * step) > loss(beta) and size > 1e-8:
            size /= 2
        beta = beta - size * step
    return CalibrationLine(slope=float(beta[1]), intercept=float(beta[0]))


def replicated_ece(
    p_conditional_draws: Float[np.ndarray, "draw query llm"],
    mask: Bool[np.ndarray, "query llm"],
    rng: np.random.Generator,
    *,
    bins: int = 15,
    p: Float[np.ndarray, "query llm"] | None = None,
    trials: Int[np.ndarray, "query llm"] | None = None,
    replications: int | None = None,
    graded: GradedScores | None = None,
) -> Float[np.ndarray, " replication"]:
    """ECE of the prediction on data sets that the model itself would produce: the reference distribution
    for `ece`.

    Each replication takes one joint draw of `p_correct_conditional` (parameters, and one residual per query
    shared across LLMs, so errors within a query are correlated as the model says), answers every cell of
    `mask` (the observed ones) with that probability, and computes ECE. A posterior predictive check (Gelman,
    Meng & Stern 1996).

    Args:
        p: the prediction that is judged (posterior mean of `p_correct`); the mean of the draws when left out.
        trials: answers behind each score, when there are repeated trials.
        replications: how many; by default one per draw. More than there are draws reuses the draws in order.
        graded: which queries have graded scores; none by default, and then the reference is too wide where there are some.
    """
    prediction = p_conditional_draws.mean(axis=0, dtype=np.float64) if p is None else p
    which = equal_width_bin(prediction[mask].astype(np.float64), bins)
    expected = np.bincount(which, weights=prediction[mask], minlength=bins)
    cells, draws = max(which.size, 1), len(p_conditional_draws)
    result = np.empty(draws if replications is None else replications)
    for i in range(result.size):
        y = replicate(p_conditional_draws, i % draws, trials, rng, graded)[mask]
        result[i] = np.abs(expected - np.bincount(which, weights=y, minlength=bins)).sum() / cells
    return result


def replicated_accuracy(
    p_conditional_draws: Float[np.ndarray, "draw query llm"],
    mask: Bool[np.ndarray, "query llm"],
    rng: np.random.Generator,
    *,
    trials: Int[np.ndarray, "query llm"] | None = None,
    replications: int | None = None,
    graded: GradedScores | None = None,
) -> Float[np.ndarray, "replication llm"]:
    """Each LLM's mean score over its cells of `mask` on data replicated as in `replicated_ece`; NaN for an
    LLM without cells.

    The queries are given; parameter uncertainty, shared residuals and the answers' own noise are all in it.
    """
    draws = len(p_conditional_draws)
    count = mask.sum(axis=0)
    result = np.empty((draws if replications is None else replications, mask.shape[1]))
    for i in range(len(result)):
        y = replicate(p_conditional_draws, i % draws, trials, rng, graded)
        with np.errstate(invalid="ignore"):  # an LLM without cells is NaN
            result[i] = np.where(mask, y, 0).sum(axis=0) / count
    return result


def _observed_accuracy(score: Float[np.ndarray, "query llm"]) -> Float[np.ndarray, " llm"]:
    """Each LLM's mean score over its observed queries; NaN without any."""
    with np.errstate(invalid="ignore"):
        return np.nansum(score, axis=0) / (~np.isnan(score)).sum(axis=0)


def coverage_replicated_accuracy(
    replicated: Float[np.ndarray, "replication llm"],
    score: Float[np.ndarray, "query llm"],
    level: float = 0.89,
) -> Bool[np.ndarray, " llm_with_scores"]:
    """Whether each LLM's accuracy lies in the equal-tailed `level` interval of its `replicated_accuracy`.

    One entry per LLM with a score; concatenate them over splits and take the mean to get the coverage. Both
    ends count as inside, and accuracies are multiples of 1 / queries, so on few queries the coverage
    exceeds the nominal level a little.
    """
    accuracy = _observed_accuracy(score)
    seen = ~np.isnan(accuracy)
    lower, upper = np.quantile(replicated[:, seen], [(1 - level) / 2, (1 + level) / 2], axis=0)
    rounding = 1e-9  # a mean of the same answers in another order is the same accuracy
    return (accuracy[seen] >= lower - rounding) & (accuracy[seen] <= upper + rounding)


def crps_replicated_accuracy(
    replicated: Float[np.ndarray, "replication llm"], score: Float[np.ndarray, "query llm"]
) -> Float[np.ndarray, " llm"]:
    """Continuous ranked probability score of each LLM's accuracy a under its replicated accuracy X: `E|X -
    a| - E|X - X'| / 2` (Gneiting & Raftery 2007), in units of accuracy; smaller is better; NaN for an LLM
    without scores.

    With the n sorted replications x_(i), `E|X - X'| = 2 / n^2 * sum_i (2 i - n - 1) x_(i)`.
    """
    n = len(replicated)
    weight = 2 * np.arange(1, n + 1) - n - 1
    spread = 2 / n**2 * (weight @ np.sort(replicated, axis=0))
    return np.abs(replicated - _observed_accuracy(score)).mean(axis=0) - spread / 2
