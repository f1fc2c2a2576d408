"""The main job on a reduced bank of real data, for continuous integration: fit, judge, evaluate, in a few minutes.

    .venv/bin/python benchmarks/reduced_fit.py --data ../shared/data/zeroeval

takes a seeded sample of the train split and exits with status 1 unless the draws are usable (r-hat at most 1.05: the full gate
needs longer chains) and the unseen queries are predicted better than by each LLM's mean.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from bayes_irt_router.data.canonical import read_dataset, select_split
from bayes_irt_router.data.encoder import Encoder
from bayes_irt_router.data.featurize import featurize
from bayes_irt_router.evaluation.evaluate import evaluate
from bayes_irt_router.evaluation.metrics import log_loss
from bayes_irt_router.inference.fitting import fit
from bayes_irt_router.inference.nuts import NUTS
from bayes_irt_router.irt.mirt import MIRT
from bayes_irt_router.routing.router import Router

QUERIES, R_HAT = 400, 1.05


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    arguments = parser.parse_args()

    data = read_dataset(arguments.data)
    train, test = select_split(data, "train"), select_split(data, "test")
    rng = np.random.default_rng(0)
    train = train.isel(query=np.sort(rng.choice(train.sizes["query"], QUERIES, replace=False)))
    test = test.isel(query=np.sort(rng.choice(test.sizes["query"], QUERIES, replace=False)))
    encoder = Encoder()
    posterior = fit(MIRT(), featurize(train, encoder), NUTS(draws=1200, tune=500))
    print(posterior.gate.verdict)
    result = evaluate(Router(posterior, encoder), test)
    for title, table in result.tables():
        print(f"\n{title}\n{table.round(4).to_string()}")

    score = test["score"].values
    means = np.broadcast_to(np.nanmean(train["score"].values, axis=0), score.shape)
    ours, theirs = result.prediction["model"]["log_loss"], log_loss(means, score)
    worst = posterior.gate.table["r_hat"].max()
    print(f"\nlog loss {ours:.4f} against {theirs:.4f} of the LLM means; largest r-hat {worst:.3f}")
    return int(not (ours < theirs and worst <= R_HAT))


if __name__ == "__main__":
    sys.exit(main())
