"""Several folds as one: every score over all their test queries, and paired differences to the model."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayes_irt_router.errors import InputError
from bayes_irt_router.evaluation.bootstrap import LEVEL, RESAMPLES, PairedDifference
from bayes_irt_router.evaluation.choice_scores import (
    aiq_differences,
    curve_scores,
    reward_differences,
    routing_scores,
)
from bayes_irt_router.evaluation.choices import ALPHAS
from bayes_irt_router.evaluation.familiarity_scores import by_familiarity
from bayes_irt_router.evaluation.fold_fits import predictions_usable, r_hats_of_predictions
from bayes_irt_router.evaluation.judged import Judged, common, load_judged
from bayes_irt_router.evaluation.prediction_scores import calibration, log_loss_differences, prediction_scores
from bayes_irt_router.evaluation.predictions import MODEL
from bayes_irt_router.evaluation.routing_metrics import RoutingScore
from bayes_irt_router.evaluation.shuffled_control import auc_within_llm, pooled_within_llm
from bayes_irt_router.inference.storage import load

SCHEMA_VERSION = 1
STATIC = "best_static"


@dataclass(frozen=True)
class Pooled:
    """Scores over the test queries of all folds.

    Attributes:
        prediction, routing, curve: by name, as for one set of queries.
        calibration: the model's; see `prediction_scores.calibration`.
        losses: log loss minus the model's, by name.
        rewards: reward minus the model's, by name and alpha.
        aiqs: AIQ minus the model's, by name.
        over_static: reward minus that of the best static choice, by name and alpha.
        within: AUC within LLMs by name: its mean, z against permuted answers, and number of LLMs.
        familiarity: the model's predictions by familiarity of the query, see `familiarity_scores.by_familiarity`.
        resampled: what is resampled for the intervals of differences.
        folds: how many folds, queries and answers.
        excluded: folds left out, with the reason.
    """

    prediction: dict[str, dict[str, float]]
    routing: dict[str, dict[str, RoutingScore]]
    curve: dict[str, dict[str, float]]
    calibration: dict[str, object]
    losses: dict[str, PairedDifference]
    rewards: dict[str, dict[str, PairedDifference]]
    aiqs: dict[str, PairedDifference]
    over_static: dict[str, dict[str, PairedDifference]]
    within: dict[str, dict[str, float]]
    familiarity: pd.DataFrame
    resampled: str
    folds: dict[str, int]
    excluded: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "schema_version": SCHEMA_VERSION,
            "interval": {
                "level": LEVEL,
                "method": f"bootstrap over {self.resampled}",
                "resamples": RESAMPLES,
            },
            "coverage_interval": "resampling folds and LLMs together (pigeonhole bootstrap)",
            **{name: value for name, value in asdict(self).items() if name != "resampled"},
            "familiarity": self.familiarity.to_dict("records"),
        }

    def prediction_table(self) -> pd.DataFrame:
        """One row for each method."""
        rows = {}
        for name, found in self.prediction.items():
            paired = self.losses.get(name)
            rows[name] = {
                "log loss": found["log_loss"],
                "Brier": found["brier"],
                "AUC": found["auc"],
                "ECE": found["ece"],
                "slope": found["calibration_slope"],
                "coverage 50 %": found["coverage_50"],
                "coverage 89 %": found["coverage_89"],
                "log loss - model's (95 %)": _interval(paired, 4) if paired else None,
            }
        return pd.DataFrame.from_dict(rows, orient="index")

    def routing_table(self) -> pd.DataFrame:
        """One row for each method and each choice without a model."""
        rows: dict[str, dict[str, Any]] = {}
        for name, by_alpha in self.routing.items():
            rows[name] = {f"reward {alpha}": one.reward for alpha, one in by_alpha.items()}
            rows[name]["AIQ"] = self.curve[name]["aiq"]
            area = self.aiqs.get(name)
            rows[name]["AIQ - model's (95 %)"] = _interval(area, 2) if area else None
            rows[name]["APGR"] = self.curve[name].get("apgr", np.nan)
            for alpha in by_alpha:
                paired = self.rewards.get(name, {}).get(alpha)
                rows[name][f"{alpha}: reward - model's (95 %)"] = _interval(paired, 2) if paired else None
        return pd.DataFrame.from_dict(rows, orient="index")

    def control_table(self) -> pd.DataFrame:
        """What the shuffled control looks at: AUC within LLMs, and reward over the best static choice."""
        rows: dict[str, dict[str, Any]] = {}
        for name, found in self.within.items():
            rows[name] = {"AUC within LLMs": found["auc"], "z": found["z"]}
            for alpha, paired in self.over_static.get(name, {}).items():
                rows[name][f"{alpha}: reward - best static's (95 %)"] = _interval(paired, 2)
        return pd.DataFrame.from_dict(rows, orient="index")

    def calibration_sentences(self) -> list[str]:
        """The model's calibration in words."""
        found: Mapping[str, Any] = self.calibration
        if not found:
            return []
        sentences = [
            f"Calibration slope {found['slope']:.3f}; ECE {found['ece']:.4f}, and {found['ece_replicated_95']:.4f} "
            "is the 95th percentile of what the model itself would show."
        ]
        for level in (50, 89):
            one = found[f"coverage_{level}"]
            sentences.append(
                f"Replicated accuracy covers {one['coverage']:.3f} of {one['llms']} LLMs x folds at {level} % "
                f"(95 % interval {one['interval'][0]:.3f} to {one['interval'][1]:.3f}, folds and LLMs resampled; "
                f"{one['replicated'][0]:.3f} to {one['replicated'][1]:.3f} if the model is right)."
            )
        return sentences


def _interval(paired: PairedDifference, decimals: int) -> str:
    return f"{paired.difference:+.{decimals}f} ({paired.lower:+.{decimals}f}, {paired.upper:+.{decimals}f})"


def pool(
    judged: Judged,
    *,
    alphas: Sequence[float] = ALPHAS,
    seed: int = 0,
    excluded: Sequence[str] = (),
    tasks: bool = False,
) -> Pooled:
    """Score all folds together; what does not occur in each of them is left out.

    Args:
        judged: the folds' judged queries.
        alphas: weights of correctness.
        seed: of the resampling.
        excluded: folds left out, with the reason.
        tasks: whether each fold is a task that was left out: then intervals of differences are about other tasks, not other queries of
            these, and whole folds are resampled.

    Raises:
        InputError: there is no fold.
    """
    if not judged:
        raise InputError(" ".join(["There is no fold to pool.", *excluded]))
    methods = common(judged, "predictor")
    within = {
        name: pooled_within_llm(
            [auc_within_llm(one["p"].sel(predictor=name).values, one["score"].values) for one in judged]
        )
        for name in methods
    }
    return Pooled(
        prediction_scores(judged),
        routing_scores(judged, alphas),
        curve_scores(judged, alphas),
        calibration(judged, np.random.default_rng(seed)) if MODEL in methods else {},
        log_loss_differences(judged, np.random.default_rng(seed), sets=tasks),
        reward_differences(judged, alphas, np.random.default_rng(seed), sets=tasks),
        aiq_differences(judged, np.random.default_rng(seed), sets=tasks),
        reward_differences(judged, alphas, np.random.default_rng(seed), against=STATIC, sets=tasks),
        {name: {"auc": one.auc, "z": one.z, "llms": one.llms} for name, one in within.items()},
        by_familiarity(judged) if MODEL in methods else pd.DataFrame(),
        "tasks" if tasks else "queries",
        {
            "folds": len(judged),
            "queries": sum(one.sizes["query"] for one in judged),
            "answers": int(sum(int(one["trials"].sum()) for one in judged)),
        },
        tuple(excluded),
    )


def read_folds(
    runs: Path,
    protocol: str,
    lines: Sequence[Mapping[str, Any]],
    *,
    unconverged: bool = False,
    suffix: str = "",
) -> tuple[list[xr.Dataset], list[str]]:
    """The judged queries of all usable folds, and a sentence for each fold that is left out, or stays although not all of it converged.

    In the shuffled control queries do not differ, so the SD of their difficulties is next to nothing, and around nothing no chain finds its
    way (Neal's funnel). There a fold is usable if the predictions have converged, which is all that is looked at.

    Args:
        runs: folder of the runs.
        protocol: whose folds.
        lines: the folds' lines, as `fold_runs.read_lines` returns them.
        unconverged: whether folds stay that are not usable; the sentences say how far they are from it.
        suffix: ``-stack`` for what was judged with a stack.
    """
    judged, excluded = [], []
    for line in lines:
        name = f"{protocol}-{line['fold']}"
        if not line["converged"]:
            posterior = load(runs / name)
            if unconverged:
                of_predictions = float(r_hats_of_predictions(posterior).max())
                excluded.append(
                    f"{name} has not converged and is not left out, as was asked: largest r-hat {line['largest_r_hat']}, of what is "
                    f"predicted {of_predictions:.3f}."
                )
                judged.append(load_judged(runs / f"{name}{suffix}.nc"))
                continue
            if protocol != "shuffled" or not predictions_usable(posterior):
                excluded.append(f"{name} is left out: its largest r-hat is {line['largest_r_hat']}.")
                continue
            excluded.append(
                f"{name}: the predictions have converged, the SDs between queries have not (largest r-hat {line['largest_r_hat']})."
            )
        judged.append(load_judged(runs / f"{name}{suffix}.nc"))
    return judged, excluded
