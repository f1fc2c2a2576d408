"""How good a fitted model is on queries it has not seen: prediction, calibration, routing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float, Float32, Int

from bayes_irt_router.data.canonical import select_llms
from bayes_irt_router.data.cost import observed_cost
from bayes_irt_router.errors import InputError
from bayes_irt_router.evaluation import metrics
from bayes_irt_router.evaluation.routing_metrics import RoutingScore, observed_on_every_query, routing_score
from bayes_irt_router.evaluation.static_choices import best_single, cheapest, oracle, random_choice
from bayes_irt_router.inference.fitting import text_hashes
from bayes_irt_router.routing.policies import choose, expected_utility
from bayes_irt_router.routing.prediction import predict_in_batches
from bayes_irt_router.routing.router import Router

SCHEMA_VERSION = 1
MODEL = "model"
REPLICATIONS = 200  # joint draws behind the reference distributions


@dataclass(frozen=True)
class Predicted:
    """What an evaluation needs of the two prediction arrays.

    Attributes:
        mean: posterior mean of p_correct, shape (query, llm).
        conditional: joint draws of p_correct_conditional, shape (draw, query, llm).
        familiarity: shape (query,).
    """

    mean: Float[np.ndarray, "query llm"]
    conditional: Float32[np.ndarray, "draw query llm"]
    familiarity: Float[np.ndarray, " query"]


@dataclass(frozen=True)
class Evaluation:
    """Scores of the model and of choices that need no model.

    Attributes:
        prediction: by name, then by metric.
        routing: by name, then by alpha.
        candidates: the LLMs among which routing was evaluated: answered on every query, with known cost.
        queries: how many queries were evaluated.
        notes: what a reader must know to read the numbers.
    """

    prediction: dict[str, dict[str, float]]
    routing: dict[str, dict[str, RoutingScore]]
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
            "notes": list(self.notes),
        }

    def tables(self) -> list[tuple[str, pd.DataFrame]]:
        """A table of the predictions, and one of the routing, each with a title."""
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
        return found


def evaluate(
    router: Router,
    data: xr.Dataset,
    *,
    alphas: Sequence[float] = (0.8, 0.5, 0.2),
    allow_seen: bool = False,
    seed: int = 0,
    progress: bool = True,
) -> Evaluation:
    """Evaluate a fitted model on a dataset's queries.

    Prediction is scored over all observed cells. Routing is scored among the LLMs that answered every query and whose cost is
    known; decisions use costs predicted from training data only, scores use the costs that were observed.

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
    rng = np.random.default_rng(seed)
    predicted = predict_for_evaluation(router, router.featurize(data, progress), rng)
    score, trials = data["score"].values, data["trials"].values
    prediction = {MODEL: prediction_scores(predicted, score, trials, rng)}

    routing, names, more = routing_scores(router, data, {MODEL: predicted.mean}, alphas, rng)
    return Evaluation(prediction, routing, names, data.sizes["query"], (*notes, *more))


def predict_for_evaluation(router: Router, queries: xr.Dataset, rng: np.random.Generator) -> Predicted:
    """Mean predictions and a few hundred joint draws, batch by batch, columns as in ``queries``."""
    posterior = router.posterior
    columns = [posterior.llm.index(str(name)) for name in queries["llm"].values]
    kept = np.linspace(0, posterior.size - 1, min(REPLICATIONS, posterior.size)).round().astype(int)
    mean, conditional, familiarity = [], [], []
    for batch in predict_in_batches(posterior, queries, rng):
        mean.append(batch["p_correct"].values[..., columns].mean(axis=(0, 1), dtype=np.float64))
        joint = batch["p_correct_conditional"].values[..., columns]
        conditional.append(joint.reshape(-1, *joint.shape[2:])[kept])
        familiarity.append(batch["familiarity"].values)
    return Predicted(np.concatenate(mean), np.concatenate(conditional, axis=1), np.concatenate(familiarity))


def prediction_scores(
    predicted: Predicted,
    score: Float[np.ndarray, "query llm"],
    trials: Int[np.ndarray, "query llm"],
    rng: np.random.Generator,
) -> dict[str, float]:
    """Log loss, Brier, AUC and ECE; ECE's 95th percentile under replication, calibration slope, coverage of accuracy."""
    mask = ~np.isnan(score)
    reference = metrics.replicated_ece(predicted.conditional, mask, rng, p=predicted.mean, trials=trials)
    accuracy = metrics.replicated_accuracy(predicted.conditional, mask, rng, trials=trials)
    line = metrics.calibration_slope(predicted.mean, score)
    return {
        "log_loss": metrics.log_loss(predicted.mean, score, trials),
        "brier": metrics.brier(predicted.mean, score),
        "auc": metrics.auc(predicted.mean, score),
        "ece": metrics.ece(predicted.mean, score),
        "ece_replicated_95": float(np.quantile(reference, 0.95)),
        "calibration_slope": line.slope,
        "coverage_50": float(metrics.coverage_replicated_accuracy(accuracy, score, 0.5).mean()),
        "coverage_89": float(metrics.coverage_replicated_accuracy(accuracy, score, 0.89).mean()),
    }


def routing_scores(
    router: Router,
    data: xr.Dataset,
    means: Mapping[str, Float[np.ndarray, "query llm"]],
    alphas: Sequence[float],
    rng: np.random.Generator,
) -> tuple[dict[str, dict[str, RoutingScore]], tuple[str, ...], list[str]]:
    """Routing by each prediction, and by choices that need none, among the LLMs that answered every query.

    All use the same predicted costs, which the router learned from its training data.

    Args:
        router: for its costs and the LLMs' mean scores on train.
        data: the queries, with answers of LLMs that the router knows.
        means: predicted E[score] by name, columns as in ``data``.
        alphas: weights of correctness.
        rng: of the random choice.

    Returns:
        Scores by name, then by alpha; the candidates; notes. Only notes without known costs or two
        candidates.
    """
    try:
        cost = observed_cost(data, router.cost.assumed_output_tokens)
    except InputError as error:
        return {}, (), [f"Routing is not evaluated, because costs are unknown: {error}"]
    candidate = observed_on_every_query(data["score"].values, cost)
    if candidate.sum() < 2:
        return (
            {},
            (),
            ["Routing is not evaluated: fewer than two LLMs answered every query and have a known cost."],
        )
    score, cost = data["score"].values[:, candidate], cost[:, candidate]
    queries, llms = score.shape
    names = [str(name) for name in data["llm"].values[candidate]]
    model = router.cost
    columns = [model.llm.index(name) for name in names]
    expected = model.predict_cost([str(text) for text in data["text"].values], names)[:, columns]
    fitted = router.posterior.tree["llms"].to_dataset()["mean_score"].sel(llm=names).values[None, :]

    choices: dict[str, dict[float, Int[np.ndarray, " query"]]] = {}
    anything = random_choice(queries, llms, rng)
    for alpha in alphas:
        for name, mean in means.items():
            utility = expected_utility(mean[:, candidate], expected, alpha=alpha, scale=model.scale_usd)
            choices.setdefault(name, {})[alpha] = choose(utility)
        for name, choice in (
            ("best_single", best_single(fitted, queries)),
            ("cheapest", cheapest(expected, queries)),
            ("random", anything),
            ("oracle", oracle(score, cost, alpha=alpha)),
        ):
            choices.setdefault(name, {})[alpha] = choice
    scores = {
        name: {f"{alpha:g}": routing_score(choice, score, cost, alpha) for alpha, choice in by_alpha.items()}
        for name, by_alpha in choices.items()
    }
    return scores, tuple(names), []


def comparable(router: Router, data: xr.Dataset) -> tuple[xr.Dataset, list[str]]:
    """The data of the LLMs that the model knows, and a note on the others."""
    known = set(router.posterior.llm)
    names = [str(name) for name in data["llm"].values]
    shared = [name for name in names if name in known]
    if not shared:
        raise InputError(
            f"The model knows none of the data's LLMs ({', '.join(names[:3])}, ...); it knows {', '.join(sorted(known))}."
        )
    if len(shared) == len(names):
        return data, []
    data = select_llms(data, shared)
    data = data.isel(query=np.flatnonzero((data["trials"].values > 0).any(axis=1)))
    return data, [
        f"The model does not know {', '.join(sorted(set(names) - known))}; their answers are left out."
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
