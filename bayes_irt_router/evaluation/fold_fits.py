"""The models of a fold: fitted once, stored, and taken up by the next run."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from bayes_irt_router.data.canonical import data_fingerprint
from bayes_irt_router.data.embedding_cache import embed_texts
from bayes_irt_router.data.encoder import TextEncoder
from bayes_irt_router.data.featurize import featurize
from bayes_irt_router.errors import InputError
from bayes_irt_router.evaluation.baselines.catalogue import all_baselines
from bayes_irt_router.evaluation.baselines.contract import Baseline
from bayes_irt_router.evaluation.protocols import Fold
from bayes_irt_router.inference.fitting import fit
from bayes_irt_router.inference.neural_fitting import fit_nirt
from bayes_irt_router.inference.neural_training import Training
from bayes_irt_router.inference.nuts import NUTS
from bayes_irt_router.inference.posterior import Posterior
from bayes_irt_router.inference.storage import load, save
from bayes_irt_router.irt.mirt import MIRT
from bayes_irt_router.irt.nirt import NIRT
from bayes_irt_router.irt.relevance import from_descriptions

PREDICTED = ("cell", "LLM mean", "A Cov")  # quantities of the gate that predictions are made of
R_HAT = 1.05
"""The draws of a fold are usable up to this; less strict than the gate, because folds are pooled."""


@dataclass(frozen=True)
class FoldSettings:
    """How folds are fitted and judged.

    Attributes:
        model, sampler, assume_output_tokens: as `fit` takes them.
        nirt: if any, it is stacked with the model; the stack is judged as the model, its parts beside it as ``mirt`` and ``nirt``.
        training: of the NIRT.
        baselines: what is fitted beside the model.
        seed: of everything random.
        refit_unconverged: whether a fold whose stored draws are not usable is fitted again.
        provenance: what else a fold's line shall say, such as the commit.
    """

    model: MIRT = field(default_factory=MIRT)
    sampler: NUTS = field(default_factory=NUTS)
    assume_output_tokens: int | None = None
    nirt: NIRT | None = None
    training: Training = field(default_factory=Training)
    baselines: Sequence[Baseline] = field(default_factory=all_baselines)
    seed: int = 0
    refit_unconverged: bool = False
    provenance: Mapping[str, Any] = field(default_factory=dict)


def fold_posterior(
    fold: Fold,
    settings: FoldSettings,
    runs: Path,
    encoder: TextEncoder,
    cache_dir: Path | None,
    progress: bool,
) -> tuple[Posterior, dict[str, float]]:
    """The stored posterior, if it is this fold's and usable; else a new one, stored."""
    directory = runs / fold.name
    if directory.exists():
        posterior = load(directory)
        if posterior.record["data"]["fingerprint"] != data_fingerprint(fold.train):
            raise InputError(
                f"{directory} was fitted to other data than this fold's; use another folder of runs."
            )
        again = settings.refit_unconverged and not usable(posterior)
        wanted: dict[str, Any] = {"model": settings.model.to_dict()}
        if not again:
            sampler = settings.sampler.for_answers(int(fold.train["trials"].sum()))
            wanted |= {"seed": settings.seed, "sampler": sampler.to_dict()}
        if other := [
            name for name, value in wanted.items() if posterior.record[name] != json.loads(json.dumps(value))
        ]:
            raise InputError(
                f"{directory} was fitted with another {' and '.join(other)}; use another folder of runs (--runs), or the same settings."
            )
        if not again:
            return posterior, {"fit": float(posterior.record["seconds"])}
    posterior = fit(
        settings.model,
        featurize(fold.train, encoder, cache_dir, progress),
        settings.sampler,
        seed=settings.seed,
        assume_output_tokens=settings.assume_output_tokens,
        progress=progress,
    )
    commit = settings.provenance.get("commit", "")
    posterior = replace(posterior, record={**posterior.record, "commit": commit})
    save(posterior, directory)
    return posterior, {"fit": float(posterior.record["seconds"])}


def fold_nirt(
    fold: Fold,
    settings: FoldSettings,
    model: NIRT,
    runs: Path,
    encoder: TextEncoder,
    cache_dir: Path | None,
    progress: bool,
) -> Posterior:
    """The stored NIRT, if it is this fold's; else a new one, stored. Relevance leans on the descriptions of its abilities."""
    directory = runs / f"{fold.name}-nirt"
    if directory.exists():
        posterior = load(directory)
        same = (
            posterior.record["data"]["fingerprint"] == data_fingerprint(fold.train)
            and posterior.record["model"] == json.loads(json.dumps(model.to_dict()))
            and posterior.record["seed"] == settings.seed
        )
        if not same:
            raise InputError(
                f"{directory} was fitted to other data or with another model or seed; use another folder of runs (--runs)."
            )
        return posterior
    descriptions = embed_texts([one.description for one in model.abilities], encoder, cache_dir)
    posterior = fit_nirt(
        model,
        featurize(fold.train, encoder, cache_dir, progress),
        settings.training,
        relevance=from_descriptions(descriptions),
        seed=settings.seed,
        assume_output_tokens=settings.assume_output_tokens,
        progress=progress,
    )
    save(posterior, directory)
    return posterior


def usable(posterior: Posterior) -> bool:
    """Whether no r-hat of the gate's set is above 1.05, or unknown."""
    return bool((posterior.gate.table["r_hat"] <= R_HAT).all())


def predictions_usable(posterior: Posterior) -> bool:
    """Whether no r-hat of what is predicted (cells, LLMs' means, products of discriminations and abilities) is above 1.05, or unknown."""
    found = r_hats_of_predictions(posterior)
    return bool((found <= R_HAT).all() and len(found))


def r_hats_of_predictions(posterior: Posterior) -> pd.Series:
    """R-hat of every quantity of the gate that predictions are made of."""
    table = posterior.gate.table
    return table["r_hat"][table["quantity"].str.startswith(PREDICTED)]
