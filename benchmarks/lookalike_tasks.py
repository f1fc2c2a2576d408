"""How much does a task that looks like others have to itself? Each task's fitted effects beside what its look says of them.

    .venv/bin/python benchmarks/lookalike_tasks.py --data ../shared/data/llmrouter --model models/llmrouter

The model knows all tasks; no test query is read. Without task t the training queries make a feature map, which says what t's own queries
look like: P(s | x) of the other tasks s, and u of none. If look were all, the effects of t (testlet effects of the LLMs; its part of
difficulty) would be those of the tasks it looks like, and differ by u of the variance between tasks; as it is, by ``u + k (1 - u)``, of
which k is the share that a task has to itself however it looks. Found over all tasks by moments, and with an interval by bootstrap over
tasks: few, so a wide one. Written to benchmarks/results/lookalike-tasks-NAME.json.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from provenance import provenance

from bayes_irt_router.data.canonical import read_dataset, select_split
from bayes_irt_router.data.encoder import Encoder
from bayes_irt_router.data.feature_map import TASK_PREFIX, TASK_SHARE, fit_feature_map
from bayes_irt_router.data.featurize import featurize
from bayes_irt_router.data.files import atomic_path
from bayes_irt_router.inference.storage import load
from bayes_irt_router.irt.testlets import task_probability
from bayes_irt_router.report.json_text import json_text, plain

RESULTS = Path(__file__).parent / "results"
BOOTSTRAPS = 4000


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True, help="with testlets, fitted to the train split")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of the results")
    arguments = parser.parse_args()

    data = featurize(select_split(read_dataset(arguments.data), "train"), Encoder())
    names = ["testlet_effect", "difficulty_weight", "testlet_sd", "difficulty_kernel_sd"]
    draws = load(arguments.model).draws[names].stack(sample=("chain", "draw"))
    # The models that ship have the name of the data before a task's.
    tasks = {
        str(name).removeprefix(TASK_PREFIX).split("/")[-1]: str(name) for name in draws["testlet"].values[:-1]
    }
    effect = draws["testlet_effect"].transpose("sample", "llm", "testlet")
    weight = draws["difficulty_weight"].transpose("sample", "feature") * np.sqrt(TASK_SHARE)
    between = {
        "testlet effects": float((draws["testlet_sd"] ** 2).mean()),
        "difficulty": float((draws["difficulty_kernel_sd"] ** 2).mean()) * TASK_SHARE,
    }
    task, rows = data["task"].values.astype(str), []
    for name, column in tasks.items():
        feature_map = fit_feature_map(data.isel(query=np.flatnonzero(task != name)))
        looked = feature_map.apply(data.isel(query=np.flatnonzero(task == name)).drop_vars("task"))
        of_tasks = looked["features"].values[:, looked["feature_group"].values == "task"]
        like = task_probability(of_tasks).mean(axis=0)
        others = [tasks[str(other)] for other in feature_map.task_names]
        row = {"task": name, "looks like none of the others": 1.0 - float(like.sum())}
        for what, values, dim in (("testlet effects", effect, "testlet"), ("difficulty", weight, "feature")):
            by_look = (values.sel({dim: others}).values * like).sum(axis=-1)
            apart = values.sel({dim: column}).values - by_look
            row[what] = float((apart**2).mean()) / between[what]
        rows.append(row)
        print(", ".join(f"{k} {v:.2f}" if k != "task" else str(v) for k, v in row.items()), flush=True)
    table = pd.DataFrame(rows)
    found = {what: own_share(table, what) for what in between}
    print(found)
    told = {"data": arguments.data.name, **provenance(), "tasks": rows, "share of its own": found}
    target = arguments.output / f"lookalike-tasks-{arguments.data.name}.json"
    with atomic_path(target) as temporary:
        temporary.write_text(json_text(plain(told)) + "\n", encoding="utf-8")
    print(f"Written to {target}.")


def own_share(table: pd.DataFrame, what: str) -> dict[str, float]:
    """The share k in ``E[difference^2] / variance = u + k (1 - u)`` by moments, and its 95 % interval, tasks resampled."""
    unseen = table["looks like none of the others"].to_numpy()
    above, seen = table[what].to_numpy() - unseen, 1.0 - unseen
    picks = np.random.default_rng(0).integers(len(table), size=(BOOTSTRAPS, len(table)))
    low, high = np.quantile(above[picks].sum(axis=1) / seen[picks].sum(axis=1), [0.025, 0.975])
    return {"k": float(above.sum() / seen.sum()), "low": float(low), "high": float(high)}


if __name__ == "__main__":
    main()
