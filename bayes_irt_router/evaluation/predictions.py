"""What the model and the baselines predict for the same queries, ready to be judged."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float, Float32

from bayes_irt_router.errors import InputError
from bayes_irt_router.evaluation.baselines.contract import Baseline
from bayes_irt_router.evaluation.replication import GradedScores
from bayes_irt_router.inference.posterior import Posterior
from bayes_irt_router.routing.prediction import predict_in_batches

MODEL = "model"
REPLICATIONS = 200  # joint draws behind the reference distributions


@dataclass(frozen=True)
class Predicted:
    """What an evaluation needs of the two prediction arrays.

    Attributes:
        mean: posterior mean of p_correct, shape (query, llm).
        conditional: joint draws of p_correct_conditional, shape (draw, query, llm).
        sd: posterior SD of p_correct, what more data would shrink, shape (query, llm); None of a point estimate.
        familiarity: of the queries, in [0, 1], shape (query,); None of a point estimate.
        score_precision: k of graded scores in each joint draw, shape (draw,); None where the prediction knows nothing of it.
    """

    mean: Float[np.ndarray, "query llm"]
    conditional: Float32[np.ndarray, "draw query llm"]
    sd: Float[np.ndarray, "query llm"] | None = None
    familiarity: Float[np.ndarray, " query"] | None = None
    score_precision: Float[np.ndarray, " draw"] | None = None

    def graded(self, queries: Bool[np.ndarray, " query"]) -> GradedScores | None:
        """How the graded ones of these queries are replicated; None: as coins."""
        return None if self.score_precision is None else GradedScores(queries, self.score_precision)


@dataclass(frozen=True)
class BaselinePredictions:
    """Predictions of some baselines, by name.

    Attributes:
        means: E[score], shape (query, llm).
        chosen: what each chose on its training data.
        seconds: wall time of fitting and predicting.
    """

    means: dict[str, Float[np.ndarray, "query llm"]]
    chosen: dict[str, dict[str, float]]
    seconds: dict[str, float]


def predict_model(posterior: Posterior, queries: xr.Dataset, rng: np.random.Generator) -> Predicted:
    """Mean predictions and a few hundred joint draws, batch by batch, columns as in ``queries``.

    Args:
        posterior: the fitted model; it knows all LLMs of ``queries``.
        queries: featurized.
        rng: of the residuals.
    """
    columns = [posterior.llm.index(str(name)) for name in queries["llm"].values]
    kept = np.linspace(0, posterior.size - 1, min(REPLICATIONS, posterior.size)).round().astype(int)
    mean, sd, conditional, familiarity = [], [], [], []
    for batch in predict_in_batches(posterior, queries, rng):
        p = batch["p_correct"].values[..., columns]
        mean.append(p.mean(axis=(0, 1), dtype=np.float64))
        sd.append(p.std(axis=(0, 1), dtype=np.float64))
        joint = batch["p_correct_conditional"].values[..., columns]
        conditional.append(joint.reshape(-1, *joint.shape[2:])[kept])
        familiarity.append(batch["familiarity"].values.astype(np.float64))
    draws = posterior.draws
    precision = draws["score_precision"].values.reshape(-1)[kept] if "score_precision" in draws else None
    return Predicted(
        np.concatenate(mean),
        np.concatenate(conditional, axis=1),
        np.concatenate(sd),
        np.concatenate(familiarity),
        precision,
    )


def point_estimate(p: Float[np.ndarray, "query llm"]) -> Predicted:
    """A prediction whose joint draws are all alike; they are one array seen many times."""
    return Predicted(p, np.broadcast_to(p.astype(np.float32), (REPLICATIONS, *p.shape)))


def predict_baselines(
    baselines: Sequence[Baseline], train: xr.Dataset, test: xr.Dataset, *, seed: int, progress: bool = True
) -> BaselinePredictions:
    """Fit each baseline to ``train`` and predict ``test``.

    Args:
        baselines: with names of their own.
        train, test: featurized, with the same LLMs in the same order.
        seed: every baseline has a generator of its own, so a result does not depend on which others there are.
        progress: whether to show a progress bar (standard error) with an estimate of the time left.

    Raises:
        InputError: two baselines have the same name, or one has the model's; or there is no answer in train.
    """
    _check_names(baselines)
    found = BaselinePredictions({}, {}, {})
    for baseline in _one_by_one(baselines, progress):
        start = time.perf_counter()
        fitted = baseline.fit(train, np.random.default_rng([seed, *baseline.name.encode()]))
        found.means[baseline.name] = fitted.predict(test)
        found.chosen[baseline.name] = dict(fitted.chosen)
        found.seconds[baseline.name] = round(time.perf_counter() - start, 2)
    return found


def _check_names(baselines: Sequence[Baseline]) -> None:
    names = [baseline.name for baseline in baselines]
    if repeated := sorted({name for name in names if names.count(name) > 1 or name == MODEL}):
        raise InputError(f"Baselines need names of their own; {', '.join(repeated)} is taken.")


def _one_by_one(baselines: Sequence[Baseline], shown: bool) -> Iterator[Baseline]:
    """The baselines in turn, with a bar on standard error.

    The time left is the time so far, scaled by the efforts done and to come; before the first baseline that
    took a noticeable time nothing is promised.
    """
    if not shown:
        yield from baselines
        return
    from rich.console import Console  # only a bar needs these
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    total, done, start = sum(baseline.effort for baseline in baselines), 0.0, time.perf_counter()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("baselines", total=total, left="")
        for number, baseline in enumerate(baselines, start=1):
            bar.update(task, description=f"{baseline.name} ({number} of {len(baselines)})")
            yield baseline
            done += baseline.effort
            left = (time.perf_counter() - start) * (total - done) / done
            promised = f"about {left:.0f} s left" if done >= 0.05 * total else ""
            bar.update(task, completed=done, left=promised)
