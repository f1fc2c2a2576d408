"""The NIRT beside the published one, the MIRT and their stack, fold by fold; time and memory as queries grow; placing.

    .venv/bin/python benchmarks/nirt.py folds --data ../shared/data/zeroeval [--mirt runs/folds/zeroeval]
    .venv/bin/python benchmarks/nirt.py shipped --data ../shared/data/zeroeval
    .venv/bin/python benchmarks/nirt.py growth --queries 10000,50000
    .venv/bin/python benchmarks/nirt.py placing --model runs/nirt/zeroeval/queries-0
    .venv/bin/python benchmarks/nirt.py nuts --model runs/nirt/zeroeval/queries-0

``folds`` fits the query folds of splits.json, keeps judged queries in runs/nirt/NAME (a fold that is there is not run again), and writes
benchmarks/results/nirt-NAME.jsonl, one line a fold and one of all folds pooled. With ``--mirt``, a folder of `benchmarks/folds.py`, the
MIRT's predictions of the same cells join, and a stack: ``logit p = b_0 + b_1 logit p_MIRT + b_2 logit p_NIRT``, its weights fitted to the
other folds. ``shipped`` does the same for the shipped train and test splits. ``growth``, ``placing`` and ``nuts`` print JSON; ``nuts``
samples the abilities of simulated LLMs exactly, with the same decoder and queries, and compares.
"""

import argparse
import json
import resource
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
from bayes_irt_router.inference.neural_training import Training
from bayes_irt_router.inference.storage import load, save
from bayes_irt_router.irt.ability_posterior import ability_posterior, importance_points, prior_covariance
from bayes_irt_router.irt.neural_items import ITEMS, Network, settled_items
from bayes_irt_router.irt.nirt import NIRT, Interaction, logit
from bayes_irt_router.irt.relevance import from_descriptions
from bayes_irt_router.report.json_text import plain
from bayes_irt_router.routing.neural_prediction import ensemble
from bayes_irt_router.routing.router import Router

HERE = Path(__file__).parent
RUNS = HERE.parent / "runs" / "nirt"
RESULTS = HERE / "results"
PUBLISHED: tuple[Baseline, ...] = (PointEstimateNIRT("embedding"), PointEstimateNIRT("features"))
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
    growth = commands.add_parser("growth")
    growth.add_argument("--queries", default="10000,50000")
    growth.add_argument("--llms", type=int, default=20)
    growth.add_argument("--passes", type=int, default=3, help="of the training; time is told for each pass")
    for name in ("placing", "nuts"):
        command = commands.add_parser(name)
        command.add_argument("--model", type=Path, required=True)
        command.add_argument("--answers", default="20,100,500" if name == "placing" else "100,500")
    arguments = parser.parse_args()
    {"folds": folds, "shipped": shipped, "growth": grow, "placing": place, "nuts": compare_nuts}[
        arguments.command
    ](arguments)


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
    """A logistic stack of MIRT and NIRT, its three numbers fitted to the cells of the other folds."""
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
        extra = one.sel(predictor=[MODEL]).assign_coords(predictor=["stack"])
        extra = extra.assign(p=extra["p"].copy(data=mixed[None]))
        result.append(xr.concat([one, extra], dim="predictor", data_vars="minimal"))
    return result


def scores(all_judged: list[xr.Dataset], seed: int) -> dict[str, Any]:
    """Pooled scores, paired differences to the NIRT (positive: the NIRT is better), calibration."""
    rng = np.random.default_rng(seed)
    differences = log_loss_differences(all_judged, rng)
    return {
        "prediction": prediction_scores(all_judged),
        "log_loss_minus_nirt": {name: asdict(one) for name, one in differences.items()},
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
    print(json.dumps(plain(told["calibration"])))
    print(f"fit seconds: {told.get('fit_seconds', told.get('seconds'))}")


def grow(arguments: argparse.Namespace) -> None:
    """Time a pass and peak memory on simulated banks, each in a process of its own so that peaks do not mix."""
    import multiprocessing

    for queries in (int(one) for one in arguments.queries.split(",")):
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            print(json.dumps(pool.apply(_grown, (queries, arguments.llms, arguments.passes))), flush=True)


def _grown(queries: int, llms: int, passes: int) -> dict[str, Any]:
    """A bank of random embeddings and answers: only time and memory are looked at."""
    from bayes_irt_router.inference.neural_training import train
    from bayes_irt_router.irt.nirt import QueryInputs

    rng = np.random.default_rng(0)
    model = NIRT()
    shapes = ((queries, 384), (queries, 245), (queries,), (queries, model.traits))
    inputs = QueryInputs(*(0.05 * rng.standard_normal(shape, dtype=np.float32) for shape in shapes))
    inputs = inputs._replace(novelty=np.abs(inputs.novelty))
    score = (rng.random((queries, llms)) < 0.6).astype(np.float32)
    data_bytes = sum(values.nbytes for values in inputs) + 2 * score.nbytes
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    found = train(
        model,
        inputs,
        score,
        np.ones_like(score),
        45,
        Training(passes=passes, steps=1),
        seed=0,
        progress=False,
    )
    return {
        "queries": queries,
        "llms": llms,
        "passes": len(found.loss),
        "wall_seconds": round(found.seconds, 1),
        "cpu_seconds": round(time.process_time() - start, 1),
        "data_mb": round(data_bytes / 2**20),
        "peak_mb_beside_before": round((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**10),
    }


def place(arguments: argparse.Namespace) -> None:
    """Simulated LLMs of known ability answer fitted queries: time of placing, error, coverage, k-hat."""
    from bayes_irt_router.calibration.importance import smoothed_weights

    network, at, output = bank(arguments.model)
    rng = np.random.default_rng(0)
    traits = at.slope.shape[-1]
    factor = np.linalg.cholesky(prior_covariance(traits))
    for answers in (int(one) for one in arguments.answers.split(",")):
        seconds: list[float] = []
        k_hats: list[float] = []
        z: list[Any] = []
        for _ in range(200):
            theta = factor @ rng.standard_normal(traits)
            some, score = answered(network, at, output, theta, answers, rng)
            start = time.perf_counter()
            found = ability_posterior(network.weights, output, some, score, np.ones(answers))
            seconds.append(time.perf_counter() - start)
            general = np.full(traits, 1.0 / traits)
            sd = np.linalg.norm(found.factor.T @ general)
            z.append(general @ (theta - found.mean) / sd)
            if len(k_hats) < 40:
                _, log_weight = importance_points(
                    found, network.weights, output, some, score, np.ones(answers), 1000, rng
                )
                k_hats.append(smoothed_weights(log_weight)[1])
        print(
            json.dumps(
                {
                    "answers": answers,
                    "milliseconds": {
                        "median": round(1e3 * float(np.median(seconds)), 2),
                        "95%": round(1e3 * float(np.quantile(seconds, 0.95)), 2),
                    },
                    "k_hat": {"median": round(float(np.median(k_hats)), 2), "largest": round(max(k_hats), 2)},
                    "z_of_mean_ability": {
                        "mean": round(float(np.mean(z)), 2),
                        "sd": round(float(np.std(z)), 2),
                    },
                    "inside_89": round(float(np.mean(np.abs(z) < 1.598)), 3),
                }
            )
        )


def compare_nuts(arguments: argparse.Namespace) -> None:
    """Mean and SD of each ability by NUTS and by the product of experts, for simulated LLMs."""
    import jax
    import jax.numpy as jnp
    import numpyro
    import numpyro.distributions as dist
    from numpyro.infer import MCMC, NUTS

    network, at, output = bank(arguments.model)
    weights = {name: jnp.asarray(values) for name, values in network.weights.items()}
    traits = at.slope.shape[-1]
    factor = np.linalg.cholesky(prior_covariance(traits))

    def model(some: Interaction, score: Any) -> None:
        z = numpyro.sample("z", dist.Normal(jnp.zeros(traits), 1.0).to_event(1))
        found = logit(weights, jnp.asarray(output), some, (jnp.asarray(factor) @ z)[None])[:, 0]
        numpyro.factor("answers", (score * found - jax.nn.softplus(found)).sum())

    for answers in (int(one) for one in arguments.answers.split(",")):
        sampler = MCMC(NUTS(model), num_warmup=300, num_samples=1000, progress_bar=False)
        rng = np.random.default_rng(1)
        shift, ratio, seconds = [], [], {"nuts": 0.0, "experts": 0.0}
        for k in range(5):
            theta = factor @ rng.standard_normal(traits)
            some, score = answered(network, at, output, theta, answers, rng)
            start = time.perf_counter()
            sampler.run(jax.random.PRNGKey(k), Interaction(*map(jnp.asarray, some)), jnp.asarray(score))
            exact = np.asarray(sampler.get_samples()["z"]) @ factor.T
            seconds["nuts"] += time.perf_counter() - start
            start = time.perf_counter()
            found = ability_posterior(network.weights, output, some, score, np.ones(answers))
            seconds["experts"] += time.perf_counter() - start
            sd = np.linalg.norm(found.factor, axis=1)
            shift.append(np.abs(found.mean - exact.mean(axis=0)) / exact.std(axis=0))
            ratio.append(sd / exact.std(axis=0))
        told = {
            "answers": answers,
            "llms": 5,
            "shift_in_sds": {
                "mean": round(float(np.mean(shift)), 3),
                "largest": round(float(np.max(shift)), 3),
            },
            "sd_ratio": {
                "mean": round(float(np.mean(ratio)), 3),
                "range": [round(float(f(ratio)), 3) for f in (np.min, np.max)],
            },
            "seconds": {name: round(value / 5, 4) for name, value in seconds.items()},
        }
        print(json.dumps(told), flush=True)


def bank(model: Path) -> tuple[Network, Interaction, np.ndarray]:
    """The first network of a model, its fitted queries with settled residuals, its mean output weights."""
    posterior = load(model)
    network = ensemble(posterior)[0]
    return network, settled_items(network, posterior.tree[ITEMS].to_dataset(), 0), network.output.mean(axis=0)


def answered(
    network: Network,
    at: Interaction,
    output: np.ndarray,
    theta: np.ndarray,
    answers: int,
    rng: np.random.Generator,
) -> tuple[Interaction, np.ndarray]:
    """Random fitted queries, and what an LLM of this ability answers."""
    asked = rng.choice(len(at.slope), min(answers, len(at.slope)), replace=False)
    some = Interaction(at.slope[asked], at.offset[asked])
    p = 1 / (1 + np.exp(-logit(network.weights, output, some, theta[None])[:, 0]))
    return some, (rng.random(len(asked)) < p).astype(np.float64)


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        sys.exit("\n".join(f"error: {problem}" for problem in error.problems))
