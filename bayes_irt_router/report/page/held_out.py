"""What data beside the model tell of it, for the report."""

from dataclasses import dataclass

import numpy as np
import xarray as xr

from bayes_irt_router.evaluation.choices import ALPHAS
from bayes_irt_router.evaluation.evaluate import Evaluation, comparable, evaluation_of, refuse_seen
from bayes_irt_router.evaluation.judged import judge, training_facts
from bayes_irt_router.evaluation.predictions import MODEL, Predicted, predict_model
from bayes_irt_router.routing.router import Router


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Answered queries, and what was predicted of them.

    Attributes:
        queries: featurized, the LLMs that the model knows.
        predicted: means and joint draws.
        judged: predictions beside answers.
        evaluation: the scores.
        seen: whether some of the queries were fitted.
    """

    queries: xr.Dataset
    predicted: Predicted
    judged: xr.Dataset
    evaluation: Evaluation
    seen: bool


def held_out(
    router: Router, data: xr.Dataset, *, allow_seen: bool = False, seed: int = 0, progress: bool = True
) -> HeldOut:
    """Predict and judge the queries of data.

    Args:
        router: the fitted model and its encoder.
        data: queries with answers.
        allow_seen: whether queries that were fitted may be among them.
        seed: of residuals and replications.
        progress: whether to show a progress bar while texts are embedded.

    Raises:
        InputError: queries were seen in fitting, or no LLM of the data is known to the model.
    """
    data, notes = comparable(router, data)
    refuse_seen(router, data, allow_seen)
    queries = router.featurize(data, progress)
    predicted = predict_model(router.posterior, queries, np.random.default_rng(seed))
    judged, more = judge(queries, training_facts(router.posterior, queries), {MODEL: predicted}, ALPHAS, seed)
    evaluation = evaluation_of(judged, ALPHAS, [*notes, *more])
    return HeldOut(queries, predicted, judged, evaluation, allow_seen)
