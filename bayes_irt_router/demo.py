"""The main job on made-up data: simulate, fit, check, compare with the truth, evaluate, route."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from rich.console import Console

from bayes_irt_router.data.canonical import read_dataset, select_split
from bayes_irt_router.data.encoder import Encoder
from bayes_irt_router.data.featurize import featurize
from bayes_irt_router.data.files import tables_named, write_json
from bayes_irt_router.data.rehearsal import rehearse_directory, rehearse_file
from bayes_irt_router.data.simulation import TRUTH_FILE, read_truth, simulate, write_simulation
from bayes_irt_router.errors import InputError
from bayes_irt_router.evaluation.evaluate import evaluate
from bayes_irt_router.inference.fitting import fit
from bayes_irt_router.inference.nuts import NUTS
from bayes_irt_router.inference.posterior import Posterior
from bayes_irt_router.inference.storage import RECORD, save
from bayes_irt_router.irt.mirt import MIRT
from bayes_irt_router.report.json_text import plain
from bayes_irt_router.report.tables import decisions_frame, gate_table, interval_text, llm_frame, print_table
from bayes_irt_router.routing.prediction import predict_in_batches
from bayes_irt_router.routing.router import Router, routing_json

# So that the gate is passed with a margin, in about 80 s on two cores. The longer steps of a lower acceptance
# rate bring more effective draws of the scales, which mix slowest here.
SAMPLER = NUTS(draws=2400, tune=400, target_accept=0.7)
LANDMARKS = 48
LEVEL = 0.89
ALPHA = 0.8
PROMPTS = (
    "What is 48 * 17 - 205?",
    "What does this code print?\n\n```python\nvalues = [3, 1, 2]\nprint(max(values) * len(values))\n```",
    "Which city is the capital of Mongolia?\nA) Ulaanbaatar\nB) Astana\nC) Thimphu\nAnswer with one letter.",
    "A baker has 150 rolls. Then 36 are sold, twice as many are sold after noon and 15 are given away. How "
    "many rolls are left?",
)


@dataclass(frozen=True)
class Recovery:
    """The posterior against the truth behind simulated data, on queries that were not fitted.

    Attributes:
        table: one row an LLM: ``llm``; ``true``, its true mean probability of a correct answer over the
            queries; ``mean``, ``lower``, ``upper``, what the posterior says of it; ``ability`` and
            ``true_ability`` on the general trait.
        correlation: of true and predicted probability, over queries and LLMs.
        coverage: share of the LLMs' intervals that hold the true value.
        ability_correlation: of true and posterior mean ability on the general trait, over LLMs.
    """

    table: pd.DataFrame
    correlation: float
    coverage: float
    ability_correlation: float


def run_demo(
    directory: Path, *, seed: int, queries: int, console: Console, sampler: NUTS | None = None
) -> Recovery:
    """Run the main job, print a table for each step; write `data`, `model`, `evaluation.json`, `routes.json`.

    Args:
        directory: the folder to write to; what a demo wrote there before is replaced, other files stay.
        seed: of everything random.
        queries: number of simulated queries; a fifth of them is for the test.
        console: where the tables go; progress bars go to standard error.
        sampler: settings of NUTS, other than the demo's own.

    Returns:
        The comparison of the posterior with the truth.

    Raises:
        InputError: the folder cannot be written, or holds what no demo wrote.
    """
    refuse_foreign_data(directory / "data")
    rehearse_directory(directory / "model", replaces=RECORD)  # now rather than after the fit
    for name in ("evaluation.json", "routes.json"):
        rehearse_file(directory / name)

    # Every LLM answers every question, so that routing can be evaluated among all of them.
    simulation = simulate(np.random.default_rng(seed), queries=queries, observed=1.0)
    write_simulation(simulation, directory / "data")
    data = read_dataset(directory / "data")
    print_table(
        "1. Simulated benchmark",
        benchmark_frame(data),
        console,
        f"{data.sizes['llm']} simulated LLMs answered the questions; a fifth of these is for the test.",
    )

    encoder = Encoder()
    train, test = (featurize(select_split(data, split), encoder) for split in ("train", "test"))
    posterior = fit(MIRT(), train, sampler or SAMPLER, seed=seed, landmarks=LANDMARKS)
    save(posterior, directory / "model")
    console.print(gate_table(posterior.gate, "2. Convergence of the draws"), "")

    found = recovery(posterior, test, read_truth(directory / "data"), np.random.default_rng(seed))
    _print_recovery(found, test.sizes["query"], console)

    router = Router.load(directory / "model")
    evaluation = evaluate(router, select_split(data, "test"), seed=seed)
    write_json(directory / "evaluation.json", plain(evaluation.to_dict()))
    captions = (
        "Log loss, Brier, ECE: smaller is better; calibrated: ECE below its replicated 95 %, slope about 1.",
        "Reward is alpha * accuracy - (1 - alpha) * cost; the oracle knows the answers and is a ceiling.",
    )
    for (title, frame), caption in zip(evaluation.tables(), captions, strict=False):
        print_table(f"4. {title}", frame, console, caption)
    for note in evaluation.notes:
        console.print(note, markup=False)

    decisions = router.route(PROMPTS, alpha=ALPHA, level=LEVEL, seed=seed)
    write_json(directory / "routes.json", plain(routing_json(decisions, ALPHA)))
    print_table(
        "5. Routes of four new prompts",
        decisions_frame(PROMPTS, decisions),
        console,
        f"For each prompt the LLM of highest utility at alpha {ALPHA:g}: a dear one only where it pays.",
    )
    _print_next(directory, console)
    return found


def recovery(
    posterior: Posterior, queries: xr.Dataset, truth: xr.Dataset, rng: np.random.Generator
) -> Recovery:
    """Compare the posterior with the truth on queries that were not fitted.

    The intervals are of ``p_correct_conditional`` averaged over the queries: the truth holds each query's own
    residual, so what is unknown about it belongs into the interval.

    Args:
        posterior: the fitted model.
        queries: featurized, none of them fitted.
        truth: as `read_truth` returns it.
        rng: of the queries' residuals.
    """
    true = (
        truth["p_correct"]
        .sel(query=queries["query"].values, llm=posterior.llm)
        .transpose("query", "llm")
        .values
    )
    batches = list(predict_in_batches(posterior, queries, rng))
    predicted = np.concatenate([batch["p_correct"].mean(("chain", "draw")).values for batch in batches])
    totals = [batch["p_correct_conditional"].sum("query", dtype=np.float64).values for batch in batches]
    mean_score = (np.sum(totals, axis=0) / len(true)).reshape(-1, len(posterior.llm))
    lower, upper = np.quantile(mean_score, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    ability = llm_frame(posterior).set_index("llm")["ability"].loc[posterior.llm].to_numpy()
    true_ability = truth["ability"].sel(llm=posterior.llm).isel(trait=0).values
    table = pd.DataFrame(
        {
            "llm": posterior.llm,
            "true": true.mean(axis=0),
            "mean": mean_score.mean(axis=0),
            "lower": lower,
            "upper": upper,
            "ability": ability,
            "true_ability": true_ability,
        }
    )
    inside = (table["lower"] <= table["true"]) & (table["true"] <= table["upper"])
    return Recovery(
        table=table,
        correlation=float(np.corrcoef(true.ravel(), predicted.ravel())[0, 1]),
        coverage=float(inside.mean()),
        ability_correlation=float(np.corrcoef(true_ability, ability)[0, 1]),
    )


def benchmark_frame(data: xr.Dataset) -> pd.DataFrame:
    """One row a task: queries to fit and to test, mean score, and the best LLM on it with its mean score."""
    rows = []
    task, split, score = data["task"].values, data["split"].values, data["score"].values
    for name in dict.fromkeys(task):
        of_task = task == name
        answered = (~np.isnan(score[of_task])).sum(axis=0)
        means = np.nansum(score[of_task], axis=0) / np.maximum(answered, 1)
        best = int(means.argmax())
        rows.append(
            {
                "task": str(name),
                "train": int((of_task & (split == "train")).sum()),
                "test": int((of_task & (split == "test")).sum()),
                "mean_score": float(np.nanmean(score[of_task])),
                "best LLM": str(data["llm"].values[best]),
                "its score": float(means[best]),
            }
        )
    return pd.DataFrame(rows).sort_values("mean_score", ascending=False, kind="stable", ignore_index=True)


def refuse_foreign_data(directory: Path) -> None:
    """Raise InputError if a folder holds responses without a truth: real ones, which nothing may replace."""
    tables = [
        path.name for name in ("responses", "queries", "llms") for path in tables_named(directory, name)
    ]
    if tables and not (directory / TRUTH_FILE).is_file():
        raise InputError(
            f"{directory} holds {', '.join(tables)} but no {TRUTH_FILE}, so they are not simulated; choose "
            "another folder."
        )


def _print_recovery(found: Recovery, queries: int, console: Console) -> None:
    shown = found.table.sort_values("true", ascending=False, ignore_index=True)
    frame = pd.DataFrame(
        {
            "LLM": shown["llm"],
            "true P(correct)": shown["true"],
            "posterior": shown["mean"],
            f"{100 * LEVEL:g}% interval": [
                interval_text(lower, upper)
                for lower, upper in zip(shown["lower"], shown["upper"], strict=True)
            ],
            "holds it": shown["true"].between(shown["lower"], shown["upper"]),
        }
    )
    print_table(
        f"3. Posterior and truth, mean over {queries} unseen questions",
        frame,
        console,
        f"{found.coverage:.0%} of the intervals hold the truth; true and predicted P(correct) of single "
        f"questions correlate at {found.correlation:.2f}, true and estimated general ability at "
        f"{found.ability_correlation:.2f}.",
    )


def _print_next(directory: Path, console: Console) -> None:
    console.print(f"Everything is in {directory}. Try next:", style="bold", markup=False, soft_wrap=True)
    model = directory / "model"
    for line in (
        f'birt route "What is 17 * 23?" --model {model} --alpha 0.5',
        f"birt info --model {model}",
        f"birt evaluate --model {model} --data {directory / 'data'} --split test",
        "birt fit --data DIR --output MODEL      (your own responses; birt fit --help)",
    ):
        console.print(f"  {line}", markup=False, highlight=False, soft_wrap=True)
