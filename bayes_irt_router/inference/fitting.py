"""Fitting: data and a model in, a checked posterior out."""

import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import numpy as np
import xarray as xr

from bayes_irt_router.data.canonical import data_fingerprint
from bayes_irt_router.data.cost import fit_cost
from bayes_irt_router.data.feature_map import FeatureMap, fit_feature_map
from bayes_irt_router.data.text_hash import text_hash
from bayes_irt_router.errors import InputError
from bayes_irt_router.inference.answer_length_sampling import sample_answer_lengths
from bayes_irt_router.inference.diagnostics import COVARIATES, SCALARS, SLOPE, convergence_gate
from bayes_irt_router.inference.nuts import NUTS, Sampled, sample_nuts
from bayes_irt_router.inference.posterior import ANSWER_LENGTH, Posterior
from bayes_irt_router.irt.identification import align_traits
from bayes_irt_router.irt.mirt import MIRT
from bayes_irt_router.irt.score_distributions import graded_queries
from bayes_irt_router.irt.starting_points import starting_points
from bayes_irt_router.irt.testlets import testlet_loadings

KEPT = (
    *SCALARS,
    "ability",
    "ability_frame",
    "family_effect",
    COVARIATES,
    SLOPE,
    "testlet_effect",
    "unseen_difficulty",
    "unseen_discrimination",
    "difficulty",
    "difficulty_weight",
    "discrimination",
    "discrimination_weight",
)
STATS = {"lp", "logp", "diverging", "n_steps", "energy", "step_size", "acceptance_rate", "mean_tree_accept"}
PACKAGES = ("bayes_irt_router", "pymc", "numpyro", "jax", "arviz", "numpy", "xarray", "sentence-transformers")


def fit(
    model: MIRT,
    data: xr.Dataset,
    sampler: NUTS | None = None,
    *,
    seed: int = 0,
    landmarks: int = 400,
    components: int = 200,
    lengthscale: float = 1.2,
    keep_draws: int = 1000,
    assume_output_tokens: int | None = None,
    keep_texts: bool = False,
    progress: bool = True,
) -> Posterior:
    """Sample the posterior of a model given data, and judge the draws.

    Args:
        model: the model and its priors.
        data: a featurized dataset (``score``, ``trials``, ``embedding``, ``surface``); all of it is fitted, so select a split first.
        sampler: settings of NUTS.
        seed: of everything random here: landmarks, held-out parts, starting points, sampler.
        landmarks: of the feature map, see :func:`fit_feature_map`.
        components: of the feature map.
        lengthscale: of the feature map.
        keep_draws: the convergence gate judges all draws; this many, evenly spaced, are kept.
        assume_output_tokens: output tokens an answer, where the data have prices but no counts; see :func:`fit_cost`.
        keep_texts: whether the posterior keeps the queries' texts.
        progress: whether to show progress bars (standard error).

    Raises:
        InputError: too few queries or LLMs, LLMs or queries without answers, a dataset that is not featurized, or prices
            without output tokens.
    """
    sampler = (sampler or NUTS()).for_answers(int(data["trials"].sum()))
    model.check(data)
    check_answers(data)
    cost = fit_cost(data, assume_output_tokens=assume_output_tokens)
    feature_map = fit_feature_map(
        data, landmarks=landmarks, components=components, lengthscale=lengthscale, seed=seed
    )
    data = feature_map.apply_in_training(data, seed=seed)
    starts = starting_points(model, data, sampler.chains, np.random.default_rng(seed))
    sampled = sample_nuts(
        lambda: model.build(data), starts, list(KEPT), sampler, seed=seed, progress=progress
    )
    gate = convergence_gate(sampled, data)
    lengths = sample_answer_lengths(data, np.random.default_rng([seed, 1]))
    tree = xr.DataTree.from_dict(
        ({} if lengths is None else {ANSWER_LENGTH: lengths})
        | {
            "posterior": align_traits(sampled.posterior.astype(np.float32)),
            "sample_stats": sampled.sample_stats[[name for name in sampled.sample_stats if name in STATS]],
            "queries": query_table(data),
            "llms": llm_table(data),
        }
    )
    posterior = Posterior(
        tree,
        feature_map,
        gate,
        {**_record(model, data, sampler, sampled, seed, feature_map), "cost": cost.to_dict()},
        tuple(str(text) for text in data["text"].values) if keep_texts else None,
    )
    return posterior.thin(max(keep_draws, sampler.chains))


def text_hashes(texts: Sequence[str]) -> list[str]:
    """Each text's hash, which tells whether a text was seen without keeping it.

    >>> text_hashes(["What is 2 + 2?"])
    ['38d46ad3618826cf']
    """
    return [text_hash(text) for text in texts]


def query_table(data: xr.Dataset) -> xr.Dataset:
    """The fitted queries: ids, tasks, embeddings, text hashes, mean scores, novelty, and what testlet effects are multiplied by."""
    return xr.Dataset(
        {
            "embedding": (("query", "embedding_dim"), data["embedding"].values.astype(np.float32)),
            "text_hash": ("query", text_hashes([str(text) for text in data["text"].values])),
            "mean_score": ("query", data["score"].mean("llm").values.astype(np.float32)),
            "novelty": ("query", data["novelty"].values),
            "graded": ("query", graded_queries(data)),
            "testlet_loading": (("query", "told_apart"), testlet_loadings(data)),
        },
        coords={
            "query": data["query"].values.astype(str),
            "task": ("query", data["task"].values.astype(str)),
        },
    )


def llm_table(data: xr.Dataset) -> xr.Dataset:
    """The LLMs' table, and what each scored on the fitted queries that it answered."""
    columns = {name: values for name, values in data.coords.items() if values.dims == ("llm",)}
    return xr.Dataset(
        {"mean_score": data["score"].mean("query"), "answers": (data["trials"] > 0).sum("query")},
        coords=columns,
    )


def fit_record(data: xr.Dataset, seed: int, feature_map: FeatureMap) -> dict[str, Any]:
    """What is recorded of every fit, whatever the model: seed, encoder, features, data, machine, time, versions."""
    splits = sorted({str(split) for split in data["split"].values} - {""}) if "split" in data.coords else []
    return {
        "seed": seed,
        "encoder": {
            "name": data["embedding"].attrs.get("encoder", ""),
            "revision": data["embedding"].attrs.get("encoder_revision", ""),
        },
        "feature_map": {
            "landmarks": len(feature_map.landmarks),
            "components": feature_map.projection.shape[1],
            "lengthscale": feature_map.lengthscale,
            "surface_features": list(feature_map.surface_names),
            "tasks": list(feature_map.task_names),
        },
        "data": {
            "fingerprint": data_fingerprint(data),
            "splits": splits,
            "queries": data.sizes["query"],
            "llms": data.sizes["llm"],
            "responses": int(data["trials"].sum()),
        },
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
        "fitted": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {name: version(name) for name in PACKAGES},
    }


def _record(
    model: MIRT, data: xr.Dataset, sampler: NUTS, sampled: Sampled, seed: int, feature_map: FeatureMap
) -> dict[str, Any]:
    return {
        "kind": model.kind,
        "model": model.to_dict(),
        "sampler": sampler.to_dict(),
        **fit_record(data, seed, feature_map),
        "device": sampled.device,
        "seconds": round(sampled.seconds, 1),
        "leapfrog_steps": float(sampled.sample_stats["n_steps"].mean()),
    }


def check_answers(data: xr.Dataset) -> None:
    """Whether every LLM and every query has an answer.

    Raises:
        InputError: one has none.
    """
    answered = data["trials"].values > 0
    problems = []
    if (silent := ~answered.any(axis=0)).any():
        names = ", ".join(str(name) for name in data["llm"].values[silent])
        problems.append(f"No answers of {names} are left to fit; leave the LLM out or choose another split.")
    if (empty := ~answered.any(axis=1)).any():
        problems.append(f"{empty.sum()} queries have no answers; leave them out.")
    if problems:
        raise InputError(problems)
