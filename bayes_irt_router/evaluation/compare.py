"""The fitted model against baselines that are refitted here, on the same queries and the same cells."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayes_irt_router.data.canonical import select_llms
from bayes_irt_router.errors import InputError
from bayes_irt_router.evaluation.baselines.catalogue import all_baselines
from bayes_irt_router.evaluation.baselines.contract import Baseline
from bayes_irt_router.evaluation.bootstrap import LEVEL, RESAMPLES, PairedDifference
from bayes_irt_router.evaluation.choice_scores import reward_differences
from bayes_irt_router.evaluation.choices import ALPHAS
from bayes_irt_router.evaluation.evaluate import Evaluation, comparable, evaluation_of, refuse_seen
from bayes_irt_router.evaluation.judged import judge, training_facts
from bayes_irt_router.evaluation.prediction_scores import log_loss_differences
from bayes_irt_router.evaluation.predictions import (
    MODEL,
    BaselinePredictions,
    point_estimate,
    predict_baselines,
    predict_model,
)
from bayes_irt_router.inference.fitting import text_hashes
from bayes_irt_router.routing.router import Router


@dataclass(frozen=True)
class Comparison:
    """Scores of the model, the baselines and choices that need no model.

    Attributes:
        evaluation: scores by name, the fitted model's being ``model``.
        differences: log loss minus the model's, by baseline; intervals are 95 % by bootstrap over queries.
        rewards: reward minus the model's, by baseline or choice and by alpha.
        baselines: what each baseline chose, and its wall time.
    """

    evaluation: Evaluation
    differences: dict[str, PairedDifference]
    rewards: dict[str, dict[str, PairedDifference]]
    baselines: BaselinePredictions

    def to_dict(self) -> dict[str, Any]:
        """The evaluation's JSON, and under ``comparison`` what is only known beside the baselines."""
        return {
            **self.evaluation.to_dict(),
            "comparison": {
                "interval": {"level": LEVEL, "method": "bootstrap over queries", "resamples": RESAMPLES},
                "log_loss_minus_model": {name: asdict(one) for name, one in self.differences.items()},
                "reward_minus_model": {
                    name: {alpha: asdict(one) for alpha, one in by_alpha.items()}
                    for name, by_alpha in self.rewards.items()
                },
                "chosen": self.baselines.chosen,
                "seconds": self.baselines.seconds,
            },
        }

    def table(self) -> pd.DataFrame:
        """One row for the model, each baseline and each choice without a model."""
        scores, curve = self.evaluation.prediction, self.evaluation.curve
        rows: dict[str, dict[str, Any]] = {}
        for name in [*scores, *(name for name in self.evaluation.routing if name not in scores)]:
            paired = self.differences.get(name)
            found = scores.get(name, {})
            rows[name] = {
                "log_loss": found.get("log_loss", np.nan),
                "minus model's (95 %)": interval(paired) if paired else None,
                "AUC": found.get("auc", np.nan),
                "ECE": found.get("ece", np.nan),
                "slope": found.get("calibration_slope", np.nan),
            }
            for alpha, one in self.evaluation.routing.get(name, {}).items():
                rows[name][f"R {alpha}"] = one.reward
            rows[name]["Brier"] = found.get("brier", np.nan)
            rows[name]["AIQ"] = curve.get(name, {}).get("aiq", np.nan)
            rows[name]["seconds"] = self.baselines.seconds.get(name, np.nan)
        return pd.DataFrame.from_dict(rows, orient="index")

    def tables(self) -> list[tuple[str, pd.DataFrame]]:
        """The table with a title, in two parts of columns that fit into 100 characters each."""
        whole = self.table()
        whole.index = whole.index.str.replace("_", " ")  # so that long names break at words
        more = ["Brier", "slope", "AIQ", "seconds"]
        table = whole.drop(columns=more)
        table["log_loss"] = [f"{loss:.4f}" if loss == loss else None for loss in table["log_loss"]]
        return [
            ("Model and baselines on the same unseen queries (R: reward at that alpha)", table),
            ("Calibration slope, area under the curve of cost and accuracy, seconds to fit", whole[more]),
        ]


def compare(
    router: Router,
    train: xr.Dataset,
    test: xr.Dataset,
    *,
    baselines: Sequence[Baseline] | None = None,
    alphas: Sequence[float] = ALPHAS,
    allow_seen: bool = False,
    seed: int = 0,
    progress: bool = True,
) -> Comparison:
    """Score the model and baselines that are fitted to ``train`` on the observed cells of ``test``.

    Routing uses the same predicted costs for all, those of the model's answer-length posterior. The reference of a
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
    test, notes = comparable(router, test)
    refuse_seen(router, test, allow_seen)
    train, more = training_part(router, train, test, allow_seen)
    train, test = router.featurize(train, progress), router.featurize(test, progress)
    found = predict_baselines(baselines, train, test, seed=seed, progress=progress)
    judged, unrouted = judge(
        test,
        training_facts(router.posterior, test),
        {
            MODEL: predict_model(router.posterior, test, np.random.default_rng(seed)),
            **{name: point_estimate(p) for name, p in found.means.items()},
        },
        alphas,
        seed,
    )
    return Comparison(
        evaluation_of(judged, alphas, [*notes, *more, *unrouted]),
        log_loss_differences([judged], np.random.default_rng(seed)),
        reward_differences([judged], alphas, np.random.default_rng(seed)),
        found,
    )


def interval(paired: PairedDifference) -> str:
    """A difference and its interval in one cell.

    >>> interval(PairedDifference(0.01, -0.002, 0.022))
    '+0.010 (-0.002, +0.022)'
    """
    return f"{paired.difference:+.3f} ({paired.lower:+.3f}, {paired.upper:+.3f})"


def training_part(
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
