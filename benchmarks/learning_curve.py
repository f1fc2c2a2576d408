"""What more training queries buy, and how low the loss could go: the model and baselines on growing parts of train.

    .venv/bin/python benchmarks/learning_curve.py --data ../shared/data/zeroeval

A share of each task's training queries is fitted (nested: a larger share holds the smaller ones), and the shipped test split judged.
Appends a line for each share to benchmarks/results/learning-curve-NAME.jsonl: log losses; and for the largest share two floors that no
prediction from text can be expected to pass, both over the training queries with parameters of their own:

* ``parameters known``: the mean entropy of ``p`` over draws, the loss of somebody who knew every query's parameters;
* ``answers known``: the entropy of the posterior mean of ``p``, roughly the loss with all other LLMs' answers to the query at hand.

Then it prints ``a + b n^-c`` through the model's losses: ``a`` is where the curve would end. Ten minutes on two cores.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from provenance import provenance
from scipy.optimize import curve_fit
from scipy.special import entr

from bayes_irt_router.data.canonical import read_dataset, select_split
from bayes_irt_router.data.encoder import Encoder
from bayes_irt_router.data.featurize import featurize
from bayes_irt_router.evaluation.baselines.local_means import LLMMean, NearestNeighbours
from bayes_irt_router.evaluation.baselines.logistic import LogisticRegression
from bayes_irt_router.evaluation.baselines.networks import MLPEnsemble
from bayes_irt_router.evaluation.predictions import predict_baselines, predict_model
from bayes_irt_router.inference.fitting import fit
from bayes_irt_router.inference.linear_view import linear_view
from bayes_irt_router.inference.nuts import NUTS
from bayes_irt_router.inference.posterior import Posterior
from bayes_irt_router.irt.mirt import MIRT
from bayes_irt_router.irt.response import p_correct

RESULTS = Path(__file__).parent / "results"
BASELINES = (
    LLMMean(),
    NearestNeighbours("features"),
    LogisticRegression("features"),
    MLPEnsemble("features"),
)


def nested_rank(task: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """For each query its place in a random order of its task's, as a share in (0, 1]."""
    rank = np.empty(len(task))
    for name in np.unique(task):
        of_task = rng.permutation(np.flatnonzero(task == name))
        rank[of_task] = np.arange(1, len(of_task) + 1) / len(of_task)
    return rank


def log_loss(p: np.ndarray, data: xr.Dataset) -> float:
    """Mean log loss of the answered cells; NaN predictions (LLMs that a part has no answers of) are left out."""
    trials = np.where(np.isnan(p), 0.0, data["trials"].values)
    y, q = np.nan_to_num(data["score"].values), np.clip(np.nan_to_num(p, nan=0.5), 1e-6, 1 - 1e-6)
    return float(-(trials * (y * np.log(q) + (1 - y) * np.log1p(-q))).sum() / trials.sum())


def floors(posterior: Posterior, data: xr.Dataset) -> dict[str, float]:
    """Mean entropies over the answered training cells, fitted queries with their own parameters."""
    draws = linear_view(posterior).draws
    names = ("ability", "discrimination", "difficulty")
    ability, a, b = (draws[name].values.reshape(-1, *draws[name].shape[2:]) for name in names)
    trials = data["trials"].values.astype(float)
    total, mean = 0.0, np.zeros(trials.shape)
    for k in range(len(b)):
        p = p_correct(ability[k], a[k], b[k])
        total += float((trials * (entr(p) + entr(1.0 - p))).sum()) / len(b)
        mean += p / len(b)
    known = float((trials * (entr(mean) + entr(1.0 - mean))).sum())
    return {"parameters known": total / trials.sum(), "answers known": known / trials.sum()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--shares", default="0.125,0.25,0.5,1")
    parser.add_argument("--traits", type=int, default=MIRT().traits)
    parser.add_argument("--draws", type=int, default=300)
    parser.add_argument("--tune", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--assume-output-tokens", type=int, default=None)
    arguments = parser.parse_args()

    encoder, data = Encoder(), read_dataset(arguments.data)
    train = featurize(select_split(data, "train"), encoder)
    test = featurize(select_split(data, "test"), encoder)
    rank = nested_rank(train["task"].values.astype(str), np.random.default_rng(arguments.seed))
    target = RESULTS / f"learning-curve-{arguments.data.name}.jsonl"
    sizes, losses = [], []
    for share in sorted(float(one) for one in arguments.shares.split(",")):
        part = train.isel(query=rank <= share)
        part = part.isel(llm=(part["trials"].values > 0).any(axis=0))
        judged = test.sel(llm=part["llm"].values)
        posterior = fit(
            MIRT(traits=arguments.traits),
            part,
            NUTS(draws=arguments.draws, tune=arguments.tune),
            seed=arguments.seed,
            assume_output_tokens=arguments.assume_output_tokens,
        )
        others = predict_baselines(BASELINES, part, judged, seed=arguments.seed, progress=False)
        p = predict_model(posterior, judged, np.random.default_rng(arguments.seed)).mean
        told: dict[str, Any] = {
            "share": share,
            "queries": part.sizes["query"],
            "llms": part.sizes["llm"],
            "log_loss": {
                "model": log_loss(p, judged),
                **{name: log_loss(one, judged) for name, one in others.means.items()},
            },
            "largest_r_hat": float(posterior.gate.table["r_hat"].max()),
            "settings": {k: v for k, v in vars(arguments).items() if k not in ("data", "shares")},
            **provenance(),
        }
        if share == max(float(one) for one in arguments.shares.split(",")):
            told["floors"] = floors(posterior, part)
        with target.open("a", encoding="utf-8", newline="\n") as file:
            file.write(json.dumps(told) + "\n")
        print(json.dumps(told), flush=True)
        sizes.append(float(part.sizes["query"]))
        losses.append(told["log_loss"]["model"])
    if len(sizes) >= 4:
        (a, b, c), _ = curve_fit(
            lambda n, a, b, c: a + b * n**-c,
            np.array(sizes) / sizes[-1],
            losses,
            p0=(losses[-1] - 0.02, 0.02, 0.5),
            bounds=([0.0, 0.0, 0.05], [1.0, 1.0, 2.0]),
        )
        print(f"a + b (n / {sizes[-1]:.0f})^-c: a {a:.4f}, b {b:.4f}, c {c:.2f}")


if __name__ == "__main__":
    main()
