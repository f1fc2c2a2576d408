"""Which model predicts best: variants fitted to four fifths of the train split, judged on the fifth; the test split is never read.

    .venv/bin/python benchmarks/model_choice.py --data ../shared/data/zeroeval --variants "3;3 without testlets"
    .venv/bin/python benchmarks/model_choice.py --data ../shared/data/zeroeval --variants "3;nirt;3 with nirt"
    .venv/bin/python benchmarks/model_choice.py --data ../shared/data/zeroeval --variants "nirt;nirt networks=8;nirt hidden=128 dropout=0.5"

A variant is a MIRT with a number of traits, maybe "without testlets", "families" (LLMs of one share an effect) or "covariates" (ability is
regressed on what is known of release date, size and price); a "nirt", maybe with settings of its own (fields of NIRT and of
Training); or a MIRT "with nirt", the stack of the two. Appends a line for each variant to benchmarks/results/model-choice-NAME.jsonl:
held-out log loss, its paired difference to the first variant with a 95 % interval by bootstrap over queries, and how the chains mixed. Five
minutes a MIRT on two cores, one a NIRT; no model is fitted twice.
"""

import argparse
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from provenance import record

from bayes_irt_router.data.canonical import read_dataset, select_split
from bayes_irt_router.data.embedding_cache import embed_texts
from bayes_irt_router.data.encoder import Encoder
from bayes_irt_router.data.featurize import featurize
from bayes_irt_router.evaluation.metrics import auc, calibration_slope
from bayes_irt_router.inference.fitting import fit
from bayes_irt_router.inference.neural_fitting import fit_nirt
from bayes_irt_router.inference.neural_training import Training
from bayes_irt_router.inference.nuts import NUTS
from bayes_irt_router.inference.posterior import Posterior
from bayes_irt_router.inference.stacking import stack
from bayes_irt_router.irt.llm_covariates import COVARIATES
from bayes_irt_router.irt.mirt import MIRT
from bayes_irt_router.irt.nirt import NIRT
from bayes_irt_router.irt.relevance import from_descriptions
from bayes_irt_router.routing.prediction import predict_in_batches

RESULTS = Path(__file__).parent / "results"
PARTS, RESAMPLES = 5, 1000
OTHER: dict[str, dict[str, Any]] = {
    "": {},
    "without testlets": {"testlets": False},
    "families": {"families": True},
    "covariates": {"covariates": COVARIATES},
}


def held_out(task: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A fifth of each task's queries, bool."""
    held = np.zeros(len(task), dtype=bool)
    for name in np.unique(task):
        of_task = rng.permutation(np.flatnonzero(task == name))
        held[of_task[: len(of_task) // PARTS]] = True
    return held


def changed[T: (NIRT, Training)](settings: T, words: list[str]) -> T:
    """With other values: of ``name=value`` those whose name is a field here."""
    old = {field.name: getattr(settings, field.name) for field in fields(settings)}
    values = dict(word.split("=") for word in words)
    new: dict[str, Any] = {
        name: float(text) if isinstance(old[name], float) else int(text)
        for name, text in values.items()
        if name in old
    }
    return replace(settings, **new)


def fitted(
    train: xr.Dataset, variant: str, known: dict[str, Posterior], arguments: argparse.Namespace
) -> Posterior:
    """The model of a variant; kept in ``known``, and taken from there."""
    if variant in known:
        return known[variant]
    mirt, stacked, settings = variant.partition(" with nirt")
    seed, tokens = arguments.seed, arguments.assume_output_tokens
    if stacked:
        found = stack([fitted(train, one, known, arguments) for one in (mirt, f"nirt{settings}")])
    elif variant.startswith("nirt"):
        words = variant.split()[1:]
        nirt = changed(NIRT(), words)
        descriptions = embed_texts([one.description for one in nirt.abilities], Encoder())
        relevance = from_descriptions(descriptions)
        training = changed(Training(), words)
        found = fit_nirt(nirt, train, training, relevance=relevance, seed=seed, assume_output_tokens=tokens)
    else:
        traits, _, other = variant.partition(" ")
        model = replace(MIRT(traits=int(traits)), **OTHER[other])
        sampler = NUTS(draws=arguments.draws, tune=arguments.tune)
        found = fit(model, train, sampler, seed=seed, assume_output_tokens=tokens)
    known[variant] = found
    return found


def run(
    judged: xr.Dataset, variant: str, posterior: Posterior, arguments: argparse.Namespace
) -> dict[str, Any]:
    """Predictions of the held-out queries and what they are worth."""
    rng = np.random.default_rng(arguments.seed)
    p = np.concatenate(
        [
            one["p_correct"].mean(("chain", "draw")).values
            for one in predict_in_batches(posterior, judged, rng)
        ]
    ).astype(float)
    score, trials = judged["score"].values, judged["trials"].values.astype(float)
    y, q = np.nan_to_num(score), np.clip(p, 1e-6, 1 - 1e-6)
    loss = -(trials * (y * np.log(q) + (1 - y) * np.log1p(-q))).sum(axis=1)
    table = posterior.gate.table
    return {
        "variant": variant,
        "log_loss": float(loss.sum() / trials.sum()),
        "auc": auc(p, score),
        "slope": calibration_slope(p, score).slope,
        "largest_r_hat": float(table["r_hat"].max()),
        "worst": str(table["name"].iloc[int(table["r_hat"].argmax())])
        if table["r_hat"].notna().any()
        else "",
        "share_of_quantities_above_1.05": float((table["r_hat"] > 1.05).mean()),
        "smallest_ess": float(table[["ess_bulk", "ess_tail"]].min().min()),
        "leapfrog_steps": posterior.record.get("leapfrog_steps"),
        "seconds": posterior.record["seconds"],
        "loss": loss,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--variants", required=True, help="separated by semicolons; the first is compared to")
    parser.add_argument("--draws", type=int, default=300)
    parser.add_argument("--tune", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--assume-output-tokens", type=int, default=None)
    arguments = parser.parse_args()

    data = featurize(select_split(read_dataset(arguments.data), "train"), Encoder())
    held = held_out(data["task"].values.astype(str), np.random.default_rng(arguments.seed))
    train, judged = data.isel(query=~held), data.isel(query=held)
    silent = ~(train["trials"].values > 0).any(axis=0)
    train, judged = train.isel(llm=~silent), judged.isel(llm=~silent)
    count = judged["trials"].values.sum(axis=1)
    path = RESULTS / f"model-choice-{arguments.data.name}.jsonl"
    first, known = None, dict[str, Posterior]()
    for variant in (one.strip() for one in arguments.variants.split(";")):
        found = run(judged, variant, fitted(train, variant, known, arguments), arguments)
        loss = found.pop("loss")
        first = loss if first is None else first
        resampled = np.random.default_rng(1).integers(len(loss), size=(RESAMPLES, len(loss)))
        differences = (loss - first)[resampled].sum(axis=1) / count[resampled].sum(axis=1)
        found["minus_first"] = float((loss - first).sum() / count.sum())
        found["interval"] = np.quantile(differences, [0.025, 0.975]).tolist()
        settings = {"seed": arguments.seed, "draws": arguments.draws, "tune": arguments.tune}
        record(path, {**found, **settings})


if __name__ == "__main__":
    main()
