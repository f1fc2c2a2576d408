"""What policies' choices on test queries come to: promises, risk, savings, improvement, the sweep of alpha; pooled, with intervals."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bayes_irt_router.evaluation.policy_outcomes import (
    Answered,
    Outcomes,
    Setting,
)
from bayes_irt_router.evaluation.static_mixture import cheapest_mixture_cost
from bayes_irt_router.routing.correctness_policies import ChanceConstrained, MinSuccess
from bayes_irt_router.routing.policy_catalogue import policy_options
from bayes_irt_router.routing.utility_policies import (
    ExpectedUtility,
    ProbabilityOfImprovement,
)

JUDGED_TARGETS = (0.8, 0.9)
PROMISE, WORST_LOSS, DECISION_SHARE = 0.02, -0.2, 0.1  # what is to hold: see checks()
NEAR, USEFUL = (
    0.01,
    2.0,
)  # ends of the sweep: relative distance from the cheapest; factor from the most accurate LLM alone
RESAMPLES = 1000


@dataclass(frozen=True, eq=False)
class Fold:
    """One model on its test queries, and the settings' choices; `cheapest` are those of the lowest expected cost, whatever the rest."""

    answered: Answered
    incumbent: str
    settings: tuple[Setting, ...]
    found: tuple[Outcomes, ...]
    cheapest: Outcomes


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
