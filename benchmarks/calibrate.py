"""Place LLMs that a model was fitted without, from few of their answers, and judge it against what all their answers say.

    .venv/bin/python benchmarks/calibrate.py --data ../shared/data/zeroeval --model runs/fold-0 --model runs/fold-1 ...

Every LLM of the data that a model does not know, and that answered all the queries of its bank, is placed from 0, 5, 10, 20 and
50 answers. The estimate is of its accuracy over the whole bank; the truth is that accuracy. One JSON line for each model and LLM is
appended to benchmarks/results/calibrate-NAME.jsonl, NAME being the data folder's, and LLMs that have a line are not placed again; the
tables pool all lines. Reported are

- error and 90 % coverage of adaptive questions (expected variance reduction) and of random ones from the same posterior;
- controls: a set chosen once for all by D-optimality; on the random questions the shrunken mean, the plug-in of posterior mean items
  (point estimates, the way of tinyBenchmarks), and the accuracy of the fitted LLM that agrees most;
- the routing regret with the LLM placed from 20 answers, as a share of what adding it brings (alpha 0.8), over the queries of
  the data that the model was not fitted to, among LLMs that answered all of these;
- seconds a response, for placing and choosing.
"""

import argparse
import json
import os
import platform
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayes_irt_router.calibration.ability_prior import AbilityPrior, aligned_prior, new_llm_prior
from bayes_irt_router.calibration.accuracy import Estimate, replicated_scores
from bayes_irt_router.calibration.answers import Answer, scores_and_trials
from bayes_irt_router.calibration.items import ItemBank, Items
from bayes_irt_router.calibration.likelihood import Evidence, gaussian_proposal
from bayes_irt_router.calibration.placing import Placement, place
from bayes_irt_router.calibration.pricing import with_llm_cost
from bayes_irt_router.calibration.selection import Choosable, task_shares
from bayes_irt_router.calibration.session import Setup, next_queries, state
from bayes_irt_router.calibration.targets import Target
from bayes_irt_router.data.canonical import read_dataset
from bayes_irt_router.data.cost import CostModel, observed_cost
from bayes_irt_router.evaluation.routing_metrics import observed_on_every_query, reward
from bayes_irt_router.irt.response import ItemDistribution, expected_p_correct, item_distribution
from bayes_irt_router.routing.policies import choose, expected_utility
from bayes_irt_router.routing.router import Router

RESULTS = Path(__file__).parent / "results"
COUNTS = (0, 5, 10, 20, 50)
LEVEL, ALPHA, BOOTSTRAPS = 0.9, 0.8, 4000
ROUTED_AT = 20


class Fold:
    """One fitted model, the data's answers on its bank, and what routing unseen queries needs."""

    def __init__(self, folder: Path, data: xr.Dataset):
        self.name = folder.name
        self.router = Router.load(folder)
        self.bank = ItemBank.of(self.router.posterior)
        self.own = data.sel(query=list(self.bank.query))
        self.known = [name for name in self.router.posterior.llm if name in data["llm"].values]
        self.known_scores = self.own["score"].sel(llm=self.known).values
        unseen = np.setdiff1d(data["query"].values.astype(str), self.bank.query)
        self.unseen = data.sel(query=unseen) if len(unseen) else None
        if self.unseen is not None:
            self.prepare_routing(self.unseen)

    def left_out(self) -> list[str]:
        """LLMs that the model does not know and that answered all of the bank."""
        complete = ~np.isnan(self.own["score"].values).any(axis=0)
        return [str(n) for n in self.own["llm"].values[complete] if n not in self.router.posterior.llm]

    def prepare_routing(self, unseen: xr.Dataset) -> None:
        """Item parameters of the unseen queries, and what is predicted of the known LLMs there."""
        posterior = self.router.posterior
        featurized = posterior.feature_map.apply(self.router.featurize(unseen))
        self.items = item_distribution(
            posterior.draws, featurized["features"].values, featurized["novelty"].values
        )
        ability = posterior.draws["ability"].sel(llm=self.known).values
        ability = ability.reshape(-1, *ability.shape[2:])
        self.known_p = np.concatenate(
            [
                expected_p_correct(ability, of_queries(self.items, part)).mean(axis=0)
                for part in np.array_split(
                    np.arange(unseen.sizes["query"]), max(1, unseen.sizes["query"] // 64)
                )
            ]
        )
        self.cost = CostModel.from_dict(posterior.record["cost"])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path, action="append", required=True)
    parser.add_argument("--repeats", type=int, default=3, help="random question lists for each LLM")
    parser.add_argument("--selector", action="append", default=[], help="more selectors to compare")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--assume-output-tokens", type=int, default=None)
    parser.add_argument("--output", type=Path, default=None)
    arguments = parser.parse_args()
    output = arguments.output or RESULTS / f"calibrate-{arguments.data.name}.jsonl"
    output.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.loads(line) for line in output.read_text("utf-8").splitlines()] if output.exists() else []
    done = {(line["model"], line["llm"]) for line in lines}
    data = read_dataset(arguments.data)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout
    for folder in arguments.model:
        fold = Fold(folder, data)
        for llm in fold.left_out():
            if (fold.name, llm) in done:
                continue
            line = {
                "data": arguments.data.name,
                "model": fold.name,
                "llm": llm,
                "commit": commit.strip(),
                "seed": arguments.seed,
                "gate_passed": fold.router.posterior.gate.passed,
                "cores": os.cpu_count(),
                "machine": f"{platform.machine()}, Python {platform.python_version()}",
                **placed(fold, llm, arguments),
            }
            lines.append(line)
            with output.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
            print(f"{fold.name}: {llm} placed", flush=True)
    for title, table in tables(lines):
        print(f"\n{title}\n{table.round(4).to_string()}")


def placed(fold: Fold, llm: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Estimates by method and number of answers, the routing regret, and the time a response took."""
    bank, scores = fold.bank, fold.own["score"].sel(llm=llm).values
    info = {
        str(name): fold.own[name].sel(llm=llm).item()
        for name in fold.own.coords
        if fold.own[name].dims == ("llm",)
    }
    prior = new_llm_prior(fold.router.posterior, {n: v for n, v in info.items() if v == v and v != ""})
    open_ = np.ones(len(bank.query), dtype=bool)
    choosable = Choosable(open_, np.ones(len(bank.query)), task_shares(bank, open_))

    def answer(i: int) -> Answer:
        told = {
            name: float(fold.own[name].sel(llm=llm).values[i]) if name in fold.own else np.nan
            for name in ("input_tokens", "output_tokens", "cost_usd")
        }
        read, wrote, usd = (None if np.isnan(value) else value for value in told.values())
        return Answer(bank.query[i], float(scores[i]), 1, read, wrote, usd)

    def setup(selector: str, seed: int) -> Setup:
        return Setup(bank, prior, Target(), choosable, False, selector, seed)

    estimates: list[dict[str, Any]] = []
    seconds: list[float] = []
    asked_at: dict[str, list[Answer]] = {}
    for selector in ("variance", "random", *arguments.selector):
        for repeat in range(arguments.repeats if selector == "random" else 1):
            own = setup(selector, arguments.seed + repeat)
            answers: list[Answer] = []
            for n in range(max(COUNTS) + 1):
                start = time.perf_counter()
                now = state(own, answers)
                choice = next_queries(own, now, 1)[0].position
                if selector == "variance" and n:
                    seconds.append(time.perf_counter() - start)
                if n in COUNTS:
                    method = "adaptive" if selector == "variance" else selector
                    estimates.append({"method": method, "n": n, **judged(bank, now.placement, answers, n)})
                    if selector == "random":
                        estimates += controls(fold, prior, answers, n)
                    if selector == "variance" and n == ROUTED_AT:
                        asked_at[llm] = list(answers)
                answers.append(answer(choice))
    static = [
        answer(choice.position)
        for choice in next_queries(setup("fisher", 0), state(setup("fisher", 0), []), max(COUNTS))
    ]
    for n in COUNTS:
        placement = place(bank, prior, static[:n], np.random.default_rng([arguments.seed, n]))
        estimates.append({"method": "static D-optimal", "n": n, **judged(bank, placement, static[:n], n)})
    true = float(scores.mean())
    everything = [answer(i) for i in range(len(scores))]
    return {
        "true": true,
        "estimates": estimates,
        "seconds_per_response": float(np.mean(seconds)),
        "routing": routing(fold, llm, info, prior, asked_at[llm], everything, arguments.assume_output_tokens),
    }


def judged(bank: ItemBank, placement: Placement, answers: Sequence[Answer], n: int) -> dict[str, Any]:
    draws = replicated_scores(bank, placement, answers, np.random.default_rng(n)).mean(axis=1)
    found = Estimate.of(draws, LEVEL)
    return {
        "estimate": found.mean,
        "lower": found.lower,
        "upper": found.upper,
        "mode": placement.mode,
        "k_hat": None if np.isnan(placement.k_hat) else placement.k_hat,
        "effective_draws": placement.effective_draws,
    }


def controls(fold: Fold, prior: AbilityPrior, answers: list[Answer], n: int) -> list[dict[str, Any]]:
    """What simpler ways make of the same random answers."""
    bank, rng = fold.bank, np.random.default_rng(n)
    positions = bank.positions([answer.query for answer in answers])
    score, trials = scores_and_trials(answers)
    accuracy = np.nanmean(fold.known_scores, axis=0)
    centre, variance = float(accuracy.mean()), float(accuracy.var(ddof=1))
    strength = max(centre * (1 - centre) / variance - 1.0, 0.0)
    shrunken = (score.sum() + strength * centre) / (n + strength)
    found = [{"method": "shrunken mean", "n": n, "estimate": float(shrunken)}]

    agreement = (
        -np.nanmean(np.abs(fold.known_scores[positions] - score[:, None]), axis=0) if n else accuracy * 0
    )
    nearest = float(accuracy[agreement >= agreement.max() - 1e-12].mean())
    found.append({"method": "nearest LLM", "n": n, "estimate": nearest})

    mean = bank.drawn.mean(axis=0, dtype=np.float64)[None]
    pooled = aligned_prior(prior, bank.rotations)
    covariance = np.median(np.matmul(pooled.factor, np.swapaxes(pooled.factor, 1, 2)), axis=0)
    plain = AbilityPrior(
        pooled.mean.mean(axis=0)[None], np.linalg.cholesky(covariance)[None], "posterior means, plugged in"
    )
    items = Items(
        mean[:, positions],
        np.zeros((n, mean.shape[2], mean.shape[2])),
        bank.graded[positions],
        bank.score_precision[:1],
    )
    z, spread = gaussian_proposal(Evidence(items, score, trials), plain)
    draws = z[0] + rng.standard_normal((1000, z.shape[1])) @ np.linalg.cholesky(spread[0]).T
    theta = plain.mean[0] + np.vstack([z, draws]) @ plain.factor[0].T
    p = 1.0 / (1.0 + np.exp(mean[0, :, -1] - theta @ mean[0, :, :-1].T))
    replicated = (rng.random(p.shape) < p).astype(float)
    p[:, positions], replicated[:, positions] = score, score
    lower, upper = np.quantile(replicated[1:].mean(axis=1), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    plugged = {"estimate": float(p[0].mean()), "lower": float(lower), "upper": float(upper)}
    return [*found, {"method": "point estimates", "n": n, **plugged}]


def routing(
    fold: Fold,
    llm: str,
    info: dict[str, Any],
    prior: AbilityPrior,
    few: list[Answer],
    everything: list[Answer],
    assume_output_tokens: int | None,
) -> dict[str, float] | None:
    """Reward on unseen queries without the LLM, with it placed from few answers, and from all; None where it cannot be told."""
    if fold.unseen is None:
        return None
    data = fold.unseen.sel(llm=[*fold.known, llm])
    actual = observed_cost(data, assume_output_tokens)
    candidates = observed_on_every_query(data["score"].values, actual)
    if not candidates[-1] or candidates.sum() < 2:
        return None
    texts = dict(zip(fold.own["query"].values, fold.own["text"].values, strict=True))
    characters = {query: len(str(text)) for query, text in texts.items()}
    rewards = {}
    for name, answers in (("few", few), ("all", everything)):
        placement = place(fold.bank, prior, answers, np.random.default_rng(0))
        p = np.column_stack([fold.known_p, predicted(fold, placement)])
        cost = with_llm_cost(fold.cost, llm, info, answers, characters)
        columns = [cost.llm.index(n) for n in [*fold.known, llm]]
        usd = cost.known_cost(data["text"].values.tolist())[:, columns]
        utility = expected_utility(p, usd, alpha=ALPHA, scale=cost.scale_usd)
        for label, allowed in (
            (name, candidates),
            ("without", candidates & (np.arange(len(candidates)) < len(fold.known))),
        ):
            choice = choose(np.where(allowed, utility, -np.inf), allowed)
            positions = np.cumsum(candidates)[choice] - 1
            rewards[label] = reward(
                positions, data["score"].values[:, candidates], actual[:, candidates], ALPHA
            )
    return rewards


def predicted(fold: Fold, placement: Placement) -> np.ndarray:
    """Posterior mean of p_correct of one LLM on the unseen queries."""
    ability = placement.ability[:, None, :].astype(np.float32)
    parts = np.array_split(np.arange(fold.known_p.shape[0]), max(1, fold.known_p.shape[0] // 256))
    means = []
    for part in parts:
        items = of_queries(fold.items, part)
        taken = ItemDistribution(
            items.difficulty_mean[placement.index],
            items.difficulty_sd[placement.index],
            items.discrimination_mean[placement.index],
            items.discrimination_sd[placement.index],
        )
        means.append(expected_p_correct(ability, taken).mean(axis=0)[:, 0])
    return np.concatenate(means)


def of_queries(items: ItemDistribution, part: np.ndarray) -> ItemDistribution:
    return ItemDistribution(
        items.difficulty_mean[:, part],
        items.difficulty_sd[:, part],
        items.discrimination_mean[:, part],
        items.discrimination_sd[:, part],
    )


def tables(lines: list[dict[str, Any]]) -> list[tuple[str, pd.DataFrame]]:
    """Error and coverage by method and number of answers with 95 % bootstrap intervals over LLMs; paired ratios; routing; time."""
    rows = pd.DataFrame(
        [{"llm": line["llm"], "true": line["true"], **e} for line in lines for e in line["estimates"]]
    )
    rows["error"] = (rows["estimate"] - rows["true"]).abs()
    covered = rows["true"].between(rows["lower"], rows["upper"]).astype(float)
    rows["covered"] = covered.where(rows["lower"].notna())
    by = rows.groupby(["method", "n", "llm"], sort=False)[["error", "covered"]].mean()
    rng = np.random.default_rng(0)
    found = []
    for (method, n), part in by.groupby(level=["method", "n"], sort=False):
        errors, inside = part["error"].to_numpy(), part["covered"].to_numpy()
        low, high = interval(errors, rng)
        row = {
            "method": method,
            "n": n,
            "llms": len(part),
            "error": errors.mean(),
            "error low": low,
            "error high": high,
        }
        if not np.isnan(inside).any():
            low, high = interval(inside, rng)
            row |= {"coverage 90%": inside.mean(), "coverage low": low, "coverage high": high}
        found.append(row)
    wide = by["error"].unstack("method")
    ratios = []
    for n in sorted(set(rows["n"]) - {0}):
        pair = wide.xs(n, level="n")[["adaptive", "random"]].dropna().to_numpy()
        picks = rng.integers(len(pair), size=(BOOTSTRAPS, len(pair)))
        sums = pair[picks].sum(axis=1)
        ratio = np.quantile(sums[:, 0] / sums[:, 1], [0.025, 0.975])
        ratios.append(
            {"n": n, "ratio": pair[:, 0].sum() / pair[:, 1].sum(), "low": ratio[0], "high": ratio[1]}
        )
    result = [("Error and coverage", pd.DataFrame(found)), ("Error, adaptive / random", pd.DataFrame(ratios))]
    routed = [line["routing"] for line in lines if line["routing"] is not None]
    if routed:
        gain = np.array([r["all"] - r["without"] for r in routed])
        regret = np.array([r["all"] - r["few"] for r in routed])
        useful = gain > 0
        share = regret[useful].sum() / gain[useful].sum() if useful.any() else float("nan")
        numbers = {
            "llms": len(routed),
            "llms that help": int(useful.sum()),
            "gain": gain[useful].mean() if useful.any() else np.nan,
        }
        numbers |= {"regret / gain": share, "mean regret, all": regret.mean()}
        result.append((f"Routing with {ROUTED_AT} answers, alpha {ALPHA:g}", pd.DataFrame([numbers])))
    seconds = pd.DataFrame(
        [{"seconds a response": np.mean([line["seconds_per_response"] for line in lines])}]
    )
    return [*result, ("Time", seconds)]


def interval(values: np.ndarray, rng: np.random.Generator) -> tuple[float, float]:
    means = values[rng.integers(len(values), size=(BOOTSTRAPS, len(values)))].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


if __name__ == "__main__":
    main()
