"""Do policies keep their promises? Predicted against observed accuracy, cost against static mixtures, improvement on an incumbent.

    .venv/bin/python benchmarks/folds.py --data ../shared/data/zeroeval --protocol queries
    .venv/bin/python benchmarks/policies.py --data ../shared/data/zeroeval

reads the posteriors that the first command left in runs/folds (`--runs`), and routes each fold's test queries among the LLMs that
answered all of them. One JSON line a fold goes to benchmarks/results/policies-NAME.jsonl, the figures over all folds to
policies-NAME.json and their tables to policies-NAME.md, NAME being the data folder's. Intervals are 95 % by bootstrap over queries, paired.
Everything about cost is said again without the LLMs whose hidden tokens are not counted, and with four times their output tokens.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from fold_models import RUNS, FoldModel, fold_models
from provenance import provenance

from bayes_irt_router.data.canonical import read_dataset
from bayes_irt_router.data.cost import observed_cost
from bayes_irt_router.data.files import atomic_path
from bayes_irt_router.errors import InputError
from bayes_irt_router.evaluation.fold_runs import write_lines
from bayes_irt_router.evaluation.frontier import best_on_fitted
from bayes_irt_router.evaluation.policy_outcomes import (
    Answered,
    Outcomes,
    Setting,
    answered_queries,
    outcomes,
)
from bayes_irt_router.evaluation.static_mixture import cheapest_mixture_cost
from bayes_irt_router.report.json_text import json_text, plain
from bayes_irt_router.report.tables import markdown_table
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
HIDDEN, HIDDEN_FACTOR = (
    "o1",
    4.0,
)  # LLMs whose hidden tokens are not counted, and what their output tokens are multiplied by
FEWER_DRAWS = (25, 50, 100, 200, 500)
TARGETS = (0.6, 0.7, 0.8, 0.85, 0.9, 0.95)
JUDGED_TARGETS = (0.8, 0.9)
PROMISE, WORST_LOSS, DECISION_SHARE = 0.02, -0.2, 0.1  # what is to hold: see checks()
NO_TARGET = 1e-9  # of min_success, which then is the cheapest LLM for each query
NEAR, USEFUL = (
    0.01,
    2.0,
)  # ends of the sweep: relative distance from the cheapest; factor from the most accurate LLM alone
SAME_SHARE = (
    "In `saving_same_share` the mixture answers as many queries, but others, drawn at random: a policy that answers the easy ones has "
    "that to its credit. In `saving_same_queries` it answers the very queries that the policy answered."
)


@dataclass(frozen=True, eq=False)
class Fold:
    """One model on its test queries, and the settings' choices; `cheapest` are those of the lowest expected cost, whatever the rest."""

    answered: Answered
    incumbent: str
    settings: tuple[Setting, ...]
    found: tuple[Outcomes, ...]
    cheapest: Outcomes


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--runs", type=Path, default=RUNS, help="folder that benchmarks/folds.py wrote to")
    parser.add_argument("--folds", default=None, help="such as 0,2 (default: all)")
    parser.add_argument(
        "--unconverged", action="store_true", help="take folds above r-hat 1.05, too: for a trial"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of the results")
    arguments = parser.parse_args()

    name, seed = arguments.data.name, arguments.seed
    data, made_with = read_dataset(arguments.data), {"seed": seed, **provenance()}
    base = arguments.output / f"policies-{name}"
    folds: list[Fold] = []
    variants: dict[str, list[Fold]] = {}
    lines: list[dict[str, Any]] = []
    decision: dict[str, Any] = {}
    for one in fold_models(arguments.runs, name, data, "queries", arguments.folds, arguments.unconverged):
        start = time.perf_counter()
        answered = answered_queries(one.router, one.fold.test, progress=False)
        fold = run_fold(one.router, answered, seed)
        variant = hidden_variants(answered, one.router.cost.assumed_output_tokens)
        for title, (other, factor) in variant.items():
            variants.setdefault(title, []).append(run_fold(one.router, other, seed, factor))
        if not decision:
            decision = fewer_draws(one.router, answered, seed)
        folds.append(fold)
        lines.append(line_of(one, fold, {"data": name, **made_with}))
        write_lines(base.with_suffix(".jsonl"), [lines[-1]])
        print(f"{one.fold.name}: {time.perf_counter() - start:.0f} s", flush=True)

    pooled = report(folds, seed)
    repeated = {title: report(ones, seed) for title, ones in variants.items()}
    tables = [
        ("What was promised of the chosen answers, and what they scored", pd.DataFrame(pooled["promise"])),
        ("Score minus promise by decile of the promise", decile_gaps(pooled["by_decile"])),
        ("Answered share, error, and saving against static mixtures", pd.DataFrame(pooled["risk_coverage"])),
        ("Reward gained on the best LLM on train", pd.DataFrame(pooled["improvement"])),
        ("Spend as the weight of correctness grows", pd.DataFrame(pooled["sweep"])),
        ("The ends of the sweep", pd.DataFrame([pooled["sweep_ends"]])),
        ("A decision's time, and what fewer draws change", decision_table(decision)),
        ("What was to hold", checks(pooled, repeated, decision)),
    ]
    for title, again in repeated.items():
        for part in ("risk_coverage", "improvement", "sweep"):
            tables.append((f"{title}: {part.replace('_', ' ')}", pd.DataFrame(again[part])))
        tables.append((f"{title}: the ends of the sweep", pd.DataFrame([again["sweep_ends"]])))
    for title, table in tables:
        print(f"\n{title}\n{table.round(4).to_string(index=False)}")
    facts = (
        f"{len(folds)} folds, {sum(pooled['queries'])} test queries; fitted at "
        f"{', '.join(sorted({line['fit_commit'] or 'an unknown commit' for line in lines}))}, judged at {made_with['commit']}."
    )
    if not all(line["converged"] for line in lines):
        facts += " TRIAL: some folds have not converged."
    print(f"\n{facts}")
    told = {"data": name, **made_with, "resamples": RESAMPLES, "folds": [line["fold"] for line in lines]}
    told |= {"converged": all(line["converged"] for line in lines), **pooled}
    told |= {"decision": decision, "hidden_tokens": repeated}
    told["checks"] = checks(pooled, repeated, decision).to_dict(orient="records")
    text = [
        f"# policies-{name}",
        *(f"## {title}\n\n{markdown_table(table.set_index(table.columns[0]))}" for title, table in tables),
        SAME_SHARE,
        facts,
    ]
    for suffix, content in ((".json", json_text(plain(told))), (".md", "\n\n".join(text))):
        with atomic_path(base.with_suffix(suffix)) as temporary:
            temporary.write_text(content + "\n", encoding="utf-8")
    print(f"Written to {base}.json, .md and .jsonl.")


def line_of(one: FoldModel, fold: Fold, made_with: dict[str, Any]) -> dict[str, Any]:
    """A fold's line: how it was fitted, and its own figures, without intervals."""
    own = report([fold], made_with["seed"], resamples=1)
    keep = {
        part: [
            {key: value for key, value in row.items() if not key.endswith(("_lower", "_upper"))}
            for row in own[part]
        ]
        for part in ("promise", "risk_coverage", "improvement", "sweep")
    }
    result: dict[str, Any] = plain({**made_with, **one.about(), "queries": own["queries"][0], **keep})
    return result


def hidden_variants(
    answered: Answered, assumed_output_tokens: int | None
) -> dict[str, tuple[Answered, dict[str, float]]]:
    """The same queries without the LLMs whose hidden tokens are not counted, and with four times their output tokens."""
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
    factor = dict.fromkeys(hidden, HIDDEN_FACTOR)
    dearer = replace(answered, cost_usd=cost_with_more_output(answered, factor, assumed_output_tokens))
    return {
        f"without {HIDDEN}": (without, {}),
        f"{HIDDEN} at {HIDDEN_FACTOR:g} times their output tokens": (dearer, factor),
    }


def cost_with_more_output(
    answered: Answered, factor: dict[str, float], assumed_output_tokens: int | None
) -> np.ndarray:
    """What the answers would have cost with more output tokens by LLM; input costs what it did, recorded costs are taken as output's."""
    data = answered.queries.sel(llm=list(answered.llm))
    by = xr.DataArray([factor.get(name, 1.0) for name in answered.llm], dims="llm")
    counted = data["output_tokens"] if "output_tokens" in data else xr.full_like(data["score"], np.nan)
    if assumed_output_tokens is not None:
        counted = counted.fillna(float(assumed_output_tokens))
    data = data.assign(output_tokens=counted * by)
    if "cost_usd" in data:
        data = data.assign(cost_usd=data["cost_usd"] * by)
    return observed_cost(data)


def run_fold(
    router: Router, answered: Answered, seed: int, output_factor: dict[str, float] | None = None
) -> Fold:
    incumbent = best_on_fitted(router, answered.llm)
    settings = (
        *(Setting(ExpectedUtility(), alpha) for alpha in ALPHAS),
        *(Setting(LowerBound(), alpha) for alpha in REWARD_ALPHAS),
        *(Setting(Equivalence(), alpha) for alpha in REWARD_ALPHAS),
        *(Setting(ProbabilityOfImprovement(incumbent), alpha) for alpha in REWARD_ALPHAS),
        *(Setting(MinSuccess(target), 0.5) for target in TARGETS),
        *(Setting(ChanceConstrained(target), 0.5) for target in TARGETS),
    )
    tried = (*settings, Setting(MinSuccess(NO_TARGET), 0.5))
    *found, cheapest = outcomes(router, answered, tried, seed=seed, output_factor=output_factor)
    return Fold(answered, incumbent, settings, tuple(found), cheapest)


def fewer_draws(router: Router, answered: Answered, seed: int) -> dict[str, Any]:
    """What a decision costs, and how often fewer draws decide otherwise, with the loss of utility under all draws.

    A decision needs its prediction: draws of correctness and of cost for every LLM. Both parts are timed, each alone.
    """
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


def report(folds: Sequence[Fold], seed: int, resamples: int = RESAMPLES) -> dict[str, Any]:
    """All figures, pooled over the folds' queries."""
    rng = np.random.default_rng(seed)
    weights = [
        rng.multinomial(n, np.full(n, 1 / n), resamples).astype(np.float64)
        for n in (len(fold.answered.score) for fold in folds)
    ]
    promise, deciles, risk, improvement = [], {}, [], []
    resampled = np.hstack(weights)
    for k, setting in enumerate(folds[0].settings):
        name = setting_name(setting)
        score = np.concatenate([chosen(fold, k, fold.answered.score) for fold in folds])
        promised = np.concatenate([fold.found[k].promised for fold in folds])
        some = ~np.isnan(promised)
        gap = np.where(some, score - promised, 0.0)
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
            wrong = np.where(some, 1.0 - score, 0.0)
            errors = (resampled @ wrong) / np.maximum(resampled @ some, 1)
            risk.append(
                {
                    "setting": name,
                    "answered": float(some.mean()),
                    **interval("error", wrong.sum() / max(some.sum(), 1), errors),
                    **against_mixture(folds, weights, k),
                }
            )
        if isinstance(setting.policy, ProbabilityOfImprovement):
            improvement.append({"setting": name, **against_incumbent(folds, weights, k, setting.alpha)})
    return {
        "queries": [len(fold.answered.score) for fold in folds],
        "promise": promise,
        "by_decile": deciles,
        "risk_coverage": risk,
        "improvement": improvement,
        "sweep": sweep_table(folds),
        "sweep_ends": sweep_ends(folds),
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
            "standard_error": float((score[part] - promised[part]).std() / np.sqrt(len(part))),
            "queries": len(part),
        }
        for part in order
        if len(part)
    ]


def against_mixture(folds: Sequence[Fold], weights: Sequence[np.ndarray], k: int) -> dict[str, float]:
    """Relative saving against the cheapest static mixture of equal accuracy, which may be chosen with hindsight.

    ``same_queries``: the mixture answers the queries that the policy answered. ``same_share``: it answers as large a share, drawn at
    random, so that the two answer different queries. Where no mixture is as accurate, it is the most accurate LLM: then the policy is
    more accurate, and the saving is beside that; ``more_accurate_...`` is the share of the folds of which this is so. Averages over
    folds, weighted by answered queries; NaN where nothing was answered.
    """
    ones = [np.ones((1, len(fold.answered.score))) for fold in folds]
    result: dict[str, float] = {}
    for name, same in (("same_queries", True), ("same_share", False)):
        value, beyond = saving(folds, ones, k, same)
        result |= interval(f"saving_{name}", value[0], saving(folds, weights, k, same)[0])
        result[f"more_accurate_{name}"] = float(beyond[0])
    return result


def saving(
    folds: Sequence[Fold], weights: Sequence[np.ndarray], k: int, same_queries: bool
) -> tuple[np.ndarray, np.ndarray]:
    ours, mixed, beyond = (np.zeros(len(weights[0])) for _ in range(3))
    for fold, weight in zip(folds, weights, strict=True):
        some = fold.found[k].answered.astype(np.float64)
        count = np.maximum(weight @ some, 1)
        accuracy = weight @ np.nan_to_num(chosen(fold, k, fold.answered.score)) / count
        basis = weight * some if same_queries else weight
        total = np.maximum(basis.sum(axis=1, keepdims=True), 1)
        singly = basis @ fold.answered.score / total
        reached = np.minimum(accuracy, singly.max(axis=1))
        beyond += (accuracy > reached) / len(folds)
        least = cheapest_mixture_cost(singly, basis @ fold.answered.cost_usd / total, reached)
        ours = ours + weight @ np.nan_to_num(chosen(fold, k, fold.answered.cost_usd))
        mixed = mixed + least * count
    saved = 1 - ours / np.where((ours > 0) & (mixed > 0), mixed, np.nan)  # NaN where nothing was answered
    return saved, beyond


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


def sweep_ends(folds: Sequence[Fold]) -> dict[str, float]:
    """Mean expected spend at alpha 0 and 1, their ratio, and what the ends are to be near: the lowest expected cost of any LLM for each
    query, and the dearest useful choice, the LLM with the highest mean score alone (observed, as is the spend that it is compared with).
    """
    at = {one.alpha: k for k, one in enumerate(folds[0].settings) if isinstance(one.policy, ExpectedUtility)}
    low, high = at[min(at)], at[max(at)]
    least = float(np.mean([fold.found[low].expected_cost.mean() for fold in folds]))
    most = float(np.mean([fold.found[high].expected_cost.mean() for fold in folds]))
    accurate = [fold.answered.cost_usd[:, fold.answered.score.mean(axis=0).argmax()].mean() for fold in folds]
    return {
        "alpha_0_usd": least,
        "alpha_1_usd": most,
        "ratio": most / least if least > 0 else float("inf"),
        "cheapest_usd": float(np.mean([fold.cheapest.expected_cost.mean() for fold in folds])),
        "alpha_1_observed_usd": float(
            np.mean([chosen(fold, high, fold.answered.cost_usd).mean() for fold in folds])
        ),
        "most_accurate_alone_usd": float(np.mean(accurate)),
    }


def decile_gaps(deciles: dict[str, list[dict[str, float]]]) -> pd.DataFrame:
    rows = [
        {
            "setting": name,
            **{str(k): part["accuracy"] - part["promised"] for k, part in enumerate(parts, start=1)},
        }
        for name, parts in deciles.items()
    ]
    return pd.DataFrame(rows)


def decision_table(decision: dict[str, Any]) -> pd.DataFrame:
    times = decision["milliseconds"]
    rows = [
        {"what": f"{name.replace('_', ' ')}, {times['llms']} LLMs, {times['draws']} draws", "ms": value}
        for name, value in times.items()
        if name not in ("draws", "llms")
    ]
    rows += [
        {"what": name, "decisions changed": one["changed"], "utility lost": one["utility_lost"]}
        for name, one in decision.items()
        if name != "milliseconds"
    ]
    return pd.DataFrame(rows)


def checks(
    pooled: dict[str, Any], repeated: dict[str, dict[str, Any]], decision: dict[str, Any]
) -> pd.DataFrame:
    """The criteria, and whether they hold."""
    rows: list[dict[str, Any]] = []

    def check(what: str, value: float, holds: bool) -> None:
        rows.append({"what": what, "value": value, "holds": bool(holds)})

    gaps = {row["setting"]: abs(row["gap"]) for row in pooled["promise"] if row["answered"] > 0}
    worst = max(gaps, key=lambda name: gaps[name])
    check(f"|score - promise| <= {PROMISE}, worst: {worst}", gaps[worst], gaps[worst] <= PROMISE)
    parts = [part for ones in pooled["by_decile"].values() for part in ones]
    gap = np.array([abs(part["accuracy"] - part["promised"]) for part in parts])
    error = np.array([part["standard_error"] for part in parts])
    inside = float((gap <= PROMISE).mean())
    check(f"the same by decile: share within {PROMISE}", inside, inside == 1.0)
    beyond = float((gap - 1.96 * error > PROMISE).mean())
    check(f"share of deciles whose 95 % interval lies beyond {PROMISE}: at most 5 %", beyond, beyond <= 0.05)
    for title, found in {"": pooled, **repeated}.items():
        told = f"{title}: " if title else ""
        for row in found["risk_coverage"]:
            if any(f"target={target} " in f"{row['setting']} " for target in JUDGED_TARGETS):
                for name, of in (
                    ("same_share", "at the same share, other queries drawn at random"),
                    ("same_queries", "on the same queries"),
                ):
                    low = row[f"saving_{name}_lower"]
                    check(
                        f"{told}{row['setting']}, {row['answered']:.0%} answered: lower end of the saving {of} > 0",
                        low,
                        low > 0 and row["answered"] >= 0.5,
                    )
        for row in found["improvement"]:
            low = row["reward_gain_lower"]
            check(
                f"{told}{row['setting']}: lower end >= {WORST_LOSS}, mean > 0",
                low,
                low >= WORST_LOSS and row["reward_gain"] > 0,
            )
        grew = float(np.mean([row["expected_usd_grew"] for row in found["sweep"]]))
        check(f"{told}expected spend never falls as alpha grows", grew, grew == 1.0)
        ends = found["sweep_ends"]
        check(f"{told}expected spend at alpha 1 / at alpha 0: above 1", ends["ratio"], ends["ratio"] > 1)
        above = ends["alpha_0_usd"] / ends["cheapest_usd"] if ends["cheapest_usd"] > 0 else 1.0
        check(
            f"{told}expected spend at alpha 0 / cheapest possible: within {NEAR:.0%}",
            above,
            above <= 1 + NEAR,
        )
        useful = ends["alpha_1_observed_usd"] / ends["most_accurate_alone_usd"]
        check(
            f"{told}spend at alpha 1 / that of the most accurate LLM alone: within a factor of {USEFUL:g}",
            useful,
            1 / USEFUL <= useful <= USEFUL,
        )
    times = decision["milliseconds"]
    share = (times["predict_one"] + times["decide_one"]) / times["embed_one"]
    timed = f"{times['predict_one']:.2f} + {times['decide_one']:.2f} of {times['embed_one']:.2f} ms"
    check(
        f"(prediction + decision) / embedding <= {DECISION_SHARE:g}: {timed}", share, share <= DECISION_SHARE
    )
    return pd.DataFrame(rows)


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        sys.exit("\n".join(f"error: {problem}" for problem in error.problems))
