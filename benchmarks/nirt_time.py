"""What a NIRT costs: seconds of its fit beside the MIRT's, time and memory as queries grow.

    .venv/bin/python benchmarks/nirt_time.py fits --data ../shared/data/zeroeval
    .venv/bin/python benchmarks/nirt_time.py growth --queries 10000,50000

``fits`` fits the NIRT and the MIRT to the shipped train split one after the other, each with its default settings; ``growth`` trains on
simulated banks and makes the posteriors. Both append JSON lines to benchmarks/results/nirt-time.jsonl.
"""

import argparse
import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from provenance import record

from bayes_irt_router.data.canonical import read_dataset, select_split
from bayes_irt_router.data.embedding_cache import embed_texts
from bayes_irt_router.data.encoder import Encoder
from bayes_irt_router.data.featurize import featurize
from bayes_irt_router.errors import InputError
from bayes_irt_router.inference.fitting import fit
from bayes_irt_router.inference.neural_fitting import fit_nirt
from bayes_irt_router.inference.neural_training import Training
from bayes_irt_router.irt.mirt import MIRT
from bayes_irt_router.irt.nirt import NIRT
from bayes_irt_router.irt.relevance import from_descriptions

RESULTS = Path(__file__).parent / "results" / "nirt-time.jsonl"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    fits = commands.add_parser("fits")
    fits.add_argument("--data", type=Path, required=True)
    fits.add_argument("--seed", type=int, default=0)
    fits.add_argument("--assume-output-tokens", type=int, default=None)
    growth = commands.add_parser("growth")
    growth.add_argument("--queries", default="10000,50000")
    growth.add_argument("--llms", type=int, default=20)
    growth.add_argument("--passes", type=int, default=3, help="of the training; time is told for each pass")
    arguments = parser.parse_args()
    {"fits": compare_fits, "growth": grow}[arguments.command](arguments)


def compare_fits(arguments: argparse.Namespace) -> None:
    """Wall-clock seconds of both kinds of fit in one process, embeddings made before."""
    encoder = Encoder()
    train = featurize(select_split(read_dataset(arguments.data), "train"), encoder)
    descriptions = from_descriptions(embed_texts([one.description for one in NIRT().abilities], encoder))
    seed, tokens = arguments.seed, arguments.assume_output_tokens
    start = time.perf_counter()
    neural = fit_nirt(NIRT(), train, relevance=descriptions, seed=seed, assume_output_tokens=tokens)
    between = time.perf_counter()
    sampled = fit(MIRT(), train, seed=seed, assume_output_tokens=tokens)
    end = time.perf_counter()
    record(
        RESULTS,
        {
            "data": arguments.data.name,
            "seed": seed,
            "responses": int(train["trials"].sum()),
            "nirt_seconds": round(between - start, 1),
            "mirt_seconds": round(end - between, 1),
            "ratio": (between - start) / (end - between),
            "nirt_verdict": neural.gate.verdict,
            "mirt_verdict": sampled.gate.verdict,
            "mirt_sampler": sampled.record["sampler"],
        },
    )


def grow(arguments: argparse.Namespace) -> None:
    """Time of training and posteriors, and peak memory, on simulated banks, each in a process of its own so that peaks do not mix."""
    import multiprocessing

    for queries in (int(one) for one in arguments.queries.split(",")):
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            record(RESULTS, pool.apply(_grown, (queries, arguments.llms, arguments.passes)))


def _grown(queries: int, llms: int, passes: int) -> dict[str, Any]:
    """A bank of random embeddings and answers: only time and memory are looked at."""
    from bayes_irt_router.inference.network_posterior import network_posterior
    from bayes_irt_router.inference.neural_training import train
    from bayes_irt_router.irt.nirt import QueryInputs

    rng = np.random.default_rng(0)
    model = NIRT()
    shapes = ((queries, 384), (queries, 245), (queries,), (queries, model.traits))
    inputs = QueryInputs(*(0.05 * rng.standard_normal(shape, dtype=np.float32) for shape in shapes))
    inputs = inputs._replace(novelty=np.abs(inputs.novelty))
    score = (rng.random((queries, llms)) < 0.6).astype(np.float32)
    data_bytes = sum(values.nbytes for values in inputs) + 2 * score.nbytes
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def peak() -> int:
        """MB above what was held before."""
        return round((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**10)

    start = time.process_time()
    found = train(
        model,
        inputs,
        score,
        np.ones_like(score),
        45,
        Training(passes=passes, steps=1),
        seed=0,
        progress=False,
    )
    trained, cpu_trained = peak(), time.process_time() - start
    began, draws = time.perf_counter(), np.random.default_rng(1)
    trials = np.ones_like(score)
    kept = 0
    for k in range(len(found.loss[0])):
        weights = {name: np.asarray(values[k]) for name, values in found.weights.items()}
        posterior = network_posterior(model, weights, inputs, score, trials, 45, 100, draws)
        kept += sum(values.nbytes for values in posterior.values())
    return {
        "queries": queries,
        "llms": llms,
        "passes": len(found.loss),
        "training_seconds": round(found.seconds, 1),
        "posterior_seconds": round(time.perf_counter() - began, 1),
        "training_cpu_seconds": round(cpu_trained, 1),
        "cpu_seconds": round(time.process_time() - start, 1),
        "data_mb": round(data_bytes / 2**20),
        "kept_mb": round(kept / 2**20),
        "peak_mb_of_training": trained,
        "peak_mb_of_all": peak(),
    }


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        sys.exit("\n".join(f"error: {problem}" for problem in error.problems))
