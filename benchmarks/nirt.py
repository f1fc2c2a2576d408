"""The NIRT beside the published one, the MIRT and their stack, fold by fold; time and memory as queries grow; placing.

    .venv/bin/python benchmarks/nirt.py folds --data ../shared/data/zeroeval [--mirt runs/folds/zeroeval]
    .venv/bin/python benchmarks/nirt.py shipped --data ../shared/data/zeroeval
    .venv/bin/python benchmarks/nirt.py scales --data ../shared/data/zeroeval --relevance-scale 0.27,1,3
    .venv/bin/python benchmarks/nirt.py growth --queries 10000,50000
    .venv/bin/python benchmarks/nirt.py placing --model runs/nirt/zeroeval/queries-0
    .venv/bin/python benchmarks/nirt.py nuts --model runs/nirt/zeroeval/queries-0

``folds`` fits the query folds of splits.json, keeps judged queries in runs/nirt/NAME (a fold that is there is not run again), and writes
benchmarks/results/nirt-NAME.jsonl, one line a fold and one of all folds pooled. With ``--mirt``, a folder of `benchmarks/folds.py`, the
MIRT's predictions of the same cells join, and a stack: ``logit p = b_0 + b_1 logit p_MIRT + b_2 logit p_NIRT``, its weights fitted to the
other folds; paired differences are told to the NIRT and to the MIRT. ``shipped`` does the same for the shipped train and test splits.
``scales`` trains on the first fold's train with several prior SDs of the heads of relevance, and prints each network's best log loss on the
queries it left out: a choice inside train. ``growth`` (training and posteriors), ``placing`` and ``nuts`` print JSON. ``nuts`` simulates
LLMs that answer some of the fitted queries, and samples their abilities and the queries' residuals exactly, through the first network with
its weights fixed; it compares the products of experts, which find the same in closed form: SDs, and mean probabilities of the very cells.
"""

import argparse
import json
import resource
import sys
import time
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from provenance import provenance
from scipy.special import expit

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
from bayes_irt_router.inference.network_posterior import residual_posteriors
from bayes_irt_router.inference.neural_fitting import fit_nirt
from bayes_irt_router.inference.neural_training import Training
from bayes_irt_router.inference.storage import load, save
from bayes_irt_router.irt.ability_posterior import (
    Answered,
    ability_posterior,
    ability_posteriors,
    importance_points,
    prior_covariance,
    standard_prior,
)
from bayes_irt_router.irt.neural_items import ITEMS, Network, fitted_heads, rows, settled_items
from bayes_irt_router.irt.nirt import NIRT, Interaction, ItemHeads, interaction, logit
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
    scales = commands.add_parser("scales")
    scales.add_argument("--data", type=Path, required=True)
    scales.add_argument("--relevance-scale", default="0.27,1,3")
    scales.add_argument("--seed", type=int, default=0)
    growth = commands.add_parser("growth")
    growth.add_argument("--queries", default="10000,50000")
    growth.add_argument("--llms", type=int, default=20)
    growth.add_argument("--passes", type=int, default=3, help="of the training; time is told for each pass")
    for name in ("placing", "nuts"):
        command = commands.add_parser(name)
        command.add_argument("--model", type=Path, required=True)
        command.add_argument("--answers", default="20,100,500" if name == "placing" else "100,300")
        if name == "nuts":
            command.add_argument("--llms", type=int, default=10)
    arguments = parser.parse_args()
    {
        "folds": folds,
        "shipped": shipped,
        "scales": compare_scales,
        "growth": grow,
        "placing": place,
        "nuts": compare_nuts,
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
    """Pooled scores, paired differences to the NIRT (positive: the NIRT is better) and to the MIRT, calibration."""
    rng = np.random.default_rng(seed)
    differences = log_loss_differences(all_judged, rng)
    to_mirt = log_loss_differences(all_judged, rng, "mirt")  # none without a MIRT
    return {
        "prediction": prediction_scores(all_judged),
        "log_loss_minus_nirt": {name: asdict(one) for name, one in differences.items()},
        "log_loss_minus_mirt": {name: asdict(to_mirt[name]) for name in (MODEL, "stack") if name in to_mirt},
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


def grow(arguments: argparse.Namespace) -> None:
    """Time of training and posteriors, and peak memory, on simulated banks, each in a process of its own so that peaks do not mix."""
    import multiprocessing

    for queries in (int(one) for one in arguments.queries.split(",")):
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            print(json.dumps(pool.apply(_grown, (queries, arguments.llms, arguments.passes))), flush=True)


def _grown(queries: int, llms: int, passes: int) -> dict[str, Any]:
    """A bank of random embeddings and answers: only time and memory are looked at."""
    from bayes_irt_router.inference.network_posterior import network_posterior
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

    def peak() -> int:
        """MB above what was held before."""
        return round((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**10)

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
    trained, cpu_trained = peak(), time.process_time() - start
    began, draws = time.perf_counter(), np.random.default_rng(1)
    trials = np.ones_like(score)
    kept = 0
    for k in range(len(found.loss[0])):
        weights = {name: np.asarray(values[k]) for name, values in found.weights.items()}
        posterior = network_posterior(model, weights, inputs, score, trials, 45, 100, draws)
        kept += sum(values.nbytes for values in posterior.values())
    return {
        "queries": queries,
        "llms": llms,
        "passes": len(found.loss),
        "training_seconds": round(found.seconds, 1),
        "posterior_seconds": round(time.perf_counter() - began, 1),
        "training_cpu_seconds": round(cpu_trained, 1),
        "cpu_seconds": round(time.process_time() - start, 1),
        "data_mb": round(data_bytes / 2**20),
        "kept_mb": round(kept / 2**20),
        "peak_mb_of_training": trained,
        "peak_mb_of_all": peak(),
    }


def place(arguments: argparse.Namespace) -> None:
    """Simulated LLMs of known ability answer fitted queries: time of placing, error, coverage, k-hat."""
    from bayes_irt_router.inference.pareto_smoothing import smoothed_weights

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
                k_hats.append(float(smoothed_weights(log_weight[None])[1][0]))
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
    """SDs and mean probabilities by NUTS and by products of experts, abilities and residuals both unknown."""
    import jax
    import jax.numpy as jnp
    import numpyro
    import numpyro.distributions as dist
    from numpyro.infer import MCMC, NUTS

    posterior = load(arguments.model)
    network, items = ensemble(posterior)[0], posterior.tree[ITEMS].to_dataset()
    output, traits = network.output.mean(axis=0), items.sizes["trait"]
    factor = np.linalg.cholesky(prior_covariance(traits))
    weights = jax.tree.map(jnp.asarray, network.weights)

    def model(heads: ItemHeads, score: Any) -> None:
        z = numpyro.sample("z", dist.Normal(jnp.zeros((score.shape[1], traits)), 1.0).to_event(2))
        zeta = numpyro.sample("zeta", dist.Normal(jnp.zeros((len(score), 3)), 1.0).to_event(2))
        theta = numpyro.deterministic("theta", z @ jnp.asarray(factor, z.dtype).T)
        found = logit(weights, jnp.asarray(output), interaction(weights, heads, zeta), theta)
        numpyro.deterministic("p", jax.nn.sigmoid(found))
        numpyro.factor("answers", (score * found - jax.nn.softplus(found)).sum())

    for queries in (int(one) for one in arguments.answers.split(",")):
        rng = np.random.default_rng(queries)
        heads = rows(fitted_heads(items, 0), rng.choice(items.sizes["query"], queries, replace=False))
        theta = rng.standard_normal((arguments.llms, traits)) @ factor.T
        at = interaction(network.weights, heads, rng.standard_normal((queries, 3), dtype=np.float32))
        p = expit(logit(network.weights, output, at, theta))
        score = (rng.random(p.shape) < p).astype(np.float32)
        start = time.perf_counter()
        sampler = MCMC(NUTS(model), num_warmup=500, num_samples=1000, progress_bar=False)
        sampler.run(jax.random.PRNGKey(0), ItemHeads(*map(jnp.asarray, heads)), jnp.asarray(score))
        exact = {name: np.asarray(values) for name, values in sampler.get_samples().items()}
        between = time.perf_counter()
        ability, zeta, p = experts(network, output, heads, score, rng)
        seconds = {"nuts": between - start, "experts": time.perf_counter() - between}
        shift = np.abs(p.mean(axis=0) - exact["p"].mean(axis=0))
        told = {
            "queries": queries,
            "llms": arguments.llms,
            "sd_ratio_of_abilities": spread(ability, exact["theta"]),
            "sd_ratio_of_profiles": spread(
                *(one - one.mean(axis=2)[..., None] for one in (ability, exact["theta"]))
            ),
            "sd_ratio_of_general": spread(ability.mean(axis=2), exact["theta"].mean(axis=2)),
            "sd_ratio_of_difficulties": spread(zeta[:, :, 0], exact["zeta"][:, :, 0]),
            "sd_ratio_of_p": spread(p, exact["p"]),
            "difference_of_mean_p": {
                "mean": round(float(shift.mean()), 4),
                "largest": round(float(shift.max()), 4),
            },
            "seconds": {name: round(value, 1) for name, value in seconds.items()},
        }
        print(json.dumps(told), flush=True)


def experts(
    network: Network, output: np.ndarray, heads: ItemHeads, score: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draws of abilities, residuals and probabilities: each by its product of experts at the mean of the other, six times in turn."""
    trials, traits = np.ones_like(score), heads.log_relevance.shape[1]
    ability = np.zeros((score.shape[1], traits))
    for _ in range(6):
        mean, factor = residual_posteriors(network.weights, output, heads, ability, score, trials)
        some = Answered(interaction(network.weights, heads, mean), score, trials)
        found = ability_posteriors(
            network.weights, output, partial(list, [some]), standard_prior(traits), ability
        )
        ability = np.stack([one.mean for one in found])
    drawn = np.stack([one.draw(1000, rng) for one in found], axis=1)
    noise = rng.standard_normal((1000, *mean.shape))
    zeta = mean + np.linalg.solve(np.swapaxes(factor, 1, 2), noise[..., None])[..., 0]
    p = np.stack(
        [
            expit(logit(network.weights, output, interaction(network.weights, heads, z), theta))
            for z, theta in zip(zeta, drawn, strict=True)
        ]
    )
    return drawn, zeta, p


def spread(draws: np.ndarray, exact: np.ndarray) -> dict[str, float]:
    """SD of draws relative to that of exact ones: mean, and quantiles over the quantities."""
    ratio = draws.std(axis=0) / exact.std(axis=0)
    found = {"mean": ratio.mean(), "5%": np.quantile(ratio, 0.05), "95%": np.quantile(ratio, 0.95)}
    return {name: round(float(value), 3) for name, value in found.items()}


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
