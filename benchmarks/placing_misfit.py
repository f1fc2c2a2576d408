"""Where the model does not fit LLMs that it was fitted without, on the questions that are worth asking them.

    .venv/bin/python benchmarks/placing_misfit.py --data ../shared/data/zeroeval

reads the posteriors of `folds.py --protocol llms`. Each left-out LLM that answered the whole bank is asked 50 adaptive questions. Then its
ability is found from all its answers (posterior mode; items at their posterior means, their variances in the shrinkage of the logit),
and z is the sum of the residuals over those 50, in SDs by which it would vary if the model were right. The mean of z^2 over LLMs should
be 1. It is found again with effects of the LLM's own (normal, SD 0.3) in the logit: a constant, ones by task, ones on difficulty. An
effect that brings the mean down is what the model lacks. One JSON file goes to benchmarks/results/placing-misfit-NAME.json.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from calibrate import RESULTS, Bank
from fold_models import RUNS, fold_models
from jaxtyping import Float
from provenance import provenance
from scipy.special import expit

from bayes_irt_router.calibration.ability_prior import aligned_prior, new_llm_prior
from bayes_irt_router.calibration.answers import Answer
from bayes_irt_router.calibration.selection import Choosable, task_shares
from bayes_irt_router.calibration.session import ASKING_DRAWS, Setup, next_queries, state
from bayes_irt_router.calibration.targets import Target
from bayes_irt_router.data.canonical import read_dataset
from bayes_irt_router.data.files import atomic_path
from bayes_irt_router.errors import InputError
from bayes_irt_router.irt.ability_posterior import NormalAbility
from bayes_irt_router.report.json_text import json_text, plain

QUESTIONS, EFFECT_SD, RANDOM_SETS, STEPS = 50, 0.3, 20, 100

# Columns of the effects, from the tasks' indicators (query, task) and the centred difficulty (query, 1).
EFFECTS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "none": lambda task, b: task[:, :0],
    "constant": lambda task, b: np.ones_like(b),
    "by task": lambda task, b: task,
    "on difficulty": lambda task, b: b,
    "on difficulty, by task": lambda task, b: task * b,
    "by task, and on difficulty by task": lambda task, b: np.hstack([task, task * b]),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--runs", type=Path, default=RUNS, help="folder that benchmarks/folds.py wrote to")
    parser.add_argument("--folds", default=None, help="such as 0,2 (default: all)")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    name = arguments.data.name
    data, rng, rows, fits = read_dataset(arguments.data), np.random.default_rng(arguments.seed), [], []
    for model in fold_models(arguments.runs, name, data, "llms", arguments.folds, False):
        fold = Bank(model, data)
        fits.append(model.about())
        parameters = fold.bank.drawn
        mean, variance = parameters.mean(axis=0, dtype=np.float64), parameters.var(axis=0, dtype=np.float64)
        tasks = np.array(fold.bank.task)
        task = (tasks[:, None] == np.unique(tasks)).astype(float)
        difficulty = (mean[:, -1] - mean[:, -1].mean())[:, None]
        prior = aligned_prior(new_llm_prior(fold.router.posterior, {}), fold.bank.rotations)
        of_ability = prior.averaged(slice(None))
        for llm in fold.left_out():
            score = fold.own["score"].sel(llm=llm).values
            sets = [asked(fold, score, arguments.seed)]
            sets += [rng.choice(len(score), QUESTIONS, replace=False) for _ in range(RANDOM_SETS)]
            for effect, columns in EFFECTS.items():
                p, sizes = fitted(mean, variance, of_ability, columns(task, difficulty), score)
                z = [(score - p)[s].sum() / np.sqrt((p * (1 - p))[s].sum()) for s in sets]
                rows.append(
                    {
                        "effect": effect,
                        "llm": llm,
                        "adaptive": z[0] ** 2,
                        "random": np.mean(np.square(z[1:])),
                        "size": np.sqrt(np.mean(sizes**2)) if sizes.size else 0.0,
                    }
                )
    table = pd.DataFrame(rows)
    means = table.drop(columns="llm").groupby("effect", sort=False).mean()
    print(f"{table['llm'].nunique()} LLMs; mean z^2 over {QUESTIONS} questions, mean size of the effects\n")
    print(means.round(2).to_string())
    target = RESULTS / f"placing-misfit-{name}.json"
    told = {"data": name, "seed": arguments.seed, **provenance(), "fits": fits, "llms": rows}
    with atomic_path(target) as temporary:
        temporary.write_text(json_text(plain(told)) + "\n", encoding="utf-8")
    print(f"Written to {target}.")


def asked(fold: Bank, score: Float[np.ndarray, " query"], seed: int) -> np.ndarray:
    """Positions of the questions that the LLM is asked, one after the other."""
    bank = fold.bank
    open_ = np.ones(len(bank.query), dtype=bool)
    choosable = Choosable(open_, np.ones(len(bank.query)), task_shares(bank, open_))
    prior = new_llm_prior(fold.router.posterior, {})
    setup = Setup(bank, prior, Target(), choosable, False, "variance", seed)
    answers: list[Answer] = []
    for _ in range(QUESTIONS):
        i = next_queries(setup, state(setup, answers, ASKING_DRAWS), 1)[0].position
        answers.append(Answer(bank.query[i], float(score[i])))
    return bank.positions([answer.query for answer in answers])


def fitted(
    mean: Float[np.ndarray, "query parameter"],
    variance: Float[np.ndarray, "query parameter"],
    prior: NormalAbility,
    columns: Float[np.ndarray, "query effect"],
    score: Float[np.ndarray, " query"],
) -> tuple[Float[np.ndarray, " query"], Float[np.ndarray, " effect"]]:
    """P(correct) at the mode of ability and effects, and these effects."""
    traits = mean.shape[1] - 1
    design = np.hstack([mean[:, :-1], columns])
    precision = np.diag(np.full(design.shape[1], EFFECT_SD**-2))
    precision[:traits, :traits] = np.linalg.inv(prior.factor @ prior.factor.T)
    centre = np.append(prior.mean, np.zeros(columns.shape[1]))
    at = centre
    for _ in range(STEPS):
        own = variance[:, :-1] @ at[:traits] ** 2 + variance[:, -1]
        shrink = 1.0 / np.sqrt(1.0 + np.pi / 8.0 * own)
        p = expit(shrink * (design @ at - mean[:, -1]))
        curvature = (design.T * (shrink**2 * p * (1 - p))) @ design + precision
        step = np.linalg.solve(curvature, design.T @ (shrink * (score - p)) - precision @ (at - centre))
        at = at + np.clip(step, -0.5, 0.5)
    return p, at[traits:]


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        sys.exit("\n".join(f"error: {problem}" for problem in error.problems))
