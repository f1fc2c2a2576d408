"""Does the fast placing of a new LLM give the posterior that NUTS gives? Cell by cell: mean and SD of the predicted probability.

    .venv/bin/python benchmarks/placing_reference.py --data ../shared/data/zeroeval

A reduced bank (120 queries, the LLMs that answered everything) is fitted without five LLMs. Each of them is placed from 20 random
answers, and compared with NUTS on the same posterior over 100 queries, 500 cells in all:

- joint: the model is sampled anew together with the new LLM's ability and the likelihood of its answers;
- cut: the ability is sampled in every parameter draw of the fit.

To hold, both in the same cell, for 95 % of the cells: |difference of the means| <= 0.01, and the ratio of the SDs in [0.9, 1.1].
The Monte Carlo error of both samples is in these differences; it is stated beside them, from the effective numbers of draws, and in how
many cells one half of the reference agrees with the other, by the same rule. Written to
benchmarks/results/placing-reference-NAME.json, NAME being the data folder's.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from provenance import provenance

from bayes_irt_router.calibration.ability_prior import new_llm_prior
from bayes_irt_router.calibration.answers import Answer
from bayes_irt_router.calibration.items import ItemBank
from bayes_irt_router.calibration.placing import place
from bayes_irt_router.data.canonical import read_dataset
from bayes_irt_router.data.encoder import Encoder
from bayes_irt_router.data.featurize import featurize
from bayes_irt_router.data.files import atomic_path
from bayes_irt_router.inference.fitting import fit
from bayes_irt_router.inference.nuts import NUTS
from bayes_irt_router.inference.placement_reference import cut_by_nuts, joint_by_nuts
from bayes_irt_router.irt.mirt import MIRT
from bayes_irt_router.irt.response import p_correct
from bayes_irt_router.report.json_text import json_text

RESULTS = Path(__file__).parent / "results"
QUERIES, PLACED, ANSWERS, CELLS = 120, 5, 20, 100
SAMPLER = NUTS(draws=8_000, tune=500)  # SDs of cells near 0 and 1 have heavy-tailed draws behind them
CUT_EVERY = 2  # parameter draws: they are independent in the cut posterior, and half of them is plenty
LARGEST_DIFFERENCE, RATIO, SHARE = 0.01, (0.9, 1.1), 0.95


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of the results")
    arguments = parser.parse_args()

    started, rng = time.perf_counter(), np.random.default_rng(arguments.seed)
    data = read_dataset(arguments.data)
    complete = np.flatnonzero((data["trials"].values > 0).all(axis=0))
    held = np.sort(rng.choice(complete, PLACED, replace=False))
    kept = np.sort(rng.choice(data.sizes["query"], QUERIES, replace=False))
    data = featurize(data.isel(query=kept), Encoder())
    fitted = data.isel(llm=np.setdiff1d(complete, held))
    model = MIRT()
    posterior = fit(
        model,
        fitted,
        SAMPLER,
        seed=arguments.seed,
        keep_draws=SAMPLER.draws * SAMPLER.chains,
        progress=False,
    )
    print(f"{time.perf_counter() - started:.0f} s: {posterior.gate.verdict}", flush=True)

    bank, prior = ItemBank.of(posterior), new_llm_prior(posterior)
    a, b = (flat(bank.posterior.draws, name) for name in ("discrimination", "difficulty"))
    cells: list[pd.DataFrame] = []
    for i in held:
        score = data["score"].values[:, i]
        asked = rng.permutation(QUERIES)[:ANSWERS]
        # A query that the LLM has answered is not asked again, and placing does not pass its answer on to the item.
        judged = np.sort(rng.permutation(np.setdiff1d(np.arange(QUERIES), asked))[:CELLS])
        answers = [Answer(bank.query[k], float(score[k])) for k in asked]
        reference = {
            "joint": by_joint(
                model,
                posterior.feature_map.apply_in_training(fitted, seed=arguments.seed),
                asked,
                score[asked],
                arguments.seed,
            ),
            "cut": p_of(
                cut_by_nuts(
                    prior.mean[::CUT_EVERY],
                    prior.factor[::CUT_EVERY],
                    a[::CUT_EVERY, asked],
                    b[::CUT_EVERY, asked],
                    score[asked],
                    NUTS(draws=60, tune=200, chains=1),
                    seed=arguments.seed,
                )[::6],
                a[::CUT_EVERY],
                b[::CUT_EVERY],
            ),
        }
        for mode, chains in reference.items():
            start = time.perf_counter()
            placement = place(bank, prior, answers, np.random.default_rng(arguments.seed), mode=mode)  # type: ignore[arg-type]
            seconds = time.perf_counter() - start
            fast = bank.p_correct(placement.index, placement.ability)[:, judged]
            own = chains[:, :, judged]
            effective = effective_draws(own)
            mean, sd = own.mean(axis=(0, 1)), own.std(axis=(0, 1))
            one, other = np.array_split(own, 2)
            cells.append(
                pd.DataFrame(
                    {
                        "mode": mode,
                        "llm": str(data["llm"].values[i]),
                        "difference": fast.mean(axis=0) - mean,
                        "ratio": fast.std(axis=0) / sd,
                        "halves_differ": one.mean(axis=(0, 1)) - other.mean(axis=(0, 1)),
                        "ratio_of_halves": one.std(axis=(0, 1)) / other.std(axis=(0, 1)),
                        "monte_carlo": sd * np.sqrt(1 / effective + 1 / placement.effective_draws),
                        "effective": effective,
                        "k_hat": placement.k_hat,
                        "seconds": seconds,
                    }
                )
            )
        print(f"{time.perf_counter() - started:.0f} s: {data['llm'].values[i]} placed", flush=True)

    table = summary(pd.concat(cells, ignore_index=True))
    print(f"\n{table.round(4).to_string(index=False)}")
    told = {
        "data": arguments.data.name,
        "seed": arguments.seed,
        **provenance(),
        "queries": QUERIES,
        "llms_fitted": fitted.sizes["llm"],
        "answers": ANSWERS,
        "gate": posterior.gate.verdict,
        "modes": table.to_dict(orient="records"),
        "seconds": round(time.perf_counter() - started, 1),
    }
    target = arguments.output / f"placing-reference-{arguments.data.name}.json"
    with atomic_path(target) as temporary:
        temporary.write_text(json_text(told) + "\n", encoding="utf-8")
    print(f"Written to {target}.")


def flat(draws: xr.Dataset, name: str) -> np.ndarray:
    """(chain * draw, ...), double precision."""
    values = draws[name].transpose("chain", "draw", "query", ...).values
    return values.reshape(-1, *values.shape[2:]).astype(np.float64)


def by_joint(model: MIRT, data: xr.Dataset, asked: np.ndarray, score: np.ndarray, seed: int) -> np.ndarray:
    """Predicted p of the new LLM on every query, shape (chain, draw, query)."""
    drawn = joint_by_nuts(model, data, asked, score, SAMPLER, seed=seed, progress=False)
    a, b = (flat(drawn, name) for name in ("discrimination", "difficulty"))
    theta = drawn["new_ability"].values.reshape(len(a), 1, -1).astype(np.float64)
    return p_correct(theta, a, b)[..., 0].reshape(SAMPLER.chains, SAMPLER.draws, -1)


def p_of(abilities: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Predicted p on every query, shape (sample, draw, query): abilities (sample, draw, trait) with the items of their parameter draw."""
    return np.stack([p_correct(theta[:, None], a, b)[..., 0] for theta in abilities])


def effective_draws(p: np.ndarray) -> np.ndarray:
    """Bulk effective sample size of every query's p, which has the dims (chain, draw, query)."""
    import arviz as az

    found = az.ess(xr.Dataset({"p": (("chain", "draw", "query"), p)}))["p"]
    return np.asarray(found.values, dtype=np.float64)


def summary(cells: pd.DataFrame) -> pd.DataFrame:
    rows: list[dict[str, Any]] = []
    named = [*cells.groupby("mode", sort=False), *cells.groupby(["mode", "llm"], sort=False)]
    for name, part in named:
        close = part["difference"].abs() <= LARGEST_DIFFERENCE
        alike = part["ratio"].between(*RATIO)
        halves = (part["halves_differ"].abs() <= LARGEST_DIFFERENCE) & part["ratio_of_halves"].between(*RATIO)
        rows.append(
            {
                "mode": name if isinstance(name, str) else name[0],
                "llm": "all" if isinstance(name, str) else name[1],
                "cells": len(part),
                f"|difference| <= {LARGEST_DIFFERENCE}": close.mean(),
                f"SD ratio in {list(RATIO)}": alike.mean(),
                "both": (close & alike).mean(),
                "holds": bool((close & alike).mean() >= SHARE),
                "both, halves of the reference": halves.mean(),
                "mean |difference|": part["difference"].abs().mean(),
                "largest |difference|": part["difference"].abs().max(),
                "Monte Carlo error of a difference": part["monte_carlo"].mean(),
                "mean SD ratio": part["ratio"].mean(),
                "median effective draws of NUTS": part["effective"].median(),
                "largest k-hat": part["k_hat"].max(),
                "seconds a placing": part["seconds"].median(),
            }
        )
    return pd.DataFrame(rows)


if __name__ == "__main__":
    main()
