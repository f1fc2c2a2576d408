"""The fitted model against baselines that are refitted here, on the same queries and the same cells."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float

from bayes_irt_router.data.canonical import select_llms
from bayes_irt_router.errors import InputError
from bayes_irt_router.evaluation.baselines.catalogue import all_baselines
from bayes_irt_router.evaluation.baselines.contract import Answers, Baseline, answers_of
from bayes_irt_router.evaluation.evaluate import (
    MODEL,
    REPLICATIONS,
    Evaluation,
    Predicted,
    comparable,
    predict_for_evaluation,
    prediction_scores,
    refuse_seen,
    routing_scores,
)
from bayes_irt_router.evaluation.metrics import SMALLEST_P
from bayes_irt_router.inference.fitting import text_hashes
from bayes_irt_router.routing.router import Router

LEVEL = 0.95  # of the intervals of paired differences
RESAMPLES = 2000


@dataclass(frozen=True)
class PairedDifference:
    """Log loss of a baseline minus the model's: positive where the model is better; with its interval."""

    difference: float
    lower: float
    upper: float


@dataclass(frozen=True)
class Comparison:
    """Scores of the model, the baselines and choices that need no model.

    Attributes:
        evaluation: scores by name, the fitted model's being ``model``.
        differences: log loss against the model's, by baseline; intervals are 95 % by bootstrap over queries.
        chosen: what each baseline chose on its training data, by baseline.
        seconds: wall time of fitting and predicting, by baseline.
    """

    evaluation: Evaluation
    differences: dict[str, PairedDifference]
    chosen: dict[str, dict[str, float]]
    seconds: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """The evaluation's JSON, and under ``comparison`` what is only known beside the baselines."""
        return {
            **self.evaluation.to_dict(),
            "comparison": {
                "interval": {"level": LEVEL, "method": "bootstrap over queries", "resamples": RESAMPLES},
                "log_loss_minus_model": {
                    name: {"difference": one.difference, "lower": one.lower, "upper": one.upper}
                    for name, one in self.differences.items()
                },
                "chosen": self.chosen,
                "seconds": self.seconds,
            },
        }

    def table(self) -> pd.DataFrame:
        """One row for the model, each baseline and each choice without a model."""
        scores, routing = self.evaluation.prediction, self.evaluation.routing
        rows = {}
        for name in [*scores, *(name for name in routing if name not in scores)]:
            row: dict[str, Any] = {
                key: scores.get(name, {}).get(key, np.nan)
                for key in ("log_loss", "brier", "auc", "ece", "ece_replicated_95")
            }
            paired = self.differences.get(name)
            row["minus model"] = paired.difference if paired else np.nan
            row["95% interval"] = f"{paired.lower:+.4f} to {paired.upper:+.4f}" if paired else None
            for alpha, one in routing.get(name, {}).items():
                row[f"reward {alpha}"] = one.reward
            row["seconds"] = self.seconds.get(name, np.nan)
            rows[name] = row
        return pd.DataFrame.from_dict(rows, orient="index")

    def tables(self) -> list[tuple[str, pd.DataFrame]]:
        """The table, with a title; as an evaluation's."""
        return [("Model and baselines on the same unseen queries", self.table())]


def compare(
    router: Router,
    train: xr.Dataset,
    test: xr.Dataset,
    *,
    baselines: Sequence[Baseline] | None = None,
    alphas: Sequence[float] = (0.8, 0.5, 0.2),
    allow_seen: bool = False,
    seed: int = 0,
    progress: bool = True,
) -> Comparison:
    """Score the model and baselines that are fitted to ``train`` on the observed cells of ``test``.

    Routing uses the same predicted costs for all, learned from the model's training data. The reference of a
    baseline's calibration error is replicated without residuals shared among LLMs, which a point estimate
    does not have, so it is narrower than the model's.

    Args:
        router: the fitted model and its encoder.
        train: canonical data that the baselines learn from: what the model was fitted to, or a note says so.
        test: queries with answers; LLMs that the model does not know are left out, with a note.
        baselines: all by default.
        alphas: weights of correctness.
        allow_seen: whether queries that were fitted may be evaluated.
        seed: of everything random; the model's scores are those of ``evaluate`` with the same seed.
        progress: whether to show a progress bar (standard error) with an estimate of the time left.

    Raises:
        InputError: test queries were seen in fitting or are in train, an LLM of the test data
            is missing in the training data, or one of the two has no answers.
    """
    baselines = all_baselines() if baselines is None else baselines
    _check_names(baselines)
    test, notes = comparable(router, test)
    refuse_seen(router, test, allow_seen)
    train, more = _training_part(router, train, test, allow_seen)
    train, test = router.featurize(train, progress), router.featurize(test, progress)

    rng = np.random.default_rng(seed)
    score, trials, answers = test["score"].values, test["trials"].values, answers_of(test)
    predicted = predict_for_evaluation(router, test, rng)
    prediction = {MODEL: prediction_scores(predicted, score, trials, rng)}
    means = {MODEL: predicted.mean}
    differences: dict[str, PairedDifference] = {}
    chosen: dict[str, dict[str, float]] = {}
    seconds: dict[str, float] = {}
    for baseline in _one_by_one(baselines, progress):
        start = time.perf_counter()
        # A generator of its own: a baseline's result does not depend on which others there are.
        own = np.random.default_rng([seed, *baseline.name.encode()])
        fitted = baseline.fit(train, own)
        p = fitted.predict(test)
        seconds[baseline.name] = round(time.perf_counter() - start, 2)
        chosen[baseline.name] = dict(fitted.chosen)
        means[baseline.name] = p
        prediction[baseline.name] = prediction_scores(_point_estimate(p), score, trials, own)
        differences[baseline.name] = paired_difference(
            p, predicted.mean, answers, np.random.default_rng(seed)
        )
    routing, names, unrouted = routing_scores(router, test, means, alphas, rng)
    evaluation = Evaluation(prediction, routing, names, test.sizes["query"], (*notes, *more, *unrouted))
    return Comparison(evaluation, differences, chosen, seconds)


def paired_difference(
    p: Float[np.ndarray, "query llm"],
    reference: Float[np.ndarray, "query llm"],
    answers: Answers,
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
) -> PairedDifference:
    """Log loss of ``p`` minus that of ``reference`` on the same answers, with a bootstrap interval.

    Queries are resampled with all their answers, because errors within a query are correlated:
    ``sum_q w_q d_q / sum_q w_q n_q``, with d_q the summed difference and n_q the answers of query q,
    and w_q how often the query was drawn (Efron 1979). Percentile interval of level 0.95.
    """
    difference = (_cell_loss(p, answers) - _cell_loss(reference, answers)).sum(axis=1)
    count = answers.count.sum(axis=1)
    queries = len(difference)
    drawn = np.empty(resamples)
    for i in range(resamples):
        times = np.bincount(rng.integers(queries, size=queries), minlength=queries)
        drawn[i] = times @ difference / max(times @ count, 1.0)
    lower, upper = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return PairedDifference(float(difference.sum() / count.sum()), float(lower), float(upper))


def _cell_loss(p: Float[np.ndarray, "query llm"], answers: Answers) -> Float[np.ndarray, "query llm"]:
    """Cross-entropy of each cell times its answers; clipped as in the metric."""
    q = np.clip(p, SMALLEST_P, 1 - SMALLEST_P)
    return -answers.count * (answers.score * np.log(q) + (1 - answers.score) * np.log1p(-q))


def _point_estimate(p: Float[np.ndarray, "query llm"]) -> Predicted:
    """A prediction whose joint draws are all alike; they are one array seen many times."""
    draws = np.broadcast_to(p.astype(np.float32), (REPLICATIONS, *p.shape))
    return Predicted(p, draws, np.ones(len(p)))


def _training_part(
    router: Router, train: xr.Dataset, test: xr.Dataset, allow_seen: bool
) -> tuple[xr.Dataset, list[str]]:
    """The answers of the test data's LLMs, columns in the same order, and whether the model saw the same."""
    names = [str(name) for name in test["llm"].values]
    if absent := sorted(set(names) - {str(name) for name in train["llm"].values}):
        raise InputError(f"The training data do not have {', '.join(absent)}; baselines could not be fitted.")
    hashes = text_hashes([str(text) for text in train["text"].values])
    both = set(hashes) & set(text_hashes([str(text) for text in test["text"].values]))
    if both and not allow_seen:
        raise InputError(
            f"{len(both)} texts of the test queries are in the training data, too; leave them out of one."
        )
    fitted = set(router.posterior.tree["queries"].to_dataset()["text_hash"].values.tolist())
    notes = []
    if fitted != set(hashes):
        notes.append(
            f"The model was fitted to {len(fitted)} different texts, the baselines to {len(set(hashes))}, "
            f"of which {len(fitted & set(hashes))} are the same: training data are not equal."
        )
    train = select_llms(train, names).sel(llm=names)
    return train.isel(query=np.flatnonzero((train["trials"].values > 0).any(axis=1))), notes


def _check_names(baselines: Sequence[Baseline]) -> None:
    names = [baseline.name for baseline in baselines]
    if repeated := sorted({name for name in names if names.count(name) > 1 or name == MODEL}):
        raise InputError(f"Baselines need names of their own; {', '.join(repeated)} is taken.")


def _one_by_one(baselines: Sequence[Baseline], shown: bool) -> Iterator[Baseline]:
    """The baselines in turn, with a bar on standard error.

    The time left is the time so far, scaled by the efforts done and to come; before the first baseline that
    took a noticeable time nothing is promised.
    """
    if not shown:
        yield from baselines
        return
    from rich.console import Console  # only a bar needs these
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    total, done, start = sum(baseline.effort for baseline in baselines), 0.0, time.perf_counter()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("baselines", total=total, left="")
        for number, baseline in enumerate(baselines, start=1):
            bar.update(task, description=f"{baseline.name} ({number} of {len(baselines)})")
            yield baseline
            done += baseline.effort
            left = (time.perf_counter() - start) * (total - done) / done
            promised = f"about {left:.0f} s left" if done >= 0.05 * total else ""
            bar.update(task, completed=done, left=promised)
