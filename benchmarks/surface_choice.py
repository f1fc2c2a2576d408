"""Whether surface features help beyond telling tasks apart: within tasks, and on tasks that were never seen.

    .venv/bin/python benchmarks/surface_choice.py --data ../shared/data/llmrouter

compares feature maps without surface features, with the first dozen of the list and with all. In every variant the probabilities of the
tasks are the same, those that all features tell, so that what a feature adds is not the format of a task. Only the train split is read:
``queries`` leaves a quarter of each task's queries out in turn, ``tasks`` each task. Models are the fast stand-in of laplace_items.py.
Prints tables and writes benchmarks/results/surface-choice-NAME.json. Differences to the first variant have 95 % intervals by bootstrap over
queries, or over tasks where these are left out.
"""

import argparse
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float, Int
from laplace_items import FeatureGroup, fit_items, point_abilities
from provenance import provenance

from bayes_irt_router.data.canonical import read_dataset, select_split
from bayes_irt_router.data.encoder import Encoder
from bayes_irt_router.data.feature_map import TASK_SHARE, fit_feature_map
from bayes_irt_router.data.featurize import featurize
from bayes_irt_router.data.files import atomic_path
from bayes_irt_router.data.surface import SURFACE_FEATURES
from bayes_irt_router.irt.mirt import MIRT

RESULTS = Path(__file__).parent / "results"
FOLDS, RESAMPLES = 4, 4000
NAMES = tuple(feature.name for feature in SURFACE_FEATURES)
VARIANTS: Mapping[str, tuple[str, ...]] = {
    "no surface features": (),
    "the first dozen": NAMES[:12],
    "all (the model)": NAMES,
}


def feature_groups(
    data: xr.Dataset, training: Int[np.ndarray, " query"], names: tuple[str, ...]
) -> list[FeatureGroup]:
    """All queries' features by a map that is fitted to the training queries: linear effects, and kernel and tasks together."""
    told, told_training = _task_columns(data, training)
    told[training] = told_training
    plain = data.drop_vars("task")
    # A surface that is nothing leaves the kernel to the embedding.
    plain = plain.sel(surface_feature=list(names)) if names else plain.assign(surface=0.0 * plain["surface"])
    applied = fit_feature_map(plain.isel(query=training)).apply(plain)
    group, columns = applied["feature_group"].values, applied["features"].values.astype(float)
    process = np.hstack([np.sqrt(1.0 - TASK_SHARE) * columns[:, group == "kernel"], told])
    found = [FeatureGroup(process, np.clip(1.0 - (process**2).sum(axis=1), 0.0, 1.0))]
    if names:
        found.insert(0, FeatureGroup(columns[:, group == "surface"], np.zeros(len(columns))))
    return found


def _task_columns(
    data: xr.Dataset, training: Int[np.ndarray, " query"]
) -> tuple[Float[np.ndarray, "query task"], Float[np.ndarray, "training task"]]:
    """The columns by which the model's own map tells tasks apart, and those of the training queries, cross-fitted."""
    whole = fit_feature_map(data.isel(query=training))
    both = whole.apply(data), whole.apply_in_training(data.isel(query=training))
    columns, known = (
        one["features"].values[:, one["feature_group"].values == "task"].astype(float) for one in both
    )
    return columns, known


def held_out_loss(
    data: xr.Dataset, fold: Int[np.ndarray, " query"], names: tuple[str, ...], starts: Mapping[int, Any]
) -> Float[np.ndarray, " query"]:
    """Summed log loss of each query, predicted from the other folds."""
    score, trials = np.nan_to_num(data["score"].values), data["trials"].values.astype(float)
    loss = np.zeros(len(score))
    for held in np.unique(fold):
        inside, outside = np.flatnonzero(fold != held), np.flatnonzero(fold == held)
        made = feature_groups(data, inside, names)
        items = fit_items(score[inside], trials[inside], starts[held], [g.rows(inside) for g in made])
        p = np.clip(items.predict([g.rows(outside) for g in made]), 1e-6, 1 - 1e-6)
        y = score[outside]
        loss[outside] = -(trials[outside] * (y * np.log(p) + (1 - y) * np.log1p(-p))).sum(axis=1)
    return loss


def compared(
    losses: Mapping[str, np.ndarray], count: np.ndarray, unit: np.ndarray, rng: np.random.Generator
) -> pd.DataFrame:
    """Mean log loss of each variant, and its paired difference to the first, by resampling units (queries or tasks)."""
    first = next(iter(losses.values()))
    totals = np.bincount(unit, weights=count)
    picks = rng.integers(len(totals), size=(RESAMPLES, len(totals)))
    rows = {}
    for name, loss in losses.items():
        by_unit = np.bincount(unit, weights=loss - first)
        drawn = by_unit[picks].sum(axis=1) / totals[picks].sum(axis=1)
        rows[name] = {
            "log loss": loss.sum() / count.sum(),
            "difference": by_unit.sum() / totals.sum(),
            "low": np.quantile(drawn, 0.025),
            "high": np.quantile(drawn, 0.975),
            "units that gain": float((by_unit < 0).mean()),
        }
    return pd.DataFrame(rows).T


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    data = featurize(select_split(read_dataset(arguments.data), "train"), Encoder())
    tasks, task = np.unique(data["task"].values.astype(str), return_inverse=True)
    rng, quarter = np.random.default_rng(arguments.seed), np.empty(len(task), dtype=int)
    for t in range(len(tasks)):
        of_task = np.flatnonzero(task == t)
        quarter[of_task] = rng.permutation(np.arange(len(of_task)) % FOLDS)
    score, trials = np.nan_to_num(data["score"].values), data["trials"].values.astype(float)
    tables = {}
    for left_out, fold, unit in (("queries", quarter, np.arange(len(task))), ("tasks", task, task)):
        starts = {
            int(h): point_abilities(score[fold != h], trials[fold != h], MIRT().traits)
            for h in np.unique(fold)
        }
        losses = {}
        for name, names in VARIANTS.items():
            began = time.perf_counter()
            losses[name] = held_out_loss(data, fold, names, starts)
            print(f"{left_out} left out, {name}: {time.perf_counter() - began:.0f} s", flush=True)
        tables[left_out] = compared(losses, trials.sum(axis=1), unit, np.random.default_rng(arguments.seed))
        print(f"\n{left_out} left out\n{tables[left_out].round(4).to_string()}\n", flush=True)
    content = {
        "data": arguments.data.name,
        "seed": arguments.seed,
        **provenance(),
        **{f"{left_out} left out": table.to_dict(orient="index") for left_out, table in tables.items()},
    }
    with atomic_path(RESULTS / f"surface-choice-{arguments.data.name}.json") as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
