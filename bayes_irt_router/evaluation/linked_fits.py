"""A fit of several linked sources beside a fit of each: which of them ships."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from bayes_irt_router.data.canonical import data_fingerprint, select_split
from bayes_irt_router.data.linking import of_source, source_names
from bayes_irt_router.evaluation.bootstrap import PairedDifference
from bayes_irt_router.evaluation.judged import judge, training_facts
from bayes_irt_router.evaluation.prediction_scores import log_loss_differences, prediction_scores
from bayes_irt_router.evaluation.predictions import MODEL, predict_model
from bayes_irt_router.inference.posterior import Posterior
from bayes_irt_router.inference.storage import load, save

TOLERANCE = 0.005  # log loss that a joint fit may lose against separate ones
SEPARATE = "separate"

Fit = Callable[[xr.Dataset], Posterior]


@dataclass(frozen=True)
class SourceScores:
    """Held-out scores of one source's queries.

    Attributes:
        queries: held out.
        joint, separate: scores of the joint fit and of the source's own, as `prediction_scores` names them.
        separate_minus_joint: log loss, with its interval over queries; positive where the joint fit is better.
    """

    queries: int
    joint: Mapping[str, float]
    separate: Mapping[str, float]
    separate_minus_joint: PairedDifference

    @property
    def joint_is_as_good(self) -> bool:
        """Whether the joint fit loses at most TOLERANCE."""
        return self.separate_minus_joint.difference >= -TOLERANCE


def fitted_once(
    folder: Path, data: xr.Dataset, fit: Fit, expected: Mapping[str, Any], commit: str = ""
) -> Posterior:
    """The model in a folder if it was fitted to these data as expected; else a new fit, saved there: what was interrupted goes on.

    Args:
        folder: of the model.
        data: to fit.
        fit: how.
        expected: entries of the record, such as model, sampler and seed, that a stored model must have; of a nested entry, those
            that are named.
        commit: of the code, written into the record of a new fit. A stored one keeps its own, so that a card tells what was fitted by
            which code.
    """
    if folder.is_dir():
        stored = load(folder)
        wanted = json.loads(json.dumps({**expected, "data": {"fingerprint": data_fingerprint(data)}}))
        if _holds(stored.record, wanted):
            return stored
    posterior = fit(data)
    posterior = replace(posterior, record={**posterior.record, "commit": commit})
    save(posterior, folder)
    return posterior


def _holds(record: Any, wanted: Any) -> bool:
    """Whether a record has all that is wanted of it; nested entries may have more."""
    if isinstance(wanted, Mapping) and isinstance(record, Mapping):
        return all(name in record and _holds(record[name], value) for name, value in wanted.items())
    return bool(record == wanted)


def source_scores(
    test: xr.Dataset, joint: Posterior, separate: Mapping[str, Posterior], seed: int
) -> dict[str, SourceScores]:
    """Joint and separate fits on the same held-out queries, by source.

    Args:
        test: featurized, from `linking.joined`.
        joint: fitted to all sources.
        separate: by source.
        seed: of residuals, replications and bootstrap.
    """
    found = {}
    for source in source_names(test):
        own = of_source(test, source)
        rng = np.random.default_rng
        predictions = {
            MODEL: predict_model(joint, own, rng(seed)),
            SEPARATE: predict_model(separate[source], own, rng(seed)),
        }
        judged, _ = judge(own, training_facts(joint, own), predictions, (), seed)
        scores = prediction_scores([judged])
        difference = log_loss_differences([judged], rng(seed))[SEPARATE]
        found[source] = SourceScores(own.sizes["query"], scores[MODEL], scores[SEPARATE], difference)
    return found


def training(data: xr.Dataset) -> xr.Dataset:
    """The split ``train``, of LLMs that have answers there."""
    train = select_split(data, "train")
    return train.isel(llm=np.flatnonzero((train["trials"].values > 0).any(axis=0)))


def scores_json(scores: Mapping[str, SourceScores]) -> dict[str, Any]:
    """Ready for JSON."""
    return {source: asdict(one) for source, one in scores.items()}
