"""Place LLMs that a model was fitted without, from few of their answers, and judge it against what all their answers say.

    .venv/bin/python benchmarks/folds.py --data ../shared/data/zeroeval --protocol llms --no-baselines
    .venv/bin/python benchmarks/calibrate.py --data ../shared/data/zeroeval

reads the posteriors that the first command left in runs/folds (`--runs`). Each fold's left-out LLMs that answered all the queries of its
bank are placed from 0, 5, 10, 20 and 50 answers. The estimate is of the accuracy over the whole bank; the truth is that accuracy.
One JSON line for each LLM goes to benchmarks/results/calibrate-NAME.jsonl, NAME being the data folder's, and an LLM with a line of the same
fit is not placed again: interrupt and repeat at will. The tables pool all lines; they go to calibrate-NAME.json and .md. Reported are

- error and 90 % coverage of adaptive questions (expected variance reduction; several sequences an LLM: chance has a part in what is asked),
  and of random ones fed to the same posterior, drawn from all queries or balanced over tasks;
- controls: a set chosen once for all by D-optimality; on the random questions the shrunken mean, the plug-in of posterior mean items
  (a 2PL of several traits scored by point estimates, the way of tinyBenchmarks), and the accuracy of the fitted LLM that agrees most;
- the routing regret with the LLM placed from 20 answers, as a share of what adding it brings, over the first query fold, which
  the model was not fitted to, among all LLMs that answered all of it and in small pools of them (`placed_routing.py`); with questions
  chosen for overall accuracy, and with as many chosen for that of each task, and for regret;
- milliseconds a response, for placing and choosing: wall and processor time, the median of all responses and of the last few.

`benchmarks/placing_reference.py` compares the placing's posterior with NUTS.
"""

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import placed_routing
import xarray as xr
from fold_models import RUNS, FoldModel, fold_models
from provenance import provenance

from bayes_irt_router.calibration.ability_prior import AbilityPrior, aligned_prior, new_llm_prior
from bayes_irt_router.calibration.accuracy import Estimate, replicated_scores
from bayes_irt_router.calibration.answers import Answer, scores_and_trials
from bayes_irt_router.calibration.coarsening import chosen_weight
from bayes_irt_router.calibration.items import ItemBank, Items
from bayes_irt_router.calibration.likelihood import Evidence, gaussian_proposal
from bayes_irt_router.calibration.placing import Placement, place
from bayes_irt_router.calibration.pricing import with_llm_cost
from bayes_irt_router.calibration.selection import Choosable, task_shares
from bayes_irt_router.calibration.session import ASKING_DRAWS, Setup, next_queries, state
from bayes_irt_router.calibration.targets import Stakes, Target, routing_stakes
from bayes_irt_router.data.canonical import read_dataset
from bayes_irt_router.data.files import atomic_path
from bayes_irt_router.errors import InputError
from bayes_irt_router.irt.response import ItemDistribution, abilities, item_distribution
from bayes_irt_router.report.json_text import json_text, plain
from bayes_irt_router.report.tables import markdown_table

RESULTS = Path(__file__).parent / "results"
COUNTS = (0, 5, 10, 20, 50)
LEVEL, BOOTSTRAPS = 0.9, 4000
ROUTED_AT = 20
LAST = 5  # responses whose time is stated beside the median of all: it grows with the number of answers
# What is to hold: see checks().
LARGEST_RATIO, LARGEST_ERROR, LARGEST_SHARE, LARGEST_MS = 0.8, {20: 0.035, 50: 0.025}, 0.2, 50.0


class Bank:
    """A fold's model, the data's answers on its bank, and what routing unseen queries needs."""

    def __init__(self, model: FoldModel, data: xr.Dataset):
        self.model, self.router = model, model.router
        self.bank = ItemBank.of(self.router.posterior)
        self.own = data.sel(query=list(self.bank.query))
        self.known = [name for name in self.router.posterior.llm if name in data["llm"].values]
        self.known_scores = self.own["score"].sel(llm=self.known).values
        self.unseen = data.sel(query=model.fold.test["query"].values)  # the fold's test lacks the held LLMs

    def left_out(self) -> list[str]:
        """LLMs that the model does not know and that answered all of the bank."""
        complete = ~np.isnan(self.own["score"].values).any(axis=0)
        return [str(n) for n in self.own["llm"].values[complete] if n not in self.router.posterior.llm]

    @cached_property
    def items(self) -> ItemDistribution:
        """Item parameters of the unseen queries."""
        posterior = self.router.posterior
        featurized = posterior.feature_map.apply(self.router.featurize(self.unseen))
        given = (featurized[name].values for name in ("features", "novelty", "unseen"))
        return item_distribution(posterior.draws, *given)

    @cached_property
    def known_p(self) -> np.ndarray:
        """What is predicted of the known LLMs on the unseen queries."""
        ability = abilities(self.router.posterior.draws.sel(llm=self.known))
        return placed_routing.expected_p_correct(self.items, np.arange(len(ability)), ability)


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
    parser.add_argument("--repeats", type=int, default=3, help="random question lists for each LLM")
    parser.add_argument(
        "--sequences",
        type=int,
        default=3,
        help="sequences of chosen questions for each LLM, each with a seed",
    )
    parser.add_argument("--selector", action="append", default=[], help="more selectors to compare")
    parser.add_argument("--most", type=int, default=None, help="at most so many LLMs of a fold: for a trial")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--assume-output-tokens", type=int, default=None)
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of the results")
    arguments = parser.parse_args()
    name = arguments.data.name
    base = arguments.output / f"calibrate-{name}"
    lines = read_lines(base.with_suffix(".jsonl"))
    data, made_with = read_dataset(arguments.data), provenance()
    for model in fold_models(arguments.runs, name, data, "llms", arguments.folds, arguments.unconverged):
        bank, fitted = Bank(model, data), model.router.posterior.record["fitted"]
        for llm in bank.left_out()[: arguments.most]:
            if any((line["llm"], line["fitted"]) == (llm, fitted) for line in lines):
                continue
            start = time.perf_counter()
            line = {
                "data": name,
                "llm": llm,
                "fitted": fitted,
                "seed": arguments.seed,
                **made_with,
                **model.about(),
                **placed(bank, llm, arguments),
            }
            lines = [one for one in lines if one["llm"] != llm] + [plain(line)]
            with atomic_path(base.with_suffix(".jsonl")) as temporary:
                text = "".join(json.dumps(one) + "\n" for one in lines)
                temporary.write_text(text, encoding="utf-8")
            print(f"{model.fold.name}: {llm} placed, {time.perf_counter() - start:.0f} s", flush=True)
    found = tables(lines)
    for title, table in found:
        print(f"\n{title}\n{table.round(4).to_string(index=False)}")
    facts = (
        f"{len(lines)} LLMs of {len({line['fold'] for line in lines})} folds; fitted at "
        f"{', '.join(sorted({line['fit_commit'] or 'an unknown commit' for line in lines}))}, "
        f"placed at {', '.join(sorted({line['commit'] for line in lines}))}. Intervals are 95 % by bootstrap over LLMs."
    )
    if not all(line["converged"] for line in lines):
        facts += " TRIAL: some folds have not converged."
    print(f"\n{facts}")
    told = {
        "data": name,
        **made_with,
        "facts": facts,
        **{title: table.to_dict(orient="records") for title, table in found},
    }
    written = [
        f"# calibrate-{name}",
        *(f"## {title}\n\n{markdown_table(table.set_index(table.columns[0]))}" for title, table in found),
        facts,
    ]
    for suffix, content in ((".json", json_text(plain(told))), (".md", "\n\n".join(written))):
        with atomic_path(base.with_suffix(suffix)) as temporary:
            temporary.write_text(content + "\n", encoding="utf-8")
    print(f"Written to {base}.json, .md and .jsonl.")


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []


def placed(fold: Bank, llm: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Estimates by method and number of answers, the routing regret, and the time a response took."""
    bank, scores, most = fold.bank, fold.own["score"].sel(llm=llm).values, max(COUNTS)
    info = {
        str(name): fold.own[name].sel(llm=llm).item()
        for name in fold.own.coords
        if fold.own[name].dims == ("llm",)
    }
    prior = new_llm_prior(fold.router.posterior, {n: v for n, v in info.items() if v == v and v != ""})
    open_ = np.ones(len(bank.query), dtype=bool)
    choosable = Choosable(open_, np.ones(len(bank.query)), task_shares(bank, open_))
    counted = {
        name: fold.own[name].sel(llm=llm).values
        for name in ("input_tokens", "output_tokens", "cost_usd")
        if name in fold.own
    }

    def answer(i: int) -> Answer:
        told: dict[str, Any] = {
            name: float(values[i]) for name, values in counted.items() if values[i] == values[i]
        }
        return Answer(bank.query[i], float(scores[i]), **told)

    def setup(selector: str, seed: int, target: Target | None = None) -> Setup:
        return Setup(bank, prior, target or Target(), choosable, False, selector, seed)

    estimates: list[dict[str, Any]] = []
    wall = np.full((arguments.sequences, most + 1), np.nan)  # nothing is placed before the first answer
    processor = wall.copy()
    few: list[list[Answer]] = []
    for selector in ("variance", *arguments.selector):
        for sequence in range(arguments.sequences):
            own, answers = setup(selector, arguments.seed + sequence), list[Answer]()
            for n in range(most + 1):
                started = time.perf_counter(), time.process_time()
                choice = next_queries(own, state(own, answers, ASKING_DRAWS), 1)[0].position
                if selector == "variance" and n:
                    wall[sequence, n] = time.perf_counter() - started[0]
                    processor[sequence, n] = time.process_time() - started[1]
                if n in COUNTS:
                    method = "adaptive" if selector == "variance" else selector
                    placement = state(own, answers).placement  # over all draws, as a calibration ends
                    estimates.append({"method": method, "n": n, **judged(bank, placement, answers, n)})
                if selector == "variance" and n == ROUTED_AT:
                    few.append(list(answers))
                answers.append(answer(choice))
    asked = {"accuracy": few, "tasks": list[list[Answer]](), "regret": list[list[Answer]]()}
    for target in (Target("tasks"), Target("regret", stakes(fold, llm, info))):
        for sequence in range(arguments.sequences):
            own, answers = setup("variance", arguments.seed + sequence, target), []
            while len(answers) < ROUTED_AT:
                answers.append(answer(next_queries(own, state(own, answers, ASKING_DRAWS), 1)[0].position))
            asked[target.name].append(answers)

    begin = state(setup("fisher", arguments.seed), [])
    lists = {("static D-optimal", 0): [c.position for c in next_queries(setup("fisher", 0), begin, most)]}
    for repeat in range(arguments.repeats):
        rng = np.random.default_rng([arguments.seed, repeat])
        balanced = next_queries(setup("random", arguments.seed + repeat), begin, most)
        lists["random", repeat] = rng.permutation(len(scores))[:most].tolist()
        lists["random by task", repeat] = [choice.position for choice in balanced]
    for (method, repeat), positions in lists.items():
        for n in COUNTS:
            answers = [answer(i) for i in positions[:n]]
            placement = place(bank, prior, answers, np.random.default_rng([arguments.seed, repeat, n]))
            estimates.append({"method": method, "n": n, **judged(bank, placement, answers, n)})
            if method == "random":
                estimates += controls(fold, prior, answers, n)
    everything = [answer(i) for i in range(len(scores))]
    return {
        "true": float(scores.mean()),
        "estimates": estimates,
        "ms_per_response": {
            "wall": 1000 * float(np.nanmedian(wall)),
            "processor": 1000 * float(np.nanmedian(processor)),
            f"wall, last {LAST}": 1000 * float(np.median(wall[:, -LAST:])),
            f"processor, last {LAST}": 1000 * float(np.median(processor[:, -LAST:])),
            "llms": len(fold.router.posterior.llm),
            "queries": len(bank.query),
        },
        "sequences": arguments.sequences,
        "routing": routing(fold, llm, info, prior, asked, everything, arguments),
    }


def stakes(fold: Bank, llm: str, info: dict[str, Any]) -> Stakes:
    """What the LLM has to beat at the first alpha, by prices and texts alone."""
    texts = [str(text) for text in fold.own["text"].values]
    cost = with_llm_cost(
        fold.router.cost, llm, info, [], dict(zip(fold.bank.query, map(len, texts), strict=True))
    )
    share = cost.known_cost(texts) / cost.scale_usd
    return routing_stakes(fold.bank, llm, cost.llm, share, placed_routing.ALPHAS[0])


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


def controls(fold: Bank, prior: AbilityPrior, answers: list[Answer], n: int) -> list[dict[str, Any]]:
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
    fold: Bank,
    llm: str,
    info: dict[str, Any],
    prior: AbilityPrior,
    asked: Mapping[str, list[list[Answer]]],
    everything: list[Answer],
    arguments: argparse.Namespace,
) -> list[dict[str, Any]] | None:
    """Rewards on unseen queries, see :func:`placed_routing.rewards`."""
    data = fold.unseen.sel(llm=[*fold.known, llm])
    texts = dict(zip(fold.own["query"].values, fold.own["text"].values, strict=True))
    characters = {query: len(str(text)) for query, text in texts.items()}
    sequences = {**asked, "all": [everything]}
    placed: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {name: [] for name in sequences}
    for name, answers in ((name, one) for name, several in sequences.items() for one in several):
        weight = 1.0 if name == "all" else chosen_weight(len(answers))
        placement = place(fold.bank, prior, answers, np.random.default_rng(0), weight=weight)
        cost = with_llm_cost(fold.router.cost, llm, info, answers, characters)
        columns = [cost.llm.index(n) for n in [*fold.known, llm]]
        p = placed_routing.expected_p_correct(fold.items, placement.index, placement.ability[:, None])
        placed[name].append((p[:, 0], cost.known_cost(data["text"].values.tolist())[:, columns]))
    return placed_routing.rewards(
        data,
        fold.known_p,
        placed,
        cost.scale_usd,
        arguments.assume_output_tokens,
        arguments.seed,
    )


def tables(lines: list[dict[str, Any]]) -> list[tuple[str, pd.DataFrame]]:
    """Error and coverage by method and number of answers; paired ratios; routing; time; and what was to hold."""
    rows = pd.DataFrame(
        [{"llm": line["llm"], "true": line["true"], **e} for line in lines for e in line["estimates"]]
    )
    rows["error"] = (rows["estimate"] - rows["true"]).abs()
    covered = rows["true"].between(rows["lower"], rows["upper"]).astype(float)
    rows["covered"] = covered.where(rows["lower"].notna())
    by = rows.groupby(["method", "n", "llm"], sort=False)[["error", "covered"]].mean()
    rng = np.random.default_rng(0)
    errors = pd.DataFrame(
        [
            {
                "method": method,
                "n": n,
                "llms": len(part),
                **interval("error", part["error"].to_numpy(), rng),
                **share_interval("coverage 90%", part["covered"].to_numpy()),
            }
            for (method, n), part in by.groupby(level=["method", "n"], sort=False)
        ]
    )
    wide = by["error"].unstack("method")
    ratios = pd.DataFrame(
        [
            {
                "n": n,
                "against": other,
                **ratio(wide.xs(n, level="n")[["adaptive", other]].dropna().to_numpy(), rng),
            }
            for other in ("random", "random by task", "static D-optimal")
            for n in COUNTS[1:]
        ]
    )
    joint = rows[rows["k_hat"].notna()] if "k_hat" in rows else rows.iloc[:0]
    how = pd.DataFrame(
        [
            {
                "n": n,
                "largest k-hat": part["k_hat"].max(),
                "fewest effective draws": part["effective_draws"].min(),
                "share joint": float((part["mode"] == "joint").mean()),
            }
            for n, part in joint.groupby("n")
        ]
    )
    result = [
        ("Error and coverage", errors),
        ("Error of adaptive questions, relative", ratios),
        ("How the LLMs were placed", how),
    ]
    routed = [line["routing"] for line in lines if line["routing"] is not None]
    share = None
    if routed:
        share = placed_routing.table(routed, rng)
        result.append((f"Routing with {ROUTED_AT} answers", share))
    times = pd.DataFrame([line["ms_per_response"] for line in lines])
    result.append(("Milliseconds a response, median of the LLMs", times.median().to_frame().T))
    return [*result, ("What was to hold", checks(errors, ratios, share, times))]


def checks(
    errors: pd.DataFrame, ratios: pd.DataFrame, routed: pd.DataFrame | None, times: pd.DataFrame
) -> pd.DataFrame:
    """The criteria, and whether they hold."""
    rows: list[dict[str, Any]] = []

    def check(what: str, value: float, holds: bool) -> None:
        rows.append({"what": what, "value": float(value), "holds": bool(holds)})

    first = ratios[(ratios["n"] == ROUTED_AT) & (ratios["against"] == "random")]["ratio"].item()
    check(
        f"error, adaptive / random, at {ROUTED_AT} answers <= {LARGEST_RATIO}", first, first <= LARGEST_RATIO
    )
    own = errors[errors["method"] == "adaptive"].set_index("n")
    for n, largest in LARGEST_ERROR.items():
        check(f"error at {n} answers <= {largest}", own["error"][n], own["error"][n] <= largest)
    for n in own.index:
        row = own.loc[n]
        inside = row["coverage 90% low"] <= LEVEL <= row["coverage 90% high"]
        check(f"coverage at {n} answers: the interval holds {LEVEL}", row["coverage 90%"], inside)
    for row in [] if routed is None else routed.to_dict(orient="records"):
        value = row["regret / gain"]
        where = f"questions for {row['questions for']}, {row['pool']}, alpha {row['alpha']:g}"
        if value == value:  # there is a gain
            what = f"regret / gain with {ROUTED_AT} answers <= {LARGEST_SHARE}: {where}"
            check(what, value, value <= LARGEST_SHARE)
    for column, which in (
        ("wall", "a response"),
        (f"wall, last {LAST}", f"a response, of the last {LAST} of {max(COUNTS)}"),
    ):
        wall = times[column].median()
        check(f"milliseconds {which} <= {LARGEST_MS:g}", wall, wall <= LARGEST_MS)
    return pd.DataFrame(rows)


def ratio(pair: np.ndarray, rng: np.random.Generator) -> dict[str, float]:
    """Ratio of the mean errors, pairs of one LLM resampled together."""
    sums = pair[rng.integers(len(pair), size=(BOOTSTRAPS, len(pair)))].sum(axis=1)
    low, high = np.quantile(sums[:, 0] / sums[:, 1], [0.025, 0.975])
    return {"ratio": pair[:, 0].sum() / pair[:, 1].sum(), "low": float(low), "high": float(high)}


def interval(name: str, values: np.ndarray, rng: np.random.Generator) -> dict[str, float]:
    """Mean and 95 % interval; empty where a value is missing."""
    if np.isnan(values).any():
        return {}
    means = values[rng.integers(len(values), size=(BOOTSTRAPS, len(values)))].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return {name: float(values.mean()), f"{name} low": float(low), f"{name} high": float(high)}


def share_interval(name: str, values: np.ndarray) -> dict[str, float]:
    """Mean share and its 95 % interval (Wilson's), an LLM counting once: few LLMs that are all covered leave no resample uncovered."""
    if np.isnan(values).any():
        return {}
    share, square = float(values.mean()), 1.959964**2 / len(values)
    centre = (share + square / 2) / (1 + square)
    half = np.sqrt(square * (share * (1 - share) + square / 4)) / (1 + square)
    return {name: share, f"{name} low": centre - half, f"{name} high": centre + half}


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        sys.exit("\n".join(f"error: {problem}" for problem in error.problems))
