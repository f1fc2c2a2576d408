"""Fit and judge the model and all baselines fold by fold; one JSON line a fold.

    .venv/bin/python benchmarks/folds.py --data ../shared/data/zeroeval --protocol queries

writes benchmarks/results/folds/NAME-PROTOCOL.jsonl, NAME being the data folder's. Posteriors and predictions
stay in runs/folds/NAME, and a fold that is there already is not fitted again: interrupt and repeat at will.
`benchmarks/pool.py` makes one table of the folds. With ``--stack`` the MIRT is stacked with a NIRT, and the stack is judged as the model,
with both parts beside it; the lines go to NAME-PROTOCOL-stack.jsonl. With ``--split-seed N`` the folds are not those of splits.json but new
ones, also of the queries that `split` calls test, and everything is under NAME-splits-N, which is a name for `pool.py`, too.
"""

import argparse
import sys
from pathlib import Path

from provenance import provenance

from bayes_irt_router.data.canonical import read_dataset
from bayes_irt_router.data.encoder import Encoder
from bayes_irt_router.errors import InputError
from bayes_irt_router.evaluation.baselines.catalogue import all_baselines
from bayes_irt_router.evaluation.fold_fits import FoldSettings
from bayes_irt_router.evaluation.fold_runs import run_folds, write_lines
from bayes_irt_router.evaluation.protocols import PROTOCOLS, fold_count, make_fold
from bayes_irt_router.evaluation.splits import make_splits, read_splits
from bayes_irt_router.inference.nuts import NUTS
from bayes_irt_router.irt.llm_covariates import COVARIATES
from bayes_irt_router.irt.mirt import MIRT
from bayes_irt_router.irt.nirt import NIRT

HERE = Path(__file__).parent
RUNS = HERE.parent / "runs" / "folds"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--protocol", choices=PROTOCOLS, required=True)
    parser.add_argument("--folds", default=None, help="such as 0,2 (default: all)")
    parser.add_argument("--traits", type=int, default=MIRT().traits)
    parser.add_argument(
        "--covariate", action="append", default=[], choices=COVARIATES, help="of the LLMs; may be repeated"
    )
    parser.add_argument("--draws", type=int, default=NUTS().draws)
    parser.add_argument("--tune", type=int, default=NUTS().tune)
    parser.add_argument("--chains", type=int, default=NUTS().chains)
    parser.add_argument(
        "--target-accept", type=float, default=None, help="(default: by the number of answers)"
    )
    parser.add_argument("--assume-output-tokens", type=int, default=None)
    parser.add_argument("--stack", action="store_true", help="of the MIRT and a NIRT")
    parser.add_argument("--no-baselines", action="store_true")
    parser.add_argument("--refit-unconverged", action="store_true", help="fit folds above r-hat 1.05 again")
    parser.add_argument("--runs", type=Path, default=RUNS, help="folder of posteriors and predictions")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--split-seed", type=int, default=None, help="of new folds (default: splits.json)")
    arguments = parser.parse_args()

    name = arguments.data.name
    data = read_dataset(arguments.data)
    if arguments.split_seed is None:
        splits = read_splits(HERE / "splits.json", name)
    else:
        unsplit = data.assign_coords(split=("query", [""] * data.sizes["query"]))
        splits = make_splits(unsplit, seed=arguments.split_seed)
        name = f"{name}-splits-{arguments.split_seed}"
    count = fold_count(splits, arguments.protocol)
    wanted = range(count) if arguments.folds is None else [int(one) for one in arguments.folds.split(",")]
    settings = FoldSettings(
        model=MIRT(traits=arguments.traits, covariates=tuple(arguments.covariate)),
        sampler=NUTS(
            draws=arguments.draws,
            tune=arguments.tune,
            chains=arguments.chains,
            target_accept=arguments.target_accept,
        ),
        assume_output_tokens=arguments.assume_output_tokens,
        nirt=NIRT() if arguments.stack else None,
        baselines=() if arguments.no_baselines else all_baselines(),
        seed=arguments.seed,
        refit_unconverged=arguments.refit_unconverged,
        provenance={"data": name, **provenance()},
    )
    folds = [make_fold(data, splits, arguments.protocol, index, seed=arguments.seed) for index in wanted]
    target = HERE / "results" / "folds" / f"{name}-{arguments.protocol}{'-stack' * arguments.stack}.jsonl"
    for result in run_folds(folds, settings, arguments.runs / name, Encoder()):
        write_lines(target, [result.line])
        line = result.line
        verdict = "usable" if line["converged"] else "NOT usable"
        print(
            f"{arguments.protocol}-{line['fold']}: {verdict}, largest r-hat {line['largest_r_hat']}, log loss "
            + ", ".join(f"{name} {one['log_loss']:.4f}" for name, one in line["prediction"].items()),
            flush=True,
        )
    print(f"Written to {target}.")


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        sys.exit("\n".join(f"error: {problem}" for problem in error.problems))
