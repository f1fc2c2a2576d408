"""Simulation-based calibration of the model with all that it offers; a file of its own, so that it runs beside the other.

Error rate: see the fixture `uniformity`.
"""

import numpy as np
import pytest

from bayes_irt_router.inference.nuts import NUTS
from bayes_irt_router.inference.random_bank import random_bank
from bayes_irt_router.inference.simulation_calibration import simulation_based_calibration
from bayes_irt_router.irt.mirt import MIRT


@pytest.mark.slow
def test_ranks_are_uniform_with_everything_the_model_offers(uniformity, check_draws):
    """Graded scores, repeated trials, missing cells, unanswered queries, three traits, tasks, families, a covariate.

    One LLM has answered nothing of one task. The unanswered queries' task is not stated, as in prediction.
    """
    rng = np.random.default_rng(3)
    data = random_bank(rng, queries=24, llms=8, tasks=4)
    trials = rng.integers(0, 4, data["score"].shape)
    trials[-2:] = 0
    task = np.where(np.arange(24) < 22, rng.integers(0, 4, 24).astype(str), "")
    trials[task == "0", 0] = 0
    score = np.zeros(trials.shape)
    score[::3] = 0.3  # no count of right answers among up to 3 gives it: these queries are graded
    data = data.assign(
        trials=(("query", "llm"), trials),
        score=(("query", "llm"), np.where(trials > 0, score, np.nan)),
        task=("query", task),
    ).assign_coords(
        family=("llm", np.array(list("aaabbccd"), dtype=object)),
        parameters_billion=("llm", np.array([1.0, 2.0, 4.0, 8.0, 16.0, 70.0, 7.0, np.nan])),
    )
    model = MIRT(traits=3, families=True, covariates=("log_parameters",))
    result = simulation_based_calibration(
        model, data, 64, sampler=NUTS(draws=500, tune=500, chains=1), keep_draws=50, seed=4, progress=False
    )
    check_draws(result)
    assert {"family_sd", "testlet_sd", "covariate_weight", "score_precision", "predicted cell"} <= set(
        result["sort"].values
    )
    judged = uniformity(result["truth"], result["value"])
    assert judged.passed, judged.failures.to_string()
