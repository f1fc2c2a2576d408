"""Logistic regression of each LLM's score on the query's inputs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from jaxtyping import Float

from bayes_irt_router.evaluation.baselines.contract import Answers, answers_of, folds
from bayes_irt_router.evaluation.baselines.inputs import InputMap, Inputs, fit_inputs

FOLDS = 3  # fewer than elsewhere: a regression per LLM, fold and value of C


@dataclass(frozen=True)
class LogisticRegression:
    """`p_qj = sigmoid(w_j . x_q + c_j)`, each LLM on its own, ridge penalty `|w_j|^2 / (2 C)` (scikit-learn).

    C is one for all LLMs, chosen by 3-fold cross-validation of their summed log loss. A graded score y enters
    as y of a right and 1 - y of a wrong answer. An LLM that was always right (or wrong) has its mean.

    Source: a textbook method; among routers, RouterBench's linear baselines (Hu et al. 2024).
    """

    inputs: Inputs = "embedding"
    strengths: Sequence[float] = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
    effort: float = 40.0

    @property
    def name(self) -> str:
        """`logistic_embedding` or `logistic_features`."""
        return f"logistic_{self.inputs}"

    def fit(self, train: xr.Dataset, rng: np.random.Generator) -> "FittedLogisticRegression":
        """Choose C, then fit all LLMs on all training queries."""
        input_map = fit_inputs(train, self.inputs)
        x, answers = input_map.in_training(train), answers_of(train)
        fold = folds(len(x), FOLDS, rng)
        loss = np.zeros(len(self.strengths))
        for held in range(fold.max() + 1):
            inside, outside = np.flatnonzero(fold != held), np.flatnonzero(fold == held)
            for i, strength in enumerate(self.strengths):
                weights = _regressions(x[inside], answers.rows(inside), strength)
                loss[i] += answers.rows(outside).log_loss(_sigmoid(_with_one(x[outside]) @ weights))
        strength = float(self.strengths[int(np.argmin(loss))])
        return FittedLogisticRegression(input_map, _regressions(x, answers, strength), strength)


@dataclass(frozen=True, eq=False)
class FittedLogisticRegression:
    """Weights of each LLM, the intercept in the last row."""

    input_map: InputMap
    weights: Float[np.ndarray, "input_and_one llm"]
    strength: float

    @property
    def chosen(self) -> Mapping[str, float]:
        """The inverse penalty C."""
        return {"C": self.strength}

    def predict(self, queries: xr.Dataset) -> Float[np.ndarray, "query llm"]:
        """The regressions' probabilities."""
        return _sigmoid(_with_one(self.input_map(queries)) @ self.weights)


def _regressions(
    x: Float[np.ndarray, "query input"], answers: Answers, strength: float
) -> Float[np.ndarray, "input_and_one llm"]:
    from sklearn.linear_model import LogisticRegression as OneRegression  # a second to import
    from threadpoolctl import threadpool_limits

    mean = answers.llm_mean()
    weights = np.zeros((x.shape[1] + 1, len(mean)))
    weights[-1] = np.log(mean) - np.log1p(-mean)
    for j in range(len(mean)):
        right = answers.count[:, j] * answers.score[:, j]
        wrong = answers.count[:, j] - right
        some_right, some_wrong = right > 0, wrong > 0
        if not (some_right.any() and some_wrong.any()):
            continue
        with threadpool_limits(1):  # the products are small: threads would wait for each other
            found = OneRegression(C=strength, max_iter=1000).fit(
                np.vstack([x[some_right], x[some_wrong]]),
                np.repeat([1, 0], [some_right.sum(), some_wrong.sum()]),
                sample_weight=np.concatenate([right[some_right], wrong[some_wrong]]),
            )
        weights[:, j] = [*found.coef_[0], found.intercept_[0]]
    return weights


def _with_one(x: Float[np.ndarray, "query input"]) -> Float[np.ndarray, "query input_and_one"]:
    return np.hstack([x, np.ones((len(x), 1))])


def _sigmoid(logit: Float[np.ndarray, "query llm"]) -> Float[np.ndarray, "query llm"]:
    return 0.5 * (1.0 + np.tanh(0.5 * logit))  # without overflow
