"""How good a fitted model is on queries it has not seen: prediction, calibration, routing."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayes_irt_router.data.canonical import select_llms
from bayes_irt_router.errors import InputError
from bayes_irt_router.evaluation.choice_scores import curve_scores, routing_scores
from bayes_irt_router.evaluation.choices import ALPHAS
from bayes_irt_router.evaluation.judged import judge, training_facts
from bayes_irt_router.evaluation.prediction_scores import prediction_scores
from bayes_irt_router.evaluation.predictions import MODEL, predict_model
from bayes_irt_router.evaluation.routing_analysis import by_difficulty, decile_records, decile_table
from bayes_irt_router.evaluation.routing_metrics import RoutingScore
from bayes_irt_router.inference.fitting import text_hashes
from bayes_irt_router.inference.population import keeps_queries
from bayes_irt_router.routing.router import Router

SCHEMA_VERSION = 1
UNCHECKED = "The model was shipped without a list of its fitted queries: whether these queries were among them cannot be checked."


@dataclass(frozen=True)
class Evaluation:
    """Scores of the model and of choices that need no model.

    Attributes:
        prediction: by name, then by metric.
        routing: by name, then by alpha.
        curve: by name, then by metric: what `choice_scores.curve_scores` returns.
        difficulty: by alpha: the model's choices by decile of difficulty, see `routing_analysis.by_difficulty`.
        candidates: the LLMs among which routing was evaluated: answered on every query, with known cost.
        queries: how many queries were evaluated.
        notes: what a reader must know to read the numbers.
    """

    prediction: dict[str, dict[str, float]]
    routing: dict[str, dict[str, RoutingScore]]
    curve: dict[str, dict[str, float]]
    difficulty: dict[str, pd.DataFrame]
    candidates: tuple[str, ...]
    queries: int
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """What ``birt evaluate --json`` prints."""
        return {
            "schema_version": SCHEMA_VERSION,
            "queries": self.queries,
            "candidates": list(self.candidates),
            "prediction": self.prediction,
            "routing": {
                name: {
                    alpha: {"accuracy": s.accuracy, "cost_usd": s.cost_usd, "reward": s.reward}
                    for alpha, s in by_alpha.items()
                }
                for name, by_alpha in self.routing.items()
            },
            "curve": self.curve,
            "by_difficulty": {alpha: decile_records(table) for alpha, table in self.difficulty.items()},
            "notes": list(self.notes),
        }

    def tables(self) -> list[tuple[str, pd.DataFrame]]:
        """A table of the predictions, one of the routing and one of the cost-quality curves, each with a title."""
        found = [("Prediction of unseen queries", pd.DataFrame(self.prediction).T)]
        if self.routing:
            rows = [
                {
                    "choice": name,
                    "alpha": alpha,
                    "accuracy %": s.accuracy,
                    "cost USD": s.cost_usd,
                    "reward": s.reward,
                }
                for name, by_alpha in self.routing.items()
                for alpha, s in by_alpha.items()
            ]
            found.append(("Routing", pd.DataFrame(rows)))
            found.append(("Cost and quality over all alpha", self.curve_table()))
        return found

    def curve_table(self) -> pd.DataFrame:
        """One row for each choice: AIQ, APGR, CPT, RouterArena's score and, at the first alpha, regret and agreement with the oracle."""
        alpha = next(iter(next(iter(self.routing.values()))))
        shown = {
            "AIQ": "aiq",
            "APGR": "apgr",
            "CPT 50 %": "cpt_50",
            "CPT 80 %": "cpt_80",
            f"RouterArena, alpha {alpha}": f"router_arena_{alpha}",
            "regret": f"regret_{alpha}",
            "oracle in top 1": f"oracle_in_top_1_at_{alpha}",
            "in top 3": f"oracle_in_top_3_at_{alpha}",
        }
        rows = [
            {"choice": name, **{column: found.get(key, np.nan) for column, key in shown.items()}}
            for name, found in self.curve.items()
        ]
        return pd.DataFrame(rows)

    def difficulty_tables(self) -> list[tuple[str, pd.DataFrame]]:
        """For each alpha a table of the model's choices from the easiest to the most difficult tenth of the queries."""
        return [
            (f"The model's choices by decile of difficulty, alpha {alpha}", decile_table(table))
            for alpha, table in self.difficulty.items()
        ]


def evaluate(
    router: Router,
    data: xr.Dataset,
    *,
    alphas: Sequence[float] = ALPHAS,
    allow_seen: bool = False,
    seed: int = 0,
    progress: bool = True,
) -> Evaluation:
    """Evaluate a fitted model on a dataset's queries.

    Prediction is scored over all observed cells. Routing is scored among the LLMs that answered every query and whose cost is
    known; decisions use costs predicted from training data only (`routing.cost_prediction`), scores use the costs that were
    observed.

    Args:
        router: the fitted model and its encoder.
        data: queries with answers; LLMs that the model does not know are left out, with a note.
        alphas: weights of correctness.
        allow_seen: whether queries that were fitted may be evaluated (as if they were unseen).
        seed: of residuals, replications and random choices.
        progress: whether to show a progress bar while texts are embedded.

    Raises:
        InputError: queries were seen in fitting, or no LLM of the data is known to the model.
    """
    data, notes = comparable(router, data)
    refuse_seen(router, data, allow_seen)
    data = router.featurize(data, progress)
    predicted = predict_model(router.posterior, data, np.random.default_rng(seed))
    judged, more = judge(data, training_facts(router.posterior, data), {MODEL: predicted}, alphas, seed)
    return evaluation_of(judged, alphas, [*notes, *more])


def evaluation_of(judged: xr.Dataset, alphas: Sequence[float], notes: Sequence[str]) -> Evaluation:
    """The scores of one set of judged queries."""
    routing = routing_scores([judged], alphas)
    names = tuple(str(name) for name in judged["candidate"].values) if routing else ()
    by_alpha = {}
    if routing and MODEL in judged["predictor"].values:
        by_alpha = {f"{alpha:g}": by_difficulty([judged], MODEL, alpha) for alpha in alphas}
    return Evaluation(
        prediction_scores([judged]),
        routing,
        curve_scores([judged], alphas),
        by_alpha,
        names,
        judged.sizes["query"],
        tuple(notes),
    )


def comparable(router: Router, data: xr.Dataset) -> tuple[xr.Dataset, list[str]]:
    """The data of the LLMs that the model knows, and a note on the others."""
    known = set(router.posterior.llm)
    names = [str(name) for name in data["llm"].values]
    shared = [name for name in names if name in known]
    if not shared:
        raise InputError(
            f"The model knows none of the data's LLMs ({', '.join(names[:3])}, ...); it knows {', '.join(sorted(known))}."
        )
    notes = [] if keeps_queries(router.posterior) else [UNCHECKED]
    if len(shared) == len(names):
        return data, notes
    data = select_llms(data, shared)
    data = data.isel(query=np.flatnonzero((data["trials"].values > 0).any(axis=1)))
    return data, [
        *notes,
        f"The model does not know {', '.join(sorted(set(names) - known))}; their answers are left out.",
    ]


def refuse_seen(router: Router, data: xr.Dataset, allow_seen: bool) -> None:
    """Raise InputError if a query was seen in fitting and that is not allowed."""
    fitted = router.posterior.tree["queries"].to_dataset()
    ids, hashes = set(fitted["query"].values.tolist()), set(fitted["text_hash"].values.tolist())
    texts = [str(text) for text in data["text"].values]
    seen = [
        str(query)
        for query, text in zip(data["query"].values, text_hashes(texts), strict=True)
        if text in hashes or str(query) in ids
    ]
    if seen and not allow_seen:
        raise InputError(
            f"{len(seen)} of {len(texts)} queries were seen in fitting (the first: {seen[0]}); evaluate another split, "
            "or allow it explicitly (--allow-seen)."
        )
