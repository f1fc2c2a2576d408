"""Scores of predictions over one or several sets of judged test queries.

Queries are pooled, not scores: each metric is taken once over the cells of all sets.
"""

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float

from bayes_irt_router.evaluation import metrics
from bayes_irt_router.evaluation.bootstrap import PairedDifference, paired_differences, pigeonhole_interval
from bayes_irt_router.evaluation.judged import BINS, Judged, common, set_numbers
from bayes_irt_router.evaluation.predictions import MODEL
from bayes_irt_router.evaluation.shuffled_control import auc_within_llm, pooled_within_llm

LEVELS = (0.5, 0.89)


def cells(judged: Judged, method: str) -> tuple[Float[np.ndarray, "cell one"], ...]:
    """`p`, `score` and `trials` of all observed cells of all sets, as columns."""
    parts = []
    for one in judged:
        score = one["score"].values
        seen = ~np.isnan(score)
        p = one["p"].sel(predictor=method).values.astype(np.float64)
        parts.append((p[seen], score[seen], one["trials"].values[seen].astype(np.float64)))
    return tuple(np.concatenate(column)[:, None] for column in zip(*parts, strict=True))


def prediction_scores(judged: Judged) -> dict[str, dict[str, float]]:
    """By method: log loss, Brier, AUC (over all cells, and within LLMs), ECE and its 95th percentile under
    replication, calibration slope, coverage and CRPS of replicated accuracy.
    """
    found = {}
    for name in common(judged, "predictor"):
        p, score, trials = cells(judged, name)
        inside = [covered(judged, name, level) for level in LEVELS]
        crps = [
            metrics.crps_replicated_accuracy(_replicated(one, name), one["score"].values) for one in judged
        ]
        found[name] = {
            "log_loss": metrics.log_loss(p, score, trials.astype(np.int64)),
            "brier": metrics.brier(p, score),
            "auc": metrics.auc(p, score),
            "auc_within_llm": pooled_within_llm(
                [auc_within_llm(one["p"].sel(predictor=name).values, one["score"].values) for one in judged]
            ).auc,
            "ece": metrics.ece(p, score),
            "ece_replicated_95": float(np.quantile(replicated_ece(judged, name), 0.95)),
            "calibration_slope": metrics.calibration_slope(p, score).slope,
            "coverage_50": float(np.nanmean(inside[0])),
            "coverage_89": float(np.nanmean(inside[1])),
            "crps_accuracy": float(np.nanmean(np.concatenate(crps))),
        }
    return found


def _replicated(one: xr.Dataset, method: str) -> Float[np.ndarray, "replication llm"]:
    return one["replicated_accuracy"].sel(predictor=method).values.astype(np.float64)


def replicated_ece(judged: Judged, method: str) -> Float[np.ndarray, " replication"]:
    """ECE of the pooled prediction on answers that the method itself would give; see `metrics.replicated_ece`.

    Replications of different sets are independent, so the first of one goes with the first of the others.
    """
    p, _, _ = cells(judged, method)
    expected = np.bincount(metrics.equal_width_bin(p[:, 0], BINS), weights=p[:, 0], minlength=BINS)
    count = min(one.sizes["replication"] for one in judged)
    right = sum(
        one["replicated_right"].sel(predictor=method).values[:count].astype(np.float64) for one in judged
    )
    return np.abs(right - expected).sum(axis=1) / len(p)


def covered(judged: Judged, method: str, level: float) -> Float[np.ndarray, "set llm"]:
    """1 where an LLM's accuracy lies in the interval of its replicated accuracy, 0 where not; NaN without scores."""
    names = sorted({str(name) for one in judged for name in one["llm"].values})
    result = np.full((len(judged), len(names)), np.nan)
    for row, one in zip(result, judged, strict=True):
        score = one["score"].values
        inside = metrics.coverage_replicated_accuracy(_replicated(one, method), score, level)
        seen = (~np.isnan(score)).any(axis=0)
        row[[names.index(str(name)) for name in one["llm"].values[seen]]] = inside
    return result


def coverage_under_replication(judged: Judged, method: str, level: float) -> tuple[float, float]:
    """Between which coverages 95 % of data sets lie that the method itself would produce.

    Each replication in turn is taken for the observed accuracies, LLMs sharing their queries' residuals as the
    model says; so this range knows how much the LLMs of a set go together.
    """
    count = min(one.sizes["replication"] for one in judged)
    inside: list[Bool[np.ndarray, "replication llm"]] = []
    for one in judged:
        accuracy = _replicated(one, method)[:count]
        accuracy = accuracy[:, ~np.isnan(accuracy).any(axis=0)]
        lower, upper = np.quantile(accuracy, [(1 - level) / 2, (1 + level) / 2], axis=0)
        inside.append((accuracy >= lower - 1e-6) & (accuracy <= upper + 1e-6))
    share = np.concatenate(inside, axis=1).mean(axis=1)
    low, high = np.quantile(share, [0.025, 0.975])
    return float(low), float(high)


def calibration(judged: Judged, rng: np.random.Generator) -> dict[str, object]:
    """Is the model calibrated: slope, ECE against its replicated 95th percentile, coverage of replicated accuracy.

    Coverage has two intervals: `interval`, by resampling sets and LLMs together, and `replicated`, where it
    would lie if the model were right.
    """
    p, score, _ = cells(judged, MODEL)
    line = metrics.calibration_slope(p, score)
    found: dict[str, object] = {
        "slope": line.slope,
        "intercept": line.intercept,
        "ece": metrics.ece(p, score),
        "ece_replicated_95": float(np.quantile(replicated_ece(judged, MODEL), 0.95)),
    }
    for level in LEVELS:
        inside = covered(judged, MODEL, level)
        found[f"coverage_{100 * level:g}"] = {
            "coverage": float(np.nanmean(inside)),
            "interval": pigeonhole_interval(inside, rng),
            "replicated": coverage_under_replication(judged, MODEL, level),
            "llms": int((~np.isnan(inside)).sum()),
        }
    return found


def log_loss_differences(
    judged: Judged, rng: np.random.Generator, base: str = MODEL, *, sets: bool = False
) -> dict[str, PairedDifference]:
    """Log loss of each method minus that of one of them, the model by default, per answer; positive where that one is better.

    ``sets``: whether whole sets are resampled for the interval, and not queries.
    """
    loss = {name: _query_loss(judged, name) for name in common(judged, "predictor")}
    others = [name for name in loss if name != base]
    if base not in loss or not others:
        return {}
    count = np.concatenate([one["trials"].values.sum(axis=1) for one in judged]).astype(np.float64)
    columns = np.stack([loss[name] - loss[base] for name in others], axis=1)
    group = set_numbers(judged) if sets else None
    return dict(zip(others, paired_differences(columns, count, rng, group=group), strict=True))


def _query_loss(judged: Judged, method: str) -> Float[np.ndarray, " query"]:
    """Summed cross-entropy of each query's answers, as in `metrics.log_loss`."""
    parts = []
    for one in judged:
        q = np.clip(
            one["p"].sel(predictor=method).values.astype(np.float64),
            metrics.SMALLEST_P,
            1 - metrics.SMALLEST_P,
        )
        y = np.nan_to_num(one["score"].values)
        parts.append(-(one["trials"].values * (y * np.log(q) + (1 - y) * np.log1p(-q))).sum(axis=1))
    return np.concatenate(parts)
