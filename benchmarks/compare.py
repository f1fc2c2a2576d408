"""Compare a fitted model with all baselines, refitted on the train split, on the test split.

    .venv/bin/python benchmarks/compare.py --data ../shared/data/zeroeval --model runs/zeroeval

prints one table and writes benchmarks/results/compare-NAME.json, NAME being the data folder's. The
baselines run on the CPU. The model must have been fitted to the train split; a note in the result says so if
it was not.
"""

import argparse
import time
from pathlib import Path

import xarray as xr
from provenance import provenance

from bayes_irt_router.data.canonical import read_dataset, select_split
from bayes_irt_router.data.files import atomic_path
from bayes_irt_router.evaluation.compare import compare
from bayes_irt_router.report.json_text import json_text
from bayes_irt_router.routing.router import Router

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("bayes_irt_router", "numpy", "scikit-learn", "torch", "xarray")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--assume-output-tokens", type=int, default=None)
    arguments = parser.parse_args()

    start = time.perf_counter()
    router = Router.load(arguments.model)
    data = read_dataset(arguments.data)
    if arguments.assume_output_tokens is not None:
        data = with_assumed_tokens(data, arguments.assume_output_tokens)
    result = compare(router, select_split(data, "train"), select_split(data, "test"), seed=arguments.seed)
    print(f"\n{result.table().round(4).to_string(na_rep='-')}")
    for note in [*result.evaluation.notes, router.posterior.gate.verdict]:
        print(note)

    target = RESULTS / f"compare-{arguments.data.name}.json"
    text = json_text(
        {
            "data": arguments.data.name,
            **provenance(PACKAGES),
            "seed": arguments.seed,
            "gate": router.posterior.gate.verdict,
            "seconds": round(time.perf_counter() - start, 1),
            **result.to_dict(),
        }
    )
    with atomic_path(target) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
    print(f"Written to {target}.")


def with_assumed_tokens(data: xr.Dataset, tokens: int) -> xr.Dataset:
    """The data with this many output tokens for every answer whose tokens were not counted."""
    answered = data["score"].notnull()
    counted = data["output_tokens"] if "output_tokens" in data else data["score"].where(False)
    return data.assign(output_tokens=counted.fillna(float(tokens)).where(answered))


if __name__ == "__main__":
    main()
