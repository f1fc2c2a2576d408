"""Parameter recovery: a simulated benchmark is fitted through the public `fit`, and compared with its truth.

The simulator is not the model (discriminations are log-normal, abilities follow size and date), so coverage
need not be exact; the bounds below leave room for that and for chance. One fixed seed: each test passes or
fails for good.
"""

import numpy as np
import pytest

from bayes_irt_router.data.canonical import select_split
from bayes_irt_router.data.encoder import Encoder
from bayes_irt_router.data.featurize import featurize
from bayes_irt_router.data.simulation import simulate
from bayes_irt_router.evaluation.metrics import calibration_slope
from bayes_irt_router.inference.fitting import fit
from bayes_irt_router.inference.nuts import NUTS
from bayes_irt_router.irt.mirt import MIRT
from bayes_irt_router.irt.response import p_correct
from bayes_irt_router.routing.prediction import predict

pytestmark = pytest.mark.slow

LEVEL = 0.89


@pytest.fixture(scope="module")
def simulation():
    return simulate(np.random.default_rng(11), queries=375, llms=15, observed=0.8)


@pytest.fixture(scope="module")
def featurized(simulation):
    return featurize(simulation.dataset, Encoder(), progress=False)


@pytest.fixture(scope="module")
def posterior(featurized):
    """About 300 training queries x 15 LLMs."""
    sampler = NUTS(
        draws=500, tune=500, target_accept=0.9
    )  # a small bank leaves the SDs near zero: shorter steps
    return fit(MIRT(traits=3), select_split(featurized, "train"), sampler, seed=3, progress=False)


@pytest.fixture(scope="module")
def fitted(posterior):
    """p_correct of all cells of the fitted queries, answered or not, shape (draw, query, llm)."""
    draws = posterior.draws
    ability, discrimination, difficulty = (
        draws[name].values.reshape(-1, *draws[name].shape[2:])
        for name in ("ability", "discrimination", "difficulty")
    )
    return p_correct(ability, discrimination, difficulty)


@pytest.fixture(scope="module")
def truth(simulation, posterior):
    return simulation.truth.sel(query=posterior.draws["query"].values, llm=posterior.llm)


@pytest.fixture(scope="module")
def unseen(posterior, featurized):
    return predict(posterior, select_split(featurized, "test"), np.random.default_rng(5))


def interval(draws):
    """The equal-tailed interval over the first axis."""
    return np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)


def covered(draws, true):
    lower, upper = interval(draws)
    return (lower <= true) & (true <= upper)


def test_the_chains_agree(posterior):
    """Shorter chains than the gate wants, but long enough for the comparisons below."""
    assert posterior.gate.table["r_hat"].max() < 1.05, posterior.gate.verdict
    assert posterior.gate.divergent <= 0.005


def test_p_correct_of_fitted_queries(fitted, truth):
    """About as near to the truth as the posterior itself says: 12 right/wrong answers a query leave this much open.

    What it says is how near its mean is to each of its own draws; it is a 99.8 % interval for one-sided failure.
    """
    mean, true = fitted.mean(axis=0), truth["p_correct"].values
    expected = np.array([nearness(leave_out(mean, draw, len(fitted)), draw) for draw in fitted[::5]])
    correlation, error = nearness(mean, true)
    assert correlation > max(0.85, np.quantile(expected[:, 0], 0.002))
    assert error < min(0.12, np.quantile(expected[:, 1], 0.998))
    assert abs((mean - true).mean()) < 0.02


def leave_out(mean, draw, draws):
    return (draws * mean - draw) / (draws - 1)


def nearness(estimate, true):
    """Correlation and mean absolute error, over cells."""
    return np.corrcoef(estimate.ravel(), true.ravel())[0, 1], np.abs(estimate - true).mean()


@pytest.mark.parametrize("answered", [True, False])
def test_intervals_of_p_correct_cover_the_truth(fitted, truth, posterior, featurized, answered):
    """Cells of one query err together, so the standard error of the coverage is that of the queries' shares."""
    trials = featurized["trials"].sel(query=truth["query"].values, llm=posterior.llm).values
    cells = (trials > 0) == answered
    inside = covered(fitted, truth["p_correct"].values)
    share = inside[cells].mean()
    deviation = ((inside - share) * cells).sum(axis=1) / cells.sum(axis=1).mean()
    error = deviation.std() / np.sqrt(len(deviation))
    assert abs(share - LEVEL) < 0.03 + 3.5 * error, (share, error)


def test_mean_accuracy_of_each_llm_over_all_queries(fitted, truth):
    """Means over all fitted queries, missing cells included. Of 15 intervals at 89 %, 9 or fewer hold: below 0.2 %."""
    means, true = fitted.mean(axis=1), truth["p_correct"].values.mean(axis=0)
    assert np.abs(means.mean(axis=0) - true).max() < 0.08
    assert covered(means, true).sum() >= 10


def test_general_ability(posterior, truth):
    """The simulated general trait loads on all questions, so it is what the LLMs' mean logits differ by."""
    estimated = posterior.draws["ability"].sel(trait="general").mean(("chain", "draw")).values
    logit = truth["discrimination"].values @ truth["ability"].values.T
    assert np.corrcoef(estimated, logit.mean(axis=0))[0, 1] > 0.95


def test_difficulty(posterior, truth):
    """Both are logits against an LLM of mean ability; each query has about 12 answers."""
    estimated = posterior.draws["difficulty"].mean(("chain", "draw")).values
    true = truth["difficulty"].values
    assert np.corrcoef(estimated, true)[0, 1] > 0.75
    assert abs((estimated - true).mean()) < 0.2


def test_predictions_of_unseen_queries_are_calibrated(unseen, simulation, featurized):
    """Against the answers, and against many answers drawn from the true probabilities."""
    mean = unseen["p_correct"].mean(("chain", "draw")).values.astype(np.float64)
    ids = unseen["query"].values
    true = simulation.truth["p_correct"].sel(query=ids).values
    assert 0.8 < calibration_slope(mean, true).slope < 1.2
    assert np.abs(mean - true).mean() < 0.16
    score = featurized["score"].sel(query=ids).values
    assert 0.75 < calibration_slope(mean, score).slope < 1.25


def test_predictions_of_unseen_queries_know_how_sure_they_are(unseen, simulation):
    """The interval that holds the residual covers the true p_correct; queries are the units of the standard error."""
    draws = unseen["p_correct_conditional"]
    inside = covered(
        draws.values.reshape(-1, *draws.shape[2:]),
        simulation.truth["p_correct"].sel(query=unseen["query"].values).values,
    )
    error = inside.mean(axis=1).std() / np.sqrt(len(inside))
    assert abs(inside.mean() - LEVEL) < 0.03 + 3.5 * error, (inside.mean(), error)
