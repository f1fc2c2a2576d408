"""Does the answer-length model predict held-out output tokens better than each LLM's mean, and do its intervals hold what they say?

    .venv/bin/python benchmarks/answer_length.py --data ../shared/data/zeroeval

fits the train split, scores the test split, prints one line of JSON and appends it to benchmarks/results/answer_length.jsonl. The
log score is the mean log density of log tokens; that of the LLM's mean is a normal with the mean and SD of its log tokens on train.
"""

import argparse
import json
import subprocess
import time
from pathlib import Path

import numpy as np
from scipy.special import logsumexp

from bayes_irt_router.data.canonical import read_dataset, select_split
from bayes_irt_router.data.encoder import Encoder
from bayes_irt_router.data.feature_map import fit_feature_map
from bayes_irt_router.data.featurize import featurize
from bayes_irt_router.inference.answer_length_sampling import sample_answer_lengths
from bayes_irt_router.irt.answer_length import answer_length_distribution

RESULTS = Path(__file__).parent / "results" / "answer_length.jsonl"
LEVEL = 0.89


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    data = featurize(read_dataset(arguments.data), Encoder())
    train, test = select_split(data, "train"), select_split(data, "test")
    feature_map = fit_feature_map(train, seed=arguments.seed)
    train, test = feature_map.apply_in_training(train), feature_map.apply(test)
    start = time.perf_counter()
    draws = sample_answer_lengths(train, np.random.default_rng(arguments.seed))
    if draws is None:
        raise SystemExit("The data have no output tokens.")
    seconds = time.perf_counter() - start
    predicted = answer_length_distribution(draws, test["features"].values, test["novelty"].values)

    tokens = np.maximum(test["output_tokens"].values, 1)
    seen = ~np.isnan(tokens)
    variance = predicted.residual_sd[:, :, None] ** 2 + predicted.noise_sd**2
    ours = log_density(np.log(tokens), predicted.mean, variance)
    known = np.log(np.maximum(train["output_tokens"].values, 1))
    mean = log_density(
        np.log(tokens), np.nanmean(known, axis=0)[None, None], np.nanvar(known, axis=0)[None, None]
    )
    rng = np.random.default_rng(arguments.seed)
    replicated = predicted.replicated(predicted.residuals(rng), rng)
    lower, upper = np.quantile(replicated, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    expected, average = predicted.expected().mean(axis=0), np.nanmean(train["output_tokens"].values, axis=0)
    words = ["git", "rev-parse", "--short", "HEAD"]
    line = {
        "data": arguments.data.name,
        "commit": subprocess.run(words, capture_output=True, text=True).stdout.strip(),
        "seed": arguments.seed,
        "answers": int(seen.sum()),
        "log_score": float(ours[seen].mean()),
        "log_score_of_mean": float(mean[seen].mean()),
        "absolute_error": float(np.abs(tokens - expected)[seen].mean()),
        "absolute_error_of_mean": float(np.abs(tokens - average)[seen].mean()),
        "absolute_error_of_median": float(np.abs(tokens - np.median(replicated, axis=0))[seen].mean()),
        "predicted_over_observed_total": float(expected[seen].sum() / tokens[seen].sum()),
        "coverage_89": float(((tokens >= lower) & (tokens <= upper))[seen].mean()),
        "r_hat": float(draws["r_hat"]),
        "seconds": round(seconds, 1),
    }
    print(json.dumps(line, indent=2))
    RESULTS.parent.mkdir(exist_ok=True)
    with RESULTS.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def log_density(values: np.ndarray, mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Log of the mean normal density over the draws, the first axis."""
    each = -0.5 * (np.log(2 * np.pi * variance) + (values - mean) ** 2 / variance)
    return np.asarray(logsumexp(each, axis=0) - np.log(len(each)))


if __name__ == "__main__":
    main()
