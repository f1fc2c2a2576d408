"""Which LLM each method, and each rule without a model, takes for every query and every alpha.

Predictions choose by `alpha * p - (1 - alpha) * cost / scale` with costs predicted from training data, the same for
the model, every baseline and every rule; what a choice is worth is judged on the scores and costs that were observed.
Candidates are the LLMs that answered every query and whose costs are known.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from jaxtyping import Float, Int

from bayes_irt_router.data.cost import observed_cost
from bayes_irt_router.errors import InputError
from bayes_irt_router.evaluation.cost_quality import static_mixture
from bayes_irt_router.evaluation.predictions import MODEL
from bayes_irt_router.evaluation.routing_metrics import dearest_cost, observed_on_every_query
from bayes_irt_router.evaluation.static_choices import (
    best_single,
    best_static,
    cheapest,
    oracle,
    random_choice,
)
from bayes_irt_router.routing.policies import choose, expected_utility

ALPHAS = (0.8, 0.5, 0.2)
"""Those that IRT-Router reports."""

CURVE_ALPHAS = (*(round(0.05 * k, 2) for k in range(20)), 0.97, 0.98, 0.99, 0.995, 1.0)
"""Those that trace a method's curve of cost against accuracy."""


@dataclass(frozen=True, eq=False)
class TrainingFacts:
    """What training data tell of routing some queries, beside the predictions of correctness.

    Attributes:
        expected_cost_usd: of an answer, columns as in the data; NaN where unknown.
        scale_usd: the unit of cost in the utility, `CostModel.scale_usd`.
        assumed_output_tokens: of answers whose tokens were not counted, where that was assumed at fit.
        mean_score: each LLM's mean score on its training queries, by name.
    """

    expected_cost_usd: Float[np.ndarray, "query llm"]
    scale_usd: float
    assumed_output_tokens: int | None
    mean_score: Mapping[str, float]


def choose_llms(
    test: xr.Dataset,
    facts: TrainingFacts,
    means: Mapping[str, Float[np.ndarray, "query llm"]],
    alphas: Sequence[float],
    rng: np.random.Generator,
) -> xr.Dataset | str:
    """Choices of each method and of the rules that need none, and what they are worth.

    Args:
        test: queries with answers.
        facts: learned from training data, of these queries and LLMs.
        means: predicted E[score] by name, columns as in ``test``. A mixture that is matched in cost to the
            model's choices is among the rules if the model is here.
        alphas: weights of correctness.
        rng: of the random choice.

    Returns:
        A dataset, or one sentence that says why there is none:

        - ``chosen_score`` and ``chosen_cost`` (choice, alpha, query): in USD; of a mixture, expected ones;
        - ``chosen`` and ``oracle_rank`` (predictor, alpha, query): index of the candidate, and the place of the
          oracle's choice in the method's order of utility, 0 being the first;
        - ``candidate`` (name), and the attributes ``dearest_usd``, the dearest candidate's mean observed cost,
          and ``weak`` and ``strong``, the cheapest candidate and the best on train.
    """
    try:
        cost = observed_cost(test, facts.assumed_output_tokens)
    except InputError as error:
        return f"Routing is not evaluated, because costs are unknown: {error}"
    is_candidate = observed_on_every_query(test["score"].values, cost)
    is_candidate &= ~np.isnan(facts.expected_cost_usd).any(axis=0)
    if is_candidate.sum() < 2:
        return "Routing is not evaluated: fewer than two LLMs answered every query and have a known cost."
    score, cost = test["score"].values[:, is_candidate], cost[:, is_candidate]
    names = [str(name) for name in test["llm"].values[is_candidate]]
    expected = facts.expected_cost_usd[:, is_candidate]
    fitted = np.array([facts.mean_score[name] for name in names])
    rules = _rules(score, cost, expected, fitted, facts.scale_usd, alphas, rng)
    ceiling = rules["oracle"]

    chosen, rank = {}, {}
    for name, mean in means.items():
        utility = [
            expected_utility(mean[:, is_candidate], expected, alpha=alpha, scale=facts.scale_usd)
            for alpha in alphas
        ]
        chosen[name] = np.stack([choose(one) for one in utility])
        rank[name] = np.stack([_rank(one, best) for one, best in zip(utility, ceiling, strict=True)])
    won = {name: (_taken(score, one), _taken(cost, one)) for name, one in {**chosen, **rules}.items()}
    if MODEL in chosen:
        target = _taken(expected, chosen[MODEL]).mean(axis=1)
        weights = np.stack([static_mixture(fitted, expected.mean(axis=0), float(usd)) for usd in target])
        won["static_mixture"] = (weights @ score.T, weights @ cost.T)

    methods = list(chosen)
    return xr.Dataset(
        {
            "chosen_score": (("choice", "alpha", "query"), np.stack([one[0] for one in won.values()])),
            "chosen_cost": (("choice", "alpha", "query"), np.stack([one[1] for one in won.values()])),
            "chosen": (
                ("predictor", "alpha", "query"),
                np.stack([chosen[m] for m in methods]).astype(np.int16),
            ),
            "oracle_rank": (
                ("predictor", "alpha", "query"),
                np.stack([rank[m] for m in methods]).astype(np.int16),
            ),
        },
        coords={
            "predictor": methods,
            "choice": list(won),
            "alpha": np.array(alphas, dtype=np.float64),
            "query": test["query"].values.astype(str),
            "candidate": names,
        },
        attrs={
            "dearest_usd": dearest_cost(cost) / len(cost),
            "weak": names[int(np.argmin(expected.mean(axis=0)))],
            "strong": names[int(np.argmax(fitted))],
        },
    )


def _rules(
    score: Float[np.ndarray, "query llm"],
    cost: Float[np.ndarray, "query llm"],
    expected: Float[np.ndarray, "query llm"],
    fitted: Float[np.ndarray, " llm"],
    scale: float,
    alphas: Sequence[float],
    rng: np.random.Generator,
) -> dict[str, Int[np.ndarray, "alpha query"]]:
    """Choices without a prediction of the query; the oracle, a ceiling, is the only one that knows scores."""
    queries, llms = score.shape
    anything = random_choice(queries, llms, rng)
    each = [
        {
            "best_single": best_single(fitted[None, :], queries),
            "best_static": best_static(
                fitted[None, :], expected.mean(axis=0)[None, :], queries, alpha=alpha, scale=scale
            ),
            "cheapest": cheapest(expected, queries),
            "random": anything,
            "oracle": oracle(score, cost, alpha=alpha),
        }
        for alpha in alphas
    ]
    return {name: np.stack([one[name] for one in each]) for name in each[0]}


def _taken(
    cells: Float[np.ndarray, "query llm"], choice: Int[np.ndarray, "alpha query"]
) -> Float[np.ndarray, "alpha query"]:
    return np.stack([np.take_along_axis(cells, one[:, None], axis=1)[:, 0] for one in choice])


def _rank(
    utility: Float[np.ndarray, "query llm"], best: Int[np.ndarray, " query"]
) -> Int[np.ndarray, " query"]:
    """How many LLMs come before the best one in the order of utility; equals keep their order, as in `choose`."""
    own = np.take_along_axis(utility, best[:, None], axis=1)
    before = (utility > own) | ((utility == own) & (np.arange(utility.shape[1]) < best[:, None]))
    return before.sum(axis=1)
