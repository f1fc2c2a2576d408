"""Predictions and choices beside what was observed: everything that scores are computed from.

One dataset for one set of test queries. Scores over several of them (`scores`) pool queries, never scores.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import xarray as xr
from jaxtyping import Float, Int

from bayes_irt_router.data.cost import CostModel
from bayes_irt_router.data.files import atomic_path
from bayes_irt_router.errors import InputError
from bayes_irt_router.evaluation import metrics
from bayes_irt_router.evaluation.choices import CURVE_ALPHAS, TrainingFacts, choose_llms
from bayes_irt_router.evaluation.predictions import REPLICATIONS, Predicted
from bayes_irt_router.evaluation.replication import replicate
from bayes_irt_router.inference.posterior import Posterior
from bayes_irt_router.irt.score_distributions import graded_queries
from bayes_irt_router.routing.cost_prediction import expected_cost

BINS = 15  # of the calibration error
_NEEDED = {"p", "score", "trials", "replicated_right", "replicated_accuracy"}


Judged = Sequence[xr.Dataset]
"""Sets of judged test queries that are scored together."""


def training_facts(posterior: Posterior, queries: xr.Dataset) -> TrainingFacts:
    """What the model's training data told of the costs of answers to these queries, and of each LLM's mean score.

    Args:
        posterior: the fitted model.
        queries: featurized, with LLMs that the model knows.
    """
    table, cost = posterior.tree["llms"].to_dataset(), CostModel.from_dict(posterior.record["cost"])
    scores = table["mean_score"].values.astype(np.float64)
    expected = expected_cost(posterior, queries).sel(llm=queries["llm"].values)
    return TrainingFacts(
        expected.values,
        cost.scale_usd,
        cost.assumed_output_tokens,
        {str(name): float(mean) for name, mean in zip(table["llm"].values, scores, strict=True)},
    )


def judge(
    test: xr.Dataset,
    facts: TrainingFacts,
    predictions: Mapping[str, Predicted],
    alphas: Sequence[float],
    seed: int,
) -> tuple[xr.Dataset, list[str]]:
    """Put predictions beside the answers of the test queries, replicate the answers, and let all choose.

    Args:
        test: queries with answers.
        facts: learned from training data, of these queries and LLMs.
        predictions: by name, columns as in ``test``. Answers are replicated from the joint draws; a point
            estimate has no residuals shared among LLMs, so its reference is narrower than the model's.
        alphas: weights of correctness that are asked for; those of the cost-quality curve are added.
        seed: of replications and of the random choice; each method has a generator of its own, so that its
            scores do not depend on which others there are.

    Returns:
        A dataset, and notes. The dim is called `predictor`, because `method` is an argument of `sel`.

        - ``p`` (predictor, query, llm), ``score``, ``trials`` (query, llm), ``task`` (query);
        - ``sd`` (predictor, query, llm) and ``familiarity`` (query), if a prediction has them; NaN of one that has no SD;
        - ``replicated_right`` (predictor, replication, bin): sum of replicated scores in each bin of p;
        - ``replicated_accuracy`` (predictor, replication, llm): see `metrics.replicated_accuracy`;
        - what `choose_llms` returns, unless a note says why there is no routing.
    """
    score, trials = test["score"].values, test["trials"].values
    observed = ~np.isnan(score)
    right, accuracy = [], []
    for name, predicted in predictions.items():
        rng = np.random.default_rng([seed, *name.encode()])
        draws = predicted.conditional
        graded = predicted.graded(graded_queries(test))
        replicated = [replicate(draws, i % len(draws), trials, rng, graded) for i in range(REPLICATIONS)]
        which = metrics.equal_width_bin(predicted.mean[observed].astype(np.float64), BINS)
        right.append([np.bincount(which, weights=y[observed], minlength=BINS) for y in replicated])
        accuracy.append([_mean_over_queries(y, observed) for y in replicated])
    methods = list(predictions)
    judged = xr.Dataset(
        {
            "p": (("predictor", "query", "llm"), np.stack([one.mean for one in predictions.values()])),
            "score": (("query", "llm"), score),
            "trials": (("query", "llm"), trials),
            "replicated_right": (("predictor", "replication", "bin"), np.array(right)),
            "replicated_accuracy": (("predictor", "replication", "llm"), np.array(accuracy)),
        },
        coords={
            "predictor": methods,
            "query": test["query"].values.astype(str),
            "llm": test["llm"].values.astype(str),
            "task": ("query", test["task"].values.astype(str)),
        },
    )
    judged = judged.assign(_certainty(predictions))
    means = {name: one.mean for name, one in predictions.items()}
    chosen = choose_llms(test, facts, means, sorted({*alphas, *CURVE_ALPHAS}), np.random.default_rng(seed))
    if isinstance(chosen, str):
        return judged, [chosen]
    return judged.merge(chosen, combine_attrs="no_conflicts"), []


def _certainty(predictions: Mapping[str, Predicted]) -> dict[str, tuple[tuple[str, ...], np.ndarray]]:
    found: dict[str, tuple[tuple[str, ...], np.ndarray]] = {}
    familiar = [one.familiarity for one in predictions.values() if one.familiarity is not None]
    if familiar:
        found["familiarity"] = ("query",), familiar[0]
    if any(one.sd is not None for one in predictions.values()):
        unknown = np.full(next(iter(predictions.values())).mean.shape, np.nan)
        sd = [unknown if one.sd is None else one.sd for one in predictions.values()]
        found["sd"] = ("predictor", "query", "llm"), np.stack(sd).astype(np.float32)
    return found


def _mean_over_queries(y: Float[np.ndarray, "query llm"], observed: np.ndarray) -> Float[np.ndarray, " llm"]:
    """NaN for an LLM without an answer."""
    with np.errstate(invalid="ignore"):
        return np.where(observed, y, 0.0).sum(axis=0) / observed.sum(axis=0)


def set_numbers(judged: Judged) -> Int[np.ndarray, " query"]:
    """The number of its set, for each query."""
    return np.repeat(np.arange(len(judged)), [one.sizes["query"] for one in judged])


def common(judged: Judged, dim: str) -> list[str]:
    """The methods or choices that occur in all sets, in the order of the first; none without routing."""
    if any(dim not in one.coords for one in judged):
        return []
    others = [set(one[dim].values.tolist()) for one in judged[1:]]
    return [str(name) for name in judged[0][dim].values if all(str(name) in other for other in others)]


def save_judged(path: Path, judged: xr.Dataset) -> None:
    """Write it as a NetCDF file, atomically."""
    texts = {
        name: (one.dims, one.values.astype(str))
        for name, one in judged.coords.items()
        if one.dtype.kind in "OU"
    }
    encoding = {
        name: {"zlib": True, "complevel": 1} for name in judged.data_vars if judged[name].size > 10_000
    }
    with atomic_path(path) as temporary:
        judged.assign_coords(texts).to_netcdf(temporary, engine="h5netcdf", encoding=encoding)


def load_judged(path: Path) -> xr.Dataset:
    """Read what `save_judged` wrote.

    Raises:
        InputError: the file is missing, damaged or something else.
    """
    try:
        judged = xr.load_dataset(path, engine="h5netcdf")
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{path} cannot be read ({type(error).__name__}); run that fold again.") from None
    if missing := sorted(_NEEDED - set(judged.data_vars)):
        raise InputError(f"{path} lacks {', '.join(missing)}; run that fold again.")
    return judged
