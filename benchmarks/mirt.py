"""Fit the MIRT to a data set's train split, judge it on the test split, and keep one JSON line of what it took.

    .venv/bin/python benchmarks/mirt.py --data ../shared/data/zeroeval --model runs/zeroeval

appends to benchmarks/results/mirt.jsonl. A model folder that exists is evaluated, not fitted again.
"""

import argparse
import json
import os
import platform
import subprocess
from pathlib import Path

import numpy as np

from bayes_irt_router.data.canonical import read_dataset, select_split
from bayes_irt_router.data.encoder import Encoder
from bayes_irt_router.data.featurize import featurize
from bayes_irt_router.evaluation.evaluate import evaluate
from bayes_irt_router.inference.fitting import fit
from bayes_irt_router.inference.nuts import NUTS
from bayes_irt_router.inference.storage import save
from bayes_irt_router.irt.mirt import MIRT
from bayes_irt_router.routing.router import Router

RESULTS = Path(__file__).parent / "results" / "mirt.jsonl"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--traits", type=int, default=MIRT().traits)
    parser.add_argument("--draws", type=int, default=NUTS().draws)
    parser.add_argument("--tune", type=int, default=NUTS().tune)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--assume-output-tokens", type=int, default=None)
    arguments = parser.parse_args()

    data = read_dataset(arguments.data)
    if not arguments.model.exists():
        train = featurize(select_split(data, "train"), Encoder())
        posterior = fit(
            MIRT(traits=arguments.traits),
            train,
            NUTS(draws=arguments.draws, tune=arguments.tune),
            seed=arguments.seed,
            assume_output_tokens=arguments.assume_output_tokens,
        )
        save(posterior, arguments.model)
    router = Router.load(arguments.model)
    gate, record = router.posterior.gate, router.posterior.record
    result = evaluate(router, select_split(data, "test"))
    for title, table in result.tables():
        print(f"\n{title}\n{table.round(4).to_string()}")
    print(f"\n{gate.verdict}")

    ess = gate.table["ess_bulk"]
    line = {
        "data": arguments.data.name,
        "commit": subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True
        ).stdout.strip(),
        "seed": record["seed"],
        "sampler": record["sampler"],
        "traits": record["model"]["traits"],
        "gate_passed": gate.passed,
        "verdict": gate.verdict,
        "wall_seconds": record["seconds"],
        "leapfrog_steps_per_draw": record["leapfrog_steps"],
        "ess_bulk_median": round(float(np.median(ess)), 1),
        "ess_bulk_min": round(float(ess.min()), 1),
        "ess_bulk_min_per_second": round(float(ess.min()) / record["seconds"], 3),
        "ess_bulk_median_per_second": round(float(np.median(ess)) / record["seconds"], 3),
        "prediction": result.prediction["model"],
        "routing": result.to_dict()["routing"],
        "device": record["device"],
        "cores": os.cpu_count(),
        "machine": f"{platform.machine()}, {record['machine']}",
        "versions": record["versions"],
    }
    RESULTS.parent.mkdir(exist_ok=True)
    with RESULTS.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
