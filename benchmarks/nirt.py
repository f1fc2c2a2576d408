"""The NIRT beside the published one, the MIRT and their stack, fold by fold.

    .venv/bin/python benchmarks/nirt.py folds --data ../shared/data/zeroeval [--mirt runs/folds/zeroeval]
    .venv/bin/python benchmarks/nirt.py shipped --data ../shared/data/zeroeval
    .venv/bin/python benchmarks/nirt.py scales --data ../shared/data/zeroeval --relevance-scale 0.27,1,3

``folds`` fits the query folds of splits.json, keeps judged queries in runs/nirt/NAME (a fold that is there is not run again), and writes
benchmarks/results/nirt-NAME.jsonl, one line a fold and one of all folds pooled. With ``--mirt``, a folder of `benchmarks/folds.py`, the
MIRT's predictions of the same cells join, a stack, ``logit p = b_0 + b_1 logit p_MIRT + b_2 logit p_NIRT``, its weights fitted to the
other folds, and the mixture that `birt stack` makes, ``p = (p_MIRT + p_NIRT) / 2``; paired differences are told to the NIRT and the MIRT.
``shipped`` does the same for the shipped train and test splits.
``scales`` trains on the first fold's train with several prior SDs of the heads of relevance, and prints each network's best log loss on the
queries it left out: a choice inside train.
"""

import argparse
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from provenance import provenance

from bayes_irt_router.data.canonical import read_dataset, select_split
from bayes_irt_router.data.embedding_cache import embed_texts
from bayes_irt_router.data.encoder import Encoder
from bayes_irt_router.data.featurize import featurize
from bayes_irt_router.errors import InputError
from bayes_irt_router.evaluation.baselines.contract import Baseline
from bayes_irt_router.evaluation.baselines.point_nirt import PointEstimateNIRT
from bayes_irt_router.evaluation.choices import ALPHAS
from bayes_irt_router.evaluation.fold_runs import read_lines, write_lines
from bayes_irt_router.evaluation.judged import judge, load_judged, save_judged, training_facts
from bayes_irt_router.evaluation.prediction_scores import (
    calibration,
    cells,
    log_loss_differences,
    prediction_scores,
)
from bayes_irt_router.evaluation.predictions import MODEL, point_estimate, predict_baselines, predict_model
from bayes_irt_router.evaluation.protocols import Fold, fold_count, make_fold
from bayes_irt_router.evaluation.splits import read_splits
from bayes_irt_router.inference.neural_fitting import fit_nirt
from bayes_irt_router.inference.storage import load, save
from bayes_irt_router.irt.nirt import NIRT
from bayes_irt_router.irt.relevance import from_descriptions
from bayes_irt_router.report.json_text import plain
from bayes_irt_router.routing.router import Router

HERE = Path(__file__).parent
RUNS = HERE.parent / "runs" / "nirt"
RESULTS = HERE / "results"
PUBLISHED: tuple[Baseline, ...] = (PointEstimateNIRT("embedding"), PointEstimateNIRT("features"))
STACKS = ("stack", "mixture")
POOLED = -1  # number of the line of all folds


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("folds", "shipped"):
        command = commands.add_parser(name)
        command.add_argument("--data", type=Path, required=True)
        command.add_argument("--runs", type=Path, default=RUNS)
        command.add_argument("--seed", type=int, default=0)
        command.add_argument("--assume-output-tokens", type=int, default=None)
        if name == "folds":
            command.add_argument("--mirt", type=Path, default=None)
            command.add_argument("--folds", default=None, help="such as 0,2 (default: all)")
    scales = commands.add_parser("scales")
    scales.add_argument("--data", type=Path, required=True)
    scales.add_argument("--relevance-scale", default="0.27,1,3")
    scales.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    {
        "folds": folds,
        "shipped": shipped,
        "scales": compare_scales,
    }[arguments.command](arguments)


def folds(arguments: argparse.Namespace) -> None:
    """All query folds, and the pooled line."""
    name = arguments.data.name
    data, splits = read_dataset(arguments.data), read_splits(HERE / "splits.json", name)
    count = fold_count(splits, "queries")
    wanted = range(count) if arguments.folds is None else [int(one) for one in arguments.folds.split(",")]
    target = RESULTS / f"nirt-{name}.jsonl"
    all_judged = []
    for index in wanted:
        judged, line = run(make_fold(data, splits, "queries", index, seed=arguments.seed), name, arguments)
        if arguments.mirt is not None and (arguments.mirt / f"queries-{index}.nc").exists():
            judged = with_mirt(judged, load_judged(arguments.mirt / f"queries-{index}.nc"))
        all_judged.append(judged)
        write_lines(target, [plain({**line, "fold": index})])
    if all("mirt" in one["predictor"].values for one in all_judged) and len(all_judged) > 1:
        all_judged = stacked(all_judged)
    told = {"data": name, "fold": POOLED, "folds": len(all_judged), **scores(all_judged, arguments.seed)}
    seconds = [line["seconds"] for line in read_lines(target) if line["fold"] != POOLED]
    told["fit_seconds"] = {"mean": float(np.mean(seconds)), "largest": float(np.max(seconds))}
    write_lines(target, [plain({**told, **provenance()})])
    show(told)


def shipped(arguments: argparse.Namespace) -> None:
    """The shipped train and test splits, as one fold."""
    data = read_dataset(arguments.data)
    name = f"{arguments.data.name}-shipped"
    fold = Fold("queries", 0, (), select_split(data, "train"), select_split(data, "test"), ())
    judged, line = run(fold, name, arguments)
    told = {**line, "fold": 0, **scores([judged], arguments.seed)}
    write_lines(RESULTS / f"nirt-{name}.jsonl", [plain(told)])
    show(told)


def run(fold: Fold, name: str, arguments: argparse.Namespace) -> tuple[xr.Dataset, dict[str, Any]]:
    """Fit and judge one fold with the published NIRT beside it, or read what an earlier run left."""
    folder = arguments.runs / name
    path, model = folder / f"{fold.name}.nc", folder / fold.name
    if path.exists():
        judged = load_judged(path)
        return judged, json.loads(judged.attrs["line"])
    encoder = Encoder()
    train = featurize(fold.train, encoder)
    if not model.exists():
        posterior = fit_nirt(
            NIRT(),
            train,
            relevance=from_descriptions(embed_texts([one.description for one in NIRT().abilities], encoder)),
            seed=arguments.seed,
            assume_output_tokens=arguments.assume_output_tokens,
        )
        save(posterior, model)
    router = Router(load(model), encoder)
    posterior, test = router.posterior, router.featurize(fold.test)
    start = time.perf_counter()
    predicted = predict_model(posterior, test, np.random.default_rng(arguments.seed))
    seconds = time.perf_counter() - start
    published = predict_baselines(PUBLISHED, router.featurize(fold.train), test, seed=arguments.seed)
    judged, notes = judge(
        test,
        training_facts(posterior, test),
        {MODEL: predicted, **{one: point_estimate(p) for one, p in published.means.items()}},
        ALPHAS,
        arguments.seed,
    )
    line = {
        "data": name,
        "seed": arguments.seed,
        **provenance(),
        "queries": fold.train.sizes["query"],
        "responses": int(fold.train["trials"].sum()),
        "seconds": posterior.record["seconds"],
        "predict_seconds": round(seconds, 1),
        "baseline_seconds": published.seconds,
        "verdict": posterior.gate.verdict,
        "training": posterior.record["sampler"],
        "model": {k: v for k, v in posterior.record["model"].items() if k != "abilities"},
        "log_loss": {one: score["log_loss"] for one, score in prediction_scores([judged]).items()},
        "notes": [*fold.notes, *notes],
    }
    judged.attrs["line"] = json.dumps(plain(line))
    save_judged(path, judged)
    return judged, line


def with_mirt(judged: xr.Dataset, other: xr.Dataset) -> xr.Dataset:
    """The same cells with the MIRT's predictions beside them; only what scores of predictions need."""
    kept = judged[["p", "score", "trials", "replicated_right", "replicated_accuracy"]]
    own = other[["p", "replicated_right", "replicated_accuracy"]].sel(predictor=[MODEL])
    own = own.sel(query=judged["query"], llm=judged["llm"]).assign_coords(predictor=["mirt"])
    return xr.concat([kept, own], dim="predictor", data_vars="minimal", join="inner")


def stacked(all_judged: list[xr.Dataset]) -> list[xr.Dataset]:
    """A logistic stack of MIRT and NIRT, its three numbers fitted to the cells of the other folds, and their mixture with equal weights."""
    from sklearn.linear_model import LogisticRegression

    def columns(some: list[xr.Dataset]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        found = [cells(some, one) for one in ("mirt", MODEL)]
        p = np.concatenate([np.clip(one[0], 1e-6, 1 - 1e-6) for one in found], axis=1)
        return np.log(p) - np.log1p(-p), found[0][1][:, 0], found[0][2][:, 0]

    result = []
    for k, one in enumerate(all_judged):
        x, y, n = columns([other for j, other in enumerate(all_judged) if j != k])
        # A graded score is a right and a wrong answer, weighted.
        fitted = LogisticRegression(C=1e6).fit(
            np.concatenate([x, x]),
            np.repeat([1, 0], len(y)),
            sample_weight=np.concatenate([n * y, n * (1 - y)]),
        )
        p = one["p"].sel(predictor=["mirt", MODEL]).values.astype(np.float64)
        p = np.clip(p, 1e-6, 1 - 1e-6)
        logit = np.log(p) - np.log1p(-p)
        mixed = fitted.predict_proba(logit.reshape(2, -1).T)[:, 1].reshape(p.shape[1:])
        print(
            f"stack without fold {k}: {fitted.intercept_[0]:+.3f}, MIRT {fitted.coef_[0, 0]:.2f}, NIRT {fitted.coef_[0, 1]:.2f}"
        )
        beside = [one]
        for name, values in (("stack", mixed), ("mixture", p.mean(axis=0))):
            extra = one.sel(predictor=[MODEL]).assign_coords(predictor=[name])
            beside.append(extra.assign(p=extra["p"].copy(data=values[None])))
        result.append(xr.concat(beside, dim="predictor", data_vars="minimal"))
    return result


def scores(all_judged: list[xr.Dataset], seed: int) -> dict[str, Any]:
    """Pooled scores, paired differences to the NIRT (positive: the NIRT is better) and to the MIRT, calibration."""
    rng = np.random.default_rng(seed)
    differences = log_loss_differences(all_judged, rng)
    to_mirt = log_loss_differences(all_judged, rng, "mirt")  # none without a MIRT
    return {
        "prediction": prediction_scores(all_judged),
        "log_loss_minus_nirt": {name: asdict(one) for name, one in differences.items()},
        "log_loss_minus_mirt": {name: asdict(to_mirt[name]) for name in (MODEL, *STACKS) if name in to_mirt},
        "calibration": calibration(all_judged, rng),
    }


def show(told: dict[str, Any]) -> None:
    """The line's numbers, for people."""
    for name, one in told["prediction"].items():
        print(
            f"{'nirt' if name == MODEL else name}: log loss {one['log_loss']:.4f}, AUC {one['auc']:.4f}, ECE {one['ece']:.4f} "
            f"(95th percentile under replication {one['ece_replicated_95']:.4f}), slope {one['calibration_slope']:.3f}"
        )
    for name, one in told["log_loss_minus_nirt"].items():
        print(f"{name} minus nirt: {json.dumps(plain(one))}")
    for name, one in told["log_loss_minus_mirt"].items():
        print(f"{'nirt' if name == MODEL else name} minus mirt: {json.dumps(plain(one))}")
    print(json.dumps(plain(told["calibration"])))
    print(f"fit seconds: {told.get('fit_seconds', told.get('seconds'))}")


def compare_scales(arguments: argparse.Namespace) -> None:
    """Validation log loss inside train, by the prior scale of relevance."""
    name = arguments.data.name
    splits = read_splits(HERE / "splits.json", name)
    fold = make_fold(read_dataset(arguments.data), splits, "queries", 0, seed=arguments.seed)
    encoder = Encoder()
    train = featurize(fold.train, encoder)
    descriptions = from_descriptions(embed_texts([one.description for one in NIRT().abilities], encoder))
    for scale in [float(one) for one in arguments.relevance_scale.split(",")]:
        fitted = fit_nirt(
            NIRT(relevance_scale=scale),
            train,
            relevance=descriptions,
            seed=arguments.seed,
            assume_output_tokens=200,
        )
        best: np.ndarray = np.asarray(fitted.tree["training"]["validation"].min("pass"))
        told = {
            "data": name,
            "relevance_scale": scale,
            "validation": best.tolist(),
            "mean": float(best.mean()),
        }
        print(json.dumps(plain({**told, **provenance()})))


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        sys.exit("\n".join(f"error: {problem}" for problem in error.problems))
