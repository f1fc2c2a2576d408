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
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from fold_models import RUNS, FoldModel, fold_models
from policy_figures import (
    RESAMPLES,
    Fold,
    checks,
    decile_gaps,
    decision_table,
    report,
)
from provenance import provenance

from bayes_irt_router.data.canonical import read_dataset
from bayes_irt_router.data.cost import observed_cost
from bayes_irt_router.data.files import atomic_path
from bayes_irt_router.errors import InputError
from bayes_irt_router.evaluation.fold_runs import write_lines
from bayes_irt_router.evaluation.frontier import best_on_fitted
from bayes_irt_router.evaluation.policy_outcomes import (
    Answered,
    Setting,
    answered_queries,
    outcomes,
)
from bayes_irt_router.report.json_text import json_text, plain
from bayes_irt_router.report.tables import markdown_table
from bayes_irt_router.routing.correctness_policies import ChanceConstrained, MinSuccess
from bayes_irt_router.routing.decision import decide
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
HIDDEN, HIDDEN_FACTOR = (
    "o1",
    4.0,
)  # LLMs whose hidden tokens are not counted, and what their output tokens are multiplied by
FEWER_DRAWS = (25, 50, 100, 200, 500)
TARGETS = (0.6, 0.7, 0.8, 0.85, 0.9, 0.95)
NO_TARGET = 1e-9  # of min_success, which then is the cheapest LLM for each query
SAME_SHARE = (
    "In `saving_same_share` the mixture answers as many queries, but others, drawn at random: a policy that answers the easy ones has "
    "that to its credit. In `saving_same_queries` it answers the very queries that the policy answered."
)


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


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        sys.exit("\n".join(f"error: {problem}" for problem in error.problems))
