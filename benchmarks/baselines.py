"""Fit every baseline to the train split and score it on the test split; no fitted model is needed.

    .venv/bin/python benchmarks/baselines.py --data ../shared/data/zeroeval

prints one table and writes benchmarks/results/baselines-NAME.json, NAME being the data folder's. Costs are
predicted from the train split, by each LLM's mean tokens. Minutes on two cores.
"""

import argparse
import sys
import time
from pathlib import Path

import pandas as pd
from provenance import provenance

from bayes_irt_router.data.canonical import read_dataset, select_split
from bayes_irt_router.data.cost import fit_cost
from bayes_irt_router.data.encoder import Encoder
from bayes_irt_router.data.featurize import featurize
from bayes_irt_router.data.files import atomic_path
from bayes_irt_router.errors import InputError
from bayes_irt_router.evaluation.baselines.catalogue import all_baselines
from bayes_irt_router.evaluation.choices import ALPHAS, TrainingFacts
from bayes_irt_router.evaluation.evaluate import evaluation_of
from bayes_irt_router.evaluation.judged import judge
from bayes_irt_router.evaluation.predictions import point_estimate, predict_baselines
from bayes_irt_router.report.json_text import json_text

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("bayes_irt_router", "numpy", "scikit-learn", "torch", "xarray")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--assume-output-tokens", type=int, default=None)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    start = time.perf_counter()
    data = featurize(read_dataset(arguments.data), Encoder())
    train, test = select_split(data, "train"), select_split(data, "test")
    cost = fit_cost(train, assume_output_tokens=arguments.assume_output_tokens)
    means = train["score"].mean("query").values
    facts = TrainingFacts(
        cost.known_cost([str(text) for text in test["text"].values]),
        cost.scale_usd,
        cost.assumed_output_tokens,
        dict(zip(map(str, train["llm"].values), map(float, means), strict=True)),
    )
    found = predict_baselines(all_baselines(), train, test, seed=arguments.seed)
    predictions = {name: point_estimate(p) for name, p in found.means.items()}
    judged, notes = judge(test, facts, predictions, ALPHAS, arguments.seed)
    result = evaluation_of(judged, ALPHAS, notes)

    rows = {name: dict(scores) for name, scores in result.prediction.items()}
    for name, by_alpha in result.routing.items():
        rows.setdefault(name, {}).update({f"reward {alpha}": one.reward for alpha, one in by_alpha.items()})
        rows[name] |= {"aiq": result.curve[name]["aiq"], "seconds": found.seconds.get(name, float("nan"))}
    columns = ["log_loss", "brier", "auc", "ece", "calibration_slope", *(f"reward {a:g}" for a in ALPHAS)]
    table = pd.DataFrame.from_dict(rows, orient="index")[[*columns, "aiq", "seconds"]]
    print(table.round(4).to_string(na_rep="-"))

    target = RESULTS / f"baselines-{arguments.data.name}.json"
    text = json_text(
        {
            "data": arguments.data.name,
            "command": "benchmarks/baselines.py --data " + " ".join([arguments.data.name, *sys.argv[3:]]),
            **provenance(PACKAGES),
            "seed": arguments.seed,
            "assumed_output_tokens": arguments.assume_output_tokens,
            "seconds_in_all": round(time.perf_counter() - start, 1),
            "chosen": found.chosen,
            "seconds": found.seconds,
            **result.to_dict(),
        }
    )
    with atomic_path(target) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
    print(f"Written to {target}.")


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        sys.exit("\n".join(f"error: {problem}" for problem in error.problems))
