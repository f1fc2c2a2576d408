"""Do policies keep their promises? Predicted against observed accuracy, cost against static mixtures, improvement on an incumbent.

    .venv/bin/python benchmarks/policies.py --data ../shared/data/zeroeval --model runs/fold0 runs/fold1 --test "not fitted"

One model folder is one fold; its test queries are a split's, or those that were not fitted. One line of JSON for each fold goes to
benchmarks/results/policies.jsonl; the file grows with each run, and the pooled table needs
all folds in one run. The pooled table is printed and written to benchmarks/results/policies-NAME.json, NAME being the data
folder's. Intervals are 95 % by bootstrap over queries, paired.
"""

import argparse
import json
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayes_irt_router.data.canonical import read_dataset, select_split
from bayes_irt_router.data.files import atomic_path
from bayes_irt_router.evaluation.frontier import best_on_fitted
from bayes_irt_router.evaluation.policy_outcomes import (
    Answered,
    Outcomes,
    Setting,
    answered_queries,
    outcomes,
)
from bayes_irt_router.evaluation.static_mixture import cheapest_mixture_cost
from bayes_irt_router.inference.fitting import text_hashes
from bayes_irt_router.report.json_text import json_text, plain
from bayes_irt_router.routing.correctness_policies import ChanceConstrained, MinSuccess
from bayes_irt_router.routing.decision import decide
from bayes_irt_router.routing.policy_catalogue import policy_options
from bayes_irt_router.routing.router import Request, Router
from bayes_irt_router.routing.utility_policies import (
    Equivalence,
    ExpectedUtility,
    LowerBound,
    ProbabilityOfImprovement,
)

RESULTS = Path(__file__).parent / "results"
ALPHAS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
REWARD_ALPHAS = (0.8, 0.5, 0.2)
RESAMPLES = 1000
HIDDEN = "o1"  # LLMs whose hidden tokens are not counted
FEWER_DRAWS = (25, 50, 100, 200, 500)


@dataclass(frozen=True, eq=False)
class Fold:
    """One model on its test queries, and the settings' choices."""

    name: str
    answered: Answered
    incumbent: str
    settings: tuple[Setting, ...]
    found: tuple[Outcomes, ...]
    draws: dict[str, Any]
    gate: str


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path, nargs="+", required=True)
    parser.add_argument("--test", default="test", help="a split's name, or 'not fitted'")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    data = read_dataset(arguments.data)
    folds: list[Fold] = []
    variants: dict[str, list[Fold]] = {}
    for path in arguments.model:
        router = Router.load(path)
        part = (
            not_fitted(router, data) if arguments.test == "not fitted" else select_split(data, arguments.test)
        )
        answered = answered_queries(router, part, progress=False)
        fold = run_fold(path.name, router, answered, arguments.seed)
        for name, (other, factor) in hidden_variants(answered).items():
            one = run_fold(path.name, router, other, arguments.seed, factor)
            variants.setdefault(name, []).append(one)
        line = {"data": arguments.data.name, **about(arguments.seed), **report([fold], arguments.seed)}
        line |= {"fold": fold.name, "gate": fold.gate, "decision": fold.draws}
        RESULTS.mkdir(exist_ok=True)
        with (RESULTS / "policies.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(plain(line)) + "\n")
        folds.append(fold)
    pooled = report(folds, arguments.seed)
    for name in ("promise", "against_mixture", "improvement", "sweep"):
        print(f"\n{name}\n{pd.DataFrame(pooled[name]).round(4).to_string()}")
    repeated = {name: report(ones, arguments.seed) for name, ones in variants.items()}
    for title, again in repeated.items():
        for name in ("against_mixture", "improvement", "sweep"):
            print(f"\n{title}: {name}\n{pd.DataFrame(again[name]).round(4).to_string()}")
    target = RESULTS / f"policies-{arguments.data.name}.json"
    told = {"folds": [one.name for one in folds], **about(arguments.seed), **pooled}
    text = json_text({**told, "decision": folds[0].draws, "hidden_tokens": repeated})
    with atomic_path(target) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
    print(f"Written to {target}.")


def about(seed: int) -> dict[str, Any]:
    words = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(words, capture_output=True, text=True).stdout.strip()
    return {"seed": seed, "commit": commit, "resamples": RESAMPLES}


def hidden_variants(answered: Answered) -> dict[str, tuple[Answered, dict[str, float]]]:
    """The same queries without the LLMs whose hidden tokens are not counted, and with their costs times four."""
    hidden = [name for name in answered.llm if name.startswith(HIDDEN)]
    if not hidden:
        return {}
    keep = np.array([name not in hidden for name in answered.llm])
    without = replace(
        answered,
        llm=tuple(name for name in answered.llm if name not in hidden),
        score=answered.score[:, keep],
        cost_usd=answered.cost_usd[:, keep],
    )
    dearer = replace(answered, cost_usd=answered.cost_usd * np.where(keep, 1.0, 4.0))
    return {
        f"without {HIDDEN}": (without, {}),
        f"{HIDDEN} at four times their cost": (dearer, dict.fromkeys(hidden, 4.0)),
    }


def run_fold(
    name: str,
    router: Router,
    answered: Answered,
    seed: int,
    cost_factor: dict[str, float] | None = None,
) -> Fold:
    incumbent = best_on_fitted(router, answered.llm)
    settings = (
        *(Setting(ExpectedUtility(), alpha) for alpha in ALPHAS),
        *(Setting(LowerBound(), alpha) for alpha in REWARD_ALPHAS),
        *(Setting(Equivalence(), alpha) for alpha in REWARD_ALPHAS),
        *(Setting(ProbabilityOfImprovement(incumbent), alpha) for alpha in REWARD_ALPHAS),
        *(Setting(MinSuccess(target), 0.5) for target in (0.6, 0.7, 0.8, 0.85, 0.9, 0.95)),
        *(Setting(ChanceConstrained(target), 0.5) for target in (0.6, 0.7, 0.8, 0.85, 0.9, 0.95)),
    )
    found = outcomes(router, answered, settings, seed=seed, cost_factor=cost_factor)
    return Fold(
        name,
        answered,
        incumbent,
        settings,
        tuple(found),
        fewer_draws(router, answered, seed) if cost_factor is None else {},
        router.posterior.gate.verdict,
    )


def not_fitted(router: Router, data: xr.Dataset) -> xr.Dataset:
    known = router.posterior.tree["queries"].to_dataset()
    hashes, ids = set(known["text_hash"].values.tolist()), set(known["query"].values.tolist())
    fresh = [
        one not in hashes and str(query) not in ids
        for one, query in zip(text_hashes(data["text"].values.tolist()), data["query"].values, strict=True)
    ]
    return data.isel(query=np.flatnonzero(fresh))


def fewer_draws(router: Router, answered: Answered, seed: int) -> dict[str, Any]:
    """What a decision costs, and how often fewer draws decide otherwise, with the loss of utility under all draws."""
    sample = answered.queries.isel(query=slice(0, 200))
    request = Request(alpha=0.5, seed=seed)
    full = router.pose(sample, request).problem
    rows, result = np.arange(sample.sizes["query"]), {}
    for policy in (ExpectedUtility(), ChanceConstrained()):
        reference = policy.choose(full).llm
        for draws in [count for count in FEWER_DRAWS if count < router.posterior.size]:
            thin = replace(router, posterior=router.posterior.thin(draws))
            other = policy.choose(thin.pose(sample, request).problem).llm
            loss = full.utility[rows, reference] - full.utility[rows, other]
            both = (reference >= 0) & (other >= 0)
            result[f"{policy.name}, {draws} draws"] = {
                "changed": float((reference != other).mean()),
                "utility_lost": float(loss[both].mean()) if both.any() else float("nan"),
            }
    router = replace(router, posterior=router.posterior.thin(min(500, router.posterior.size)))
    one = sample.isel(query=slice(0, 1))
    texts = [str(text) for text in sample["text"].values[:20]]
    problem = router.pose(one, request).problem
    router.encoder.embed(texts[:1])
    result["milliseconds"] = {
        "draws": router.posterior.size,
        "llms": len(router.posterior.llm),
        "embed_one": milliseconds(lambda k: router.encoder.embed([texts[k % len(texts)]])),
        "predict_one": milliseconds(lambda _: router.pose(one, request)),
        "decide_one": milliseconds(lambda _: decide(replace(problem), ExpectedUtility())),
    }
    return result


def milliseconds(work: Callable[[int], object], repeats: int = 20) -> float:
    times = []
    for k in range(repeats):
        start = time.perf_counter()
        work(k)
        times.append(time.perf_counter() - start)
    return float(1000 * np.median(times))


def report(folds: Sequence[Fold], seed: int) -> dict[str, Any]:
    """All figures, pooled over the folds' queries."""
    rng = np.random.default_rng(seed)
    weights = [
        rng.multinomial(n, np.full(n, 1 / n), RESAMPLES).astype(np.float64)
        for n in (len(fold.answered.score) for fold in folds)
    ]
    promise, deciles, mixture, improvement = [], {}, [], []
    for k, setting in enumerate(folds[0].settings):
        name = setting_name(setting)
        score = np.concatenate([chosen(fold, k, fold.answered.score) for fold in folds])
        promised = np.concatenate([fold.found[k].promised for fold in folds])
        some = ~np.isnan(promised)
        gap = np.where(some, score - promised, 0.0)
        resampled = np.hstack(weights)
        drawn = (resampled @ gap) / np.maximum(resampled @ some, 1)
        accuracy = float(score[some].mean()) if some.any() else float("nan")
        promise.append(
            {
                "setting": name,
                "answered": float(some.mean()),
                "accuracy": accuracy,
                "promised": float(promised[some].mean()) if some.any() else float("nan"),
                **interval("gap", gap.sum() / max(some.sum(), 1), drawn),
            }
        )
        deciles[name] = by_decile(score[some], promised[some])
        if isinstance(setting.policy, MinSuccess | ChanceConstrained):
            mixture.append(
                {"setting": name, "answered": float(some.mean()), **against_mixture(folds, weights, k)}
            )
        if isinstance(setting.policy, ProbabilityOfImprovement):
            improvement.append({"setting": name, **against_incumbent(folds, weights, k, setting.alpha)})
    return {
        "queries": [len(fold.answered.score) for fold in folds],
        "promise": promise,
        "by_decile": deciles,
        "against_mixture": mixture,
        "improvement": improvement,
        "sweep": sweep_table(folds),
    }


def setting_name(setting: Setting) -> str:
    options = {k: v for k, v in policy_options(setting.policy).items() if k != "incumbent"}
    told = " ".join(f"{key}={value}" for key, value in options.items())
    return f"{setting.policy.name} {told} alpha={setting.alpha:g}".replace("  ", " ")


def chosen(fold: Fold, k: int, cells: np.ndarray) -> np.ndarray:
    """The chosen answers' cells; NaN where the policy abstained."""
    one = fold.found[k]
    rows = np.arange(len(cells))
    return np.where(one.answered, cells[rows, np.maximum(one.choice, 0)], np.nan)


def interval(name: str, value: float, drawn: np.ndarray) -> dict[str, float]:
    drawn = drawn[~np.isnan(drawn)]
    lower, upper = np.quantile(drawn, [0.025, 0.975]) if drawn.size else (np.nan, np.nan)
    return {name: float(value), f"{name}_lower": float(lower), f"{name}_upper": float(upper)}


def by_decile(score: np.ndarray, promised: np.ndarray) -> list[dict[str, float]]:
    order = np.array_split(np.argsort(promised, kind="stable"), 10)
    return [
        {
            "promised": float(promised[part].mean()),
            "accuracy": float(score[part].mean()),
            "queries": len(part),
        }
        for part in order
        if len(part)
    ]


def against_mixture(folds: Sequence[Fold], weights: Sequence[np.ndarray], k: int) -> dict[str, float]:
    """Relative saving against the cheapest static mixture of equal accuracy, which may be chosen with hindsight.

    ``same_queries``: the mixture answers the queries that the policy answered. ``same_share``: it answers as large a share, drawn at
    random. Averages over folds, weighted by answered queries; NaN where no mixture is as accurate.
    """
    ones = [np.ones((1, len(fold.answered.score))) for fold in folds]
    result: dict[str, float] = {}
    for name, same in (("same_queries", True), ("same_share", False)):
        value = saving(folds, ones, k, same)[0]
        result |= interval(f"saving_{name}", value, saving(folds, weights, k, same))
    return result


def saving(folds: Sequence[Fold], weights: Sequence[np.ndarray], k: int, same_queries: bool) -> np.ndarray:
    ours, mixed = np.zeros(len(weights[0])), np.zeros(len(weights[0]))
    for fold, weight in zip(folds, weights, strict=True):
        some = fold.found[k].answered.astype(np.float64)
        count = np.maximum(weight @ some, 1)
        accuracy = weight @ np.nan_to_num(chosen(fold, k, fold.answered.score)) / count
        basis = weight * some if same_queries else weight
        total = np.maximum(basis.sum(axis=1, keepdims=True), 1)
        least = cheapest_mixture_cost(
            basis @ fold.answered.score / total, basis @ fold.answered.cost_usd / total, accuracy
        )
        ours = ours + weight @ np.nan_to_num(chosen(fold, k, fold.answered.cost_usd))
        mixed = mixed + least * count
    return 1 - ours / np.where((ours > 0) & (mixed > 0), mixed, np.nan)  # NaN where nothing was answered


def against_incumbent(
    folds: Sequence[Fold], weights: Sequence[np.ndarray], k: int, alpha: float
) -> dict[str, float]:
    """Reward of the policy minus that of the incumbent alone, over the same queries; pooled by queries."""

    def difference(weight: np.ndarray, fold: Fold) -> np.ndarray:
        at = fold.answered.llm.index(fold.incumbent)
        gain = chosen(fold, k, fold.answered.score) - fold.answered.score[:, at]
        more = chosen(fold, k, fold.answered.cost_usd) - fold.answered.cost_usd[:, at]
        dearest = (weight @ fold.answered.cost_usd).max(axis=1)
        queries = weight.sum(axis=1)
        return 100 * (alpha * (weight @ gain) / queries - (1 - alpha) * (weight @ more) / dearest)

    sizes = np.array([len(fold.answered.score) for fold in folds], dtype=np.float64)
    value = np.average(
        [difference(np.ones((1, int(n))), fold)[0] for n, fold in zip(sizes, folds, strict=True)],
        weights=sizes,
    )
    drawn = np.average(
        [difference(weight, fold) for weight, fold in zip(weights, folds, strict=True)], axis=0, weights=sizes
    )
    moved = np.mean(
        [(fold.found[k].choice != fold.answered.llm.index(fold.incumbent)).mean() for fold in folds]
    )
    return {"moved": float(moved), **interval("reward_gain", float(value), drawn)}


def sweep_table(folds: Sequence[Fold]) -> list[dict[str, Any]]:
    """Mean spend on an answer by expected utility as alpha grows, expected and observed; means over folds."""
    rows: list[dict[str, Any]] = []
    at = [k for k, one in enumerate(folds[0].settings) if isinstance(one.policy, ExpectedUtility)]
    for k in at:
        expected = np.mean([fold.found[k].expected_cost.mean() for fold in folds])
        observed = np.mean([chosen(fold, k, fold.answered.cost_usd).mean() for fold in folds])
        accuracy = np.mean([chosen(fold, k, fold.answered.score).mean() for fold in folds])
        used = np.mean([len(np.unique(fold.found[k].choice)) for fold in folds])
        rows.append(
            {
                "alpha": folds[0].settings[k].alpha,
                "expected_usd": float(expected),
                "observed_usd": float(observed),
                "accuracy": float(accuracy),
                "llms_used": float(used),
                "expected_usd_grew": not rows or bool(expected >= rows[-1]["expected_usd"] - 1e-12),
            }
        )
    return rows


if __name__ == "__main__":
    main()
