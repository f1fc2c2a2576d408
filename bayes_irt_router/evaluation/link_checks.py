"""What the link between sources is worth: a linked LLM taken apart, and how much wider intervals are across the link."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from bayes_irt_router.data.linking import of_source, source_names, unlinked
from bayes_irt_router.evaluation import metrics
from bayes_irt_router.evaluation.judged import judge, training_facts
from bayes_irt_router.evaluation.predictions import MODEL, predict_model
from bayes_irt_router.inference.posterior import Posterior
from bayes_irt_router.routing.prediction import predict_in_batches

LEVEL = 0.89


@dataclass(frozen=True)
class LinkCheck:
    """One linked LLM taken apart, and one half predicted where only the other half answered.

    Attributes:
        llm: the linked LLM.
        source: whose held-out queries were predicted, from the LLM's answers in the other sources and the remaining links.
        observed: mean score there.
        mean, lower, upper: the posterior predictive of it (shared residuals, drawn answers), and its 89 % interval.
        log_loss: of the predictions across the link.
        log_loss_linked: of the joint fit, which has seen the LLM's answers to this source's training queries.
    """

    llm: str
    source: str
    observed: float
    mean: float
    lower: float
    upper: float
    log_loss: float
    log_loss_linked: float


def link_checks(
    test: xr.Dataset, joint: Posterior, llm: str, fitted: Posterior, seed: int
) -> list[LinkCheck]:
    """Predict a linked LLM across the link; one entry a source.

    Args:
        test: featurized held-out queries.
        joint: the joint model.
        llm: the LLM that was taken apart.
        fitted: a model of `taken_apart(train, llm, ...)`.
        seed: of residuals and drawn answers.
    """
    found = []
    names = [source for source in source_names(test) if f"{llm} ({source})" in fitted.llm]
    for source in names:
        own = of_source(test, source)
        own = own.isel(llm=[own["llm"].values.tolist().index(llm)])
        own = own.isel(query=np.flatnonzero(own["trials"].values[:, 0] > 0))
        linked = _judged(own, joint, seed)
        for other in names:
            if other == source:
                continue
            half = own.assign_coords(llm=np.array([f"{llm} ({other})"], dtype=object))
            judged = _judged(half, fitted, seed)
            replicated = judged["replicated_accuracy"].values[0, :, 0]
            lower, upper = np.quantile(replicated, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
            found.append(
                LinkCheck(
                    llm,
                    source,
                    float(own["score"].mean()),
                    float(replicated.mean()),
                    float(lower),
                    float(upper),
                    _log_loss(judged),
                    _log_loss(linked),
                )
            )
    return found


def _judged(test: xr.Dataset, posterior: Posterior, seed: int) -> xr.Dataset:
    predicted = predict_model(posterior, test, np.random.default_rng(seed))
    return judge(test, training_facts(posterior, test), {MODEL: predicted}, (), seed)[0]


def _log_loss(judged: xr.Dataset) -> float:
    p = judged["p"].values[0].astype(np.float64)
    return metrics.log_loss(p, judged["score"].values, judged["trials"].values)


def expected_accuracies(
    joint: Posterior, test: xr.Dataset, train: xr.Dataset, level: float = LEVEL
) -> pd.DataFrame:
    """Each LLM's expected accuracy on each source's held-out queries, with its interval over the parameter draws.

    Returns:
        One row an LLM: ``llm``, and for each source ``SOURCE answers`` (in train), ``SOURCE mean``, ``SOURCE lower``, ``SOURCE upper``.
        Where an LLM has no answers in a source, what stands there has come across the link.
    """
    table: dict[str, Sequence[object] | np.ndarray] = {"llm": joint.llm}
    rng = np.random.default_rng(0)
    for source in source_names(test):
        own = test.isel(query=np.flatnonzero(test["source"].values == source))
        total = np.zeros((joint.size, len(joint.llm)))
        for batch in predict_in_batches(joint, own, rng):
            total += (
                batch["p_correct"]
                .values.reshape(joint.size, -1, len(joint.llm))
                .sum(axis=1, dtype=np.float64)
            )
        draws = total / own.sizes["query"]
        lower, upper = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2], axis=0)
        there = train.isel(query=np.flatnonzero(train["source"].values == source))
        answers = there["trials"].sum("query").sel(llm=joint.llm).values
        table |= {f"{source} answers": answers, f"{source} mean": draws.mean(axis=0)}
        table |= {f"{source} lower": lower, f"{source} upper": upper}
    return pd.DataFrame(table)


def widening(accuracies: pd.DataFrame, sources: Sequence[str]) -> dict[str, tuple[float, float]]:
    """Median width of the intervals of `expected_accuracies`, by source: of LLMs that answered there, and of those across the link."""
    found = {}
    for source in sources:
        width = accuracies[f"{source} upper"] - accuracies[f"{source} lower"]
        there = accuracies[f"{source} answers"] > 0
        found[source] = (float(width[there].median()), float(width[~there].median()))
    return found


def sample_queries(data: xr.Dataset, count: int, seed: int) -> xr.Dataset:
    """At most this many queries, drawn at random, equally many of each source; LLMs without an answer are left out."""
    sources, rng = source_names(data), np.random.default_rng(seed)
    rows: list[int] = []
    for source in sources:
        there = np.flatnonzero(data["source"].values == source)
        rows += sorted(rng.permutation(there)[: count // len(sources)].tolist())
    part = data.isel(query=rows)
    part = part.isel(llm=np.flatnonzero((part["trials"].values > 0).any(axis=0)))
    return part.isel(query=np.flatnonzero((part["trials"].values > 0).any(axis=1)))


def taken_apart(train: xr.Dataset, llm: str, queries: int, seed: int) -> xr.Dataset:
    """Training data of a link check: a sample of the queries, one linked LLM taken apart."""
    return unlinked(sample_queries(train, queries, seed), llm)
