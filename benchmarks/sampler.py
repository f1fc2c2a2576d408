"""How well NUTS moves through the posterior of a sample of real queries: step size, leapfrog steps, effective draws by quantity.

    .venv/bin/python benchmarks/sampler.py --data ../shared/data/llmrouter --queries 1200 --assume-output-tokens 200

One JSON line goes to benchmarks/results/sampler.jsonl. To compare two versions of the model, run it at both commits; to compare acceptance
rates, name them one after the other with ``--target-accept``.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from provenance import provenance

from bayes_irt_router.data.canonical import read_dataset, select_split
from bayes_irt_router.data.encoder import Encoder
from bayes_irt_router.data.featurize import featurize
from bayes_irt_router.errors import InputError
from bayes_irt_router.evaluation.fold_runs import write_lines
from bayes_irt_router.inference.fitting import fit
from bayes_irt_router.inference.nuts import NUTS
from bayes_irt_router.irt.mirt import MIRT
from bayes_irt_router.report.json_text import plain

RESULTS = Path(__file__).parent / "results" / "sampler.jsonl"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--queries", type=int, default=1200, help="of the train split, drawn at random")
    parser.add_argument("--traits", type=int, default=MIRT().traits)
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--tune", type=int, default=300)
    parser.add_argument(
        "--target-accept", type=float, default=None, help="(default: by the number of answers)"
    )
    parser.add_argument("--assume-output-tokens", type=int, default=None)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    train = select_split(read_dataset(arguments.data), "train")
    rng = np.random.default_rng(arguments.seed)
    count = min(arguments.queries, train.sizes["query"])
    data = train.isel(query=np.sort(rng.choice(train.sizes["query"], count, replace=False)))
    sampler = NUTS(draws=arguments.draws, tune=arguments.tune, target_accept=arguments.target_accept)
    posterior = fit(
        MIRT(traits=arguments.traits),
        featurize(data, Encoder()),
        sampler,
        seed=arguments.seed,
        assume_output_tokens=arguments.assume_output_tokens,
    )
    stats = posterior.tree["sample_stats"].to_dataset()
    table = posterior.gate.table.groupby("quantity").agg(
        r_hat=("r_hat", "max"), smallest_ess=("ess_bulk", "min"), median_ess=("ess_bulk", "median")
    )
    made_with = provenance()
    line = {
        "fold": f"{arguments.data.name}, {count} queries, {posterior.record['sampler']['target_accept']}, {made_with['commit']}",
        **made_with,
        "sampler": posterior.record["sampler"],
        "seed": arguments.seed,
        "seconds": posterior.record["seconds"],
        "step_size": [round(float(v), 4) for v in np.unique(stats["step_size"].values)],
        "leapfrog_steps_of_a_draw": round(float(stats["n_steps"].values.mean()), 1),
        "quantities": plain(table.round(3).to_dict(orient="index")),
    }
    write_lines(RESULTS, [line])
    print(f"steps of {line['step_size']}, {line['leapfrog_steps_of_a_draw']} a draw, {line['seconds']} s")
    print(table.round(3).to_string())
    print(f"Written to {RESULTS}.")


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        sys.exit("\n".join(f"error: {problem}" for problem in error.problems))
