"""One table of all folds that `benchmarks/folds.py` has run: scores, and paired differences to the model.

    .venv/bin/python benchmarks/pool.py --data zeroeval --protocol queries

prints it as text, and writes benchmarks/results/pooled-NAME-PROTOCOL.json and .md. Folds above r-hat 1.05
are left out (unless `--unconverged`), and it says so. With ``--stack`` the same of the stack of MIRT and NIRT.
"""

import argparse
import sys
from pathlib import Path

import pandas as pd
from provenance import git

from bayes_irt_router.data.files import atomic_path
from bayes_irt_router.errors import InputError
from bayes_irt_router.evaluation.familiarity_scores import widening
from bayes_irt_router.evaluation.fold_runs import read_lines
from bayes_irt_router.evaluation.judged import load_judged
from bayes_irt_router.evaluation.pooling import pool, read_folds
from bayes_irt_router.evaluation.protocols import PROTOCOLS
from bayes_irt_router.report.json_text import json_text
from bayes_irt_router.report.tables import markdown_table

RESULTS = Path(__file__).parent / "results"
RUNS = Path(__file__).parents[1] / "runs" / "folds"


FINE = ("log loss", "Brier", "AUC", "ECE")  # methods differ in the fourth decimal


def finer(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(**{name: table[name].map("{:.4f}".format) for name in FINE if name in table})


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True, help="name of the data set")
    parser.add_argument("--protocol", choices=PROTOCOLS, required=True)
    parser.add_argument("--stack", action="store_true", help="folds that were judged with a stack")
    parser.add_argument("--runs", type=Path, default=RUNS)
    parser.add_argument(
        "--unconverged", action="store_true", help="keep folds that are not usable, and say so"
    )
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    suffix = "-stack" if arguments.stack else ""
    name = f"{Path(arguments.data).name}-{arguments.protocol}{suffix}"
    lines = read_lines(RESULTS / "folds" / f"{name}.jsonl")
    runs = arguments.runs / Path(arguments.data).name
    judged, excluded = read_folds(
        runs, arguments.protocol, lines, unconverged=arguments.unconverged, suffix=suffix
    )
    of_tasks = arguments.protocol == "tasks"
    found = pool(judged, seed=arguments.seed, excluded=excluded, tasks=of_tasks)
    tables = [("Prediction", found.prediction_table()), ("Routing", found.routing_table())]
    if len(found.familiarity):
        tables.append(("The model by familiarity of the query", found.familiarity))
    if arguments.protocol == "shuffled":
        tables.append(("Shuffled control", found.control_table()))
    facts = (
        f"{found.folds['folds']} folds, {found.folds['queries']} test queries, {found.folds['answers']} answers; "
        f"fitted at {', '.join(sorted({line['fit_commit'] for line in lines}))}, "
        f"judged at {', '.join(sorted({line['commit'] for line in lines}))}. Differences have 95 % intervals by "
        f"bootstrap over {found.resampled}."
    )
    notes = [facts, *found.calibration_sentences(), *excluded]
    if of_tasks:
        familiar = [load_judged(path) for path in sorted(runs.glob(f"queries-?{suffix}.nc"))]
        ratio = widening(judged, familiar)
        if ratio == ratio:
            notes.append(
                f"The posterior SD of p is {ratio:.2f} times that of the same cells in the query folds."
            )
    for title, table in tables:
        print(f"\n{title}\n{table.round(4).to_string(na_rep='-')}")
    print("\n" + "\n".join(notes))

    written = {
        ".json": json_text(
            {"data": name, "pooled_at": git("rev-parse", "--short", "HEAD"), **found.to_dict()}
        ),
        ".md": "\n\n".join(
            [
                f"# {name}",
                *(f"## {title}\n\n{markdown_table(finer(table))}" for title, table in tables),
                *notes,
            ]
        ),
    }
    for ending, text in written.items():
        with atomic_path(RESULTS / f"pooled-{name}{ending}") as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")
    print(f"Written to {RESULTS / f'pooled-{name}'}.json and .md.")


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        sys.exit("\n".join(f"error: {problem}" for problem in error.problems))
