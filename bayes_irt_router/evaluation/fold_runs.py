"""Running folds: each is fitted once, judged once, and picked up where an earlier run stopped.

In a folder of runs, which is no part of the repository, fold `queries-0` has a model folder `queries-0` and
the judged queries `queries-0.nc`; where the MIRT is stacked with a NIRT also `queries-0-nirt` and `queries-0-stack.nc`.
Whichever exists is not made again.
"""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from bayes_irt_router.data.encoder import TextEncoder
from bayes_irt_router.errors import InputError
from bayes_irt_router.evaluation.baselines.contract import Baseline
from bayes_irt_router.evaluation.choice_scores import reward_differences
from bayes_irt_router.evaluation.choices import ALPHAS
from bayes_irt_router.evaluation.evaluate import evaluation_of
from bayes_irt_router.evaluation.fold_fits import FoldSettings, fold_nirt, fold_posterior, usable
from bayes_irt_router.evaluation.judged import judge, load_judged, save_judged, training_facts
from bayes_irt_router.evaluation.prediction_scores import log_loss_differences
from bayes_irt_router.evaluation.predictions import MODEL, point_estimate, predict_baselines, predict_model
from bayes_irt_router.evaluation.protocols import Fold
from bayes_irt_router.inference.posterior import Posterior
from bayes_irt_router.inference.stacking import stack
from bayes_irt_router.routing.router import Router

# 2: costs are predicted by the answer-length posterior; 3: what the baselines were is told; 4: graded scores are replicated as such, and
# the posterior SD and the familiarity are kept
SCHEMA_VERSION = 4


@dataclass(frozen=True, eq=False)
class FoldResult:
    """A fold's line (settings, diagnostics, every scalar score; ready for JSON) and its judged queries."""

    line: dict[str, Any]
    judged: xr.Dataset


def run_fold(
    fold: Fold,
    settings: FoldSettings,
    runs: Path,
    encoder: TextEncoder,
    cache_dir: Path | None = None,
    progress: bool = True,
) -> FoldResult:
    """Fit and judge one fold, or read what an earlier run left of it.

    Args:
        fold: its data.
        settings: of fitting and judging.
        runs: folder of the runs on one data set.
        encoder: of the texts.
        cache_dir: folder of the embedding cache.
        progress: whether fits and baselines show progress bars (standard error).

    Raises:
        InputError: what is stored under the fold's name was fitted to other data or with another model.
    """
    posterior, seconds = fold_posterior(fold, settings, runs, encoder, cache_dir, progress)
    path = runs / f"{fold.name}.nc"
    parts: dict[str, Posterior] = {}
    if settings.nirt is not None:
        nirt = fold_nirt(fold, settings, settings.nirt, runs, encoder, cache_dir, progress)
        seconds["fit_nirt"] = float(nirt.record["seconds"])
        path = runs / f"{fold.name}-stack.nc"
        parts = {"mirt": posterior, "nirt": nirt}
        posterior = stack([posterior, nirt])
    wanted = {MODEL, *parts, *(baseline.name for baseline in settings.baselines)}
    if path.exists():
        judged = load_judged(path)
        line = json.loads(judged.attrs["line"])
        same = (
            line["schema_version"] == SCHEMA_VERSION
            and line["fitted"] == posterior.record["fitted"]
            and line.get("stacked", []) == _stacked(posterior)
            and line["seed"] == settings.seed
            and line["baselines"] == _told(settings.baselines)
        )
        if same and wanted <= set(judged["predictor"].values.tolist()):
            return FoldResult(line, judged)
    router = Router(posterior, encoder, cache_dir)
    train, test = router.featurize(fold.train, progress), router.featurize(fold.test, progress)
    start = time.perf_counter()
    predicted = predict_model(posterior, test, np.random.default_rng(settings.seed))
    seconds["predict"] = round(time.perf_counter() - start, 1)
    alone = {
        name: predict_model(one, test, np.random.default_rng(settings.seed)) for name, one in parts.items()
    }
    found = predict_baselines(settings.baselines, train, test, seed=settings.seed, progress=progress)
    judged, notes = judge(
        test,
        training_facts(router.posterior, test),
        {MODEL: predicted, **alone, **{name: point_estimate(p) for name, p in found.means.items()}},
        ALPHAS,
        settings.seed,
    )
    line = _line(fold, settings, posterior, judged, [*fold.notes, *notes])
    line["chosen"] = found.chosen
    line["baselines"] = _told(settings.baselines)
    line["seconds"] = {**seconds, **found.seconds}
    # A resumed run must say the same as one that was not interrupted: both pass through JSON.
    text = json.dumps(_short(line))
    judged.attrs["line"] = text
    save_judged(path, judged)
    return FoldResult(json.loads(text), judged)


def _stacked(posterior: Posterior) -> list[str]:
    """When each other model of a stack was fitted."""
    return [str(one.record["fitted"]) for one in posterior.stacked]


def _told(baselines: Sequence[Baseline]) -> dict[str, str]:
    """Each baseline with all its settings: one that has others now is fitted again."""
    return {baseline.name: repr(baseline) for baseline in baselines}


def _line(
    fold: Fold, settings: FoldSettings, posterior: Posterior, judged: xr.Dataset, notes: Sequence[str]
) -> dict[str, Any]:
    scores = evaluation_of(judged, ALPHAS, notes).to_dict()
    gate, record = posterior.gate, posterior.record
    rng = np.random.default_rng(settings.seed)
    losses = log_loss_differences([judged], rng)
    rewards = reward_differences([judged], ALPHAS, rng)
    return {
        "schema_version": SCHEMA_VERSION,
        "protocol": fold.protocol,
        "fold": fold.index,
        "held": list(fold.held),
        "seed": settings.seed,
        **settings.provenance,
        "train": _sizes(fold.train),
        "test": _sizes(fold.test),
        "converged": usable(posterior),
        "gate_passed": gate.passed,
        "largest_r_hat": float(gate.table["r_hat"].max(skipna=False)),
        "smallest_ess": float(gate.table[["ess_bulk", "ess_tail"]].min(skipna=False).min(skipna=False)),
        "divergent": gate.divergent,
        **{name: record.get(name) for name in ("fitted", "model", "sampler", "device", "leapfrog_steps")},
        "stacked": _stacked(posterior),
        "fit_commit": record.get("commit", ""),
        "fit_versions": record["versions"],
        **{name: scores[name] for name in ("candidates", "prediction", "routing", "curve", "notes")},
        "log_loss_minus_model": {name: asdict(one) for name, one in losses.items()},
        "reward_minus_model": {
            name: {alpha: asdict(one) for alpha, one in by_alpha.items()}
            for name, by_alpha in rewards.items()
        },
    }


def _sizes(data: xr.Dataset) -> dict[str, int]:
    return {
        "queries": data.sizes["query"],
        "llms": data.sizes["llm"],
        "responses": int(data["trials"].sum()),
    }


def _short(obj: Any) -> Any:
    """Floating-point numbers with six significant digits; None for what JSON does not have."""
    if isinstance(obj, Mapping):
        return {key: _short(value) for key, value in obj.items()}
    if isinstance(obj, list | tuple):
        return [_short(value) for value in obj]
    if isinstance(obj, float):
        return float(f"{obj:.6g}") if np.isfinite(obj) else None
    return obj


def time_left(done: Sequence[tuple[int, float]], waiting: Sequence[int]) -> float | None:
    """Seconds that the waiting folds will take, if an answer takes as long as in those done; None before any.

    Args:
        done: training answers and seconds of each fold that was run.
        waiting: training answers of the others.

    >>> time_left([(100, 50.0)], [100, 200])
    150.0
    """
    answers = sum(one[0] for one in done)
    return sum(waiting) * sum(one[1] for one in done) / answers if answers else None


def run_folds(
    folds: Sequence[Fold],
    settings: FoldSettings,
    runs: Path,
    encoder: TextEncoder,
    cache_dir: Path | None = None,
    progress: bool = True,
) -> Iterator[FoldResult]:
    """Run folds one after the other, as `run_fold` does, and say on standard error how far it is."""
    from rich.console import Console

    console = Console(stderr=True, highlight=False)
    done: list[tuple[int, float]] = []
    for number, fold in enumerate(folds, start=1):
        stored = (runs / f"{fold.name}.nc").exists()
        waiting = [one for one in folds[number - 1 :] if not (runs / f"{one.name}.nc").exists()]
        left = time_left(done, [int(one.train["trials"].sum()) for one in waiting])
        if progress:
            promise = "no estimate yet" if left is None else f"about {left / 60:.0f} min left"
            console.print(
                f"{fold.name} ({number} of {len(folds)}): {fold.train.sizes['query']} training queries, "
                f"{fold.train.sizes['llm']} LLMs; {promise}"
            )
        start = time.perf_counter()
        result = run_fold(fold, settings, runs, encoder, cache_dir, progress)
        if not stored:  # what was read from the disk says nothing about how long a fit takes
            done.append((int(fold.train["trials"].sum()), time.perf_counter() - start))
        yield result


def write_lines(path: Path, results: Sequence[Mapping[str, Any]]) -> None:
    """Put each fold's line into a JSON Lines file, in the order of folds, in place of an earlier one; atomically."""
    from bayes_irt_router.data.files import atomic_path

    lines = {one["fold"]: one for one in read_lines(path)} if path.exists() else {}
    lines |= {one["fold"]: one for one in results}
    with atomic_path(path) as temporary:
        text = "".join(json.dumps(lines[fold], ensure_ascii=False) + "\n" for fold in sorted(lines))
        temporary.write_text(text, encoding="utf-8", newline="\n")


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a file that `write_lines` wrote.

    Raises:
        InputError: it is missing or damaged.
    """
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); run the folds first.") from None
    except ValueError as error:
        raise InputError(f"{path} is damaged ({error}); run the folds again.") from None
