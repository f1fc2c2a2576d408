"""Simulation-based calibration with more replications than the tests run: one JSON line and a plot of the ranks' ECDFs.

    .venv/bin/python benchmarks/simulation_based_calibration.py --replications 500

appends to benchmarks/results/simulation_based_calibration.jsonl and writes a PNG of the same name beside it. Some minutes on
two cores. It exits with status 1 if any quantity is not calibrated.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import xarray as xr

from bayes_irt_router.inference.nuts import NUTS
from bayes_irt_router.inference.random_bank import random_bank
from bayes_irt_router.inference.rank_uniformity import RankUniformity, ecdf_envelope, rank_uniformity
from bayes_irt_router.inference.simulation_calibration import simulation_based_calibration
from bayes_irt_router.irt.mirt import MIRT

RESULTS = Path(__file__).parent / "results" / "simulation_based_calibration.jsonl"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--replications", type=int, default=500)
    parser.add_argument("--queries", type=int, default=30)
    parser.add_argument("--llms", type=int, default=8)
    parser.add_argument("--traits", type=int, default=2)
    parser.add_argument("--draws", type=int, default=500)
    parser.add_argument("--tune", type=int, default=500)
    parser.add_argument("--keep-draws", type=int, default=50)
    parser.add_argument("--graded", action="store_true", help="half of the queries have graded scores")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()

    rng = np.random.default_rng(arguments.seed)
    data = random_bank(rng, queries=arguments.queries, llms=arguments.llms)
    if arguments.graded:
        data["score"][::2] = 0.5
    sampler = NUTS(draws=arguments.draws, tune=arguments.tune, chains=1)
    started = time.perf_counter()
    result = simulation_based_calibration(
        MIRT(traits=arguments.traits),
        data,
        arguments.replications,
        sampler=sampler,
        keep_draws=arguments.keep_draws,
        seed=arguments.seed,
    )
    seconds = time.perf_counter() - started
    verdict = rank_uniformity(result["rank"], arguments.keep_draws, rng)
    print(verdict.table.sort_values("p_value").head(10).round(4).to_string(index=False))
    print(
        f"{'Calibrated' if verdict.passed else 'NOT calibrated'}: {len(verdict.table)} tests, {seconds:.0f} s"
    )

    line = {
        "commit": subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True
        ).stdout.strip(),
        "settings": {name: value for name, value in vars(arguments).items() if name != "results"},
        "sampler": sampler.to_dict(),
        "passed": verdict.passed,
        "error_rate": verdict.error_rate,
        "smallest_adjusted_p": round(float(verdict.table["adjusted"].min()), 4),
        "failures": verdict.failures["quantity"].tolist(),
        "tests": len(verdict.table),
        "divergent": round(float(result["divergent"].mean()), 5),
        "leapfrog_steps_per_draw": round(float(result["leapfrog_steps"].mean()), 1),
        "wall_seconds": round(seconds, 1),
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "versions": {name: version(name) for name in ("pymc", "numpyro", "jax", "numpy")},
    }
    arguments.results.parent.mkdir(parents=True, exist_ok=True)
    with arguments.results.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
    suffix = "_graded.png" if arguments.graded else ".png"
    plot(result, verdict, arguments.results.with_name(arguments.results.stem + suffix), rng)
    return int(not verdict.passed)


def plot(result: xr.Dataset, verdict: RankUniformity, path: Path, rng: np.random.Generator) -> None:
    """A panel for each sort of quantity: ECDF minus its expectation, within the simultaneous bounds for one quantity."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    replications, draws = result.sizes["replication"], result.sizes["draw"]
    lower, upper = ecdf_envelope(replications, draws, rng, error_rate=verdict.error_rate)
    points = np.arange(draws)
    sorts = list(dict.fromkeys(result["sort"].values))
    columns = 4
    figure, axes = plt.subplots(
        -(-len(sorts) // columns),
        columns,
        figsize=(12, 2.3 * -(-len(sorts) // columns)),
        sharex=True,
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for axis, sort in zip(axes.flat, sorts, strict=False):
        rank = result["rank"].values[:, result["sort"].values == sort]
        ecdf = (rank[:, :, None] <= points).mean(axis=0)
        axis.fill_between(points, lower, upper, color="0.9", step="post")
        axis.step(points, (ecdf - (points + 1) / (draws + 1)).T, where="post", linewidth=0.7, color="C0")
        axis.set_title(sort, fontsize=9)
    for axis in axes.flat[len(sorts) :]:
        axis.axis("off")
    figure.supxlabel(f"rank among {draws} posterior draws")
    figure.supylabel("ECDF minus uniform")
    figure.suptitle(f"{replications} replications; shaded: {1 - verdict.error_rate:.0%} band of one quantity")
    figure.savefig(path, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    sys.exit(main())
