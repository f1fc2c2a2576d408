"""A benchmark with a known truth: templated questions answered by simulated LLMs.

The truth is a compensatory multidimensional item response model,

    p_ij = sigmoid(a_i . theta_j - b_i),    score_ij ~ Bernoulli(p_ij),

with a general trait and specific ones. Difficulty follows what can be read off the text (steps, size, task)
plus a residual that cannot; abilities follow size, release date and family plus a residual. The LLMs and
their names are invented.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Bool, Float

from bayes_irt_router.data.canonical import write_dataset
from bayes_irt_router.data.files import atomic_path
from bayes_irt_router.data.question_bank import SKILLS, TASKS, Question, write_questions
from bayes_irt_router.data.simulated_llms import LLMS, SimulatedLLM
from bayes_irt_router.errors import InputError

TRAITS = ("general", *SKILLS)
"""Names of the simulated traits; `simulate(traits=D)` uses the first D."""

TRUTH_FILE = "truth.nc"
"""Name of the file with the truth behind a simulated benchmark."""

_MIN_LLMS = 4  # the first four of the catalogue: a large one, a small one and the two specialists
_MIN_PER_TASK = 2  # one to train on, one to test on
_TEST_SHARE = 0.2

_INTERCEPT = -0.7  # the difficulty of an average question, in logits
_TASK_SD = 0.4
_STEPS_EFFECT = 0.5  # logits per SD of steps within a task
_SIZE_EFFECT = 0.4
_DIFFICULTY_RESIDUAL_SD = 0.5
_DISCRIMINATION_RESIDUAL_SD = 0.25  # of the logarithm

_PARAMETERS_EFFECT = 0.6  # logits per SD of log parameters, on the general trait
_DATE_EFFECT = 0.25  # logits per SD of the release date, on the general trait
_FAMILY_SD = 0.15
_GENERAL_RESIDUAL_SD = 0.15
_SPECIFIC_RESIDUAL_SD = 0.4

_OUTPUT_TOKENS = 150.0  # median of an LLM of average verbosity on an average question
_TOKENS_PER_LOGIT = 0.25  # harder questions get longer answers: log tokens per logit of difficulty
_TOKENS_RESIDUAL_SD = 0.35
_CHARACTERS_PER_TOKEN = 4.0


@dataclass(frozen=True)
class Simulation:
    """A simulated benchmark.

    Attributes:
        dataset: canonical data, dims (query, llm), as a reader of real data would return it.
        truth: what generated it: `ability` (llm, trait) in logits, zero-mean over the LLMs; `discrimination`
            (query, trait), positive; `difficulty` (query) in logits; `p_correct` (query, llm), for every
            cell, observed or not; `level` (query), what the questions were meant to demand, in [0, 1].
    """

    dataset: xr.Dataset
    truth: xr.Dataset


def simulate(
    rng: np.random.Generator, *, queries: int = 600, llms: int = 20, traits: int = 3, observed: float = 0.9
) -> Simulation:
    """Draw a benchmark and its truth.

    Args:
        rng: the source of all randomness; the same state gives the same benchmark.
        queries: number of questions, at least two per task.
        llms: number of LLMs, 4 to 20.
        traits: number of traits, 1 to 5: "general", then "knowledge", "code", "mathematics", "language".
        observed: share of answered training cells, in (0, 1]. Below 1, cells of training queries are missing
            at random, one LLM misses a whole task in both splits on top, and every query keeps an answer.

    Raises:
        InputError: an argument is out of its range.

    >>> dict(simulate(np.random.default_rng(0), queries=32, llms=5).dataset.sizes)
    {'query': 32, 'llm': 5}
    """
    _check_arguments(queries, llms, traits, observed)
    questions = write_questions(queries, rng)
    catalogue = LLMS[:llms]
    query_ids = [f"sim-{i:05d}" for i in range(queries)]
    names = [llm.name for llm in catalogue]

    ability = _draw_abilities(catalogue, traits, rng)
    discrimination = _draw_discriminations(questions, traits, rng)
    difficulty = _draw_difficulties(questions, rng)
    p_correct = 1.0 / (1.0 + np.exp(difficulty[:, None] - discrimination @ ability.T))
    truth = xr.Dataset(
        {
            "ability": (("llm", "trait"), ability),
            "discrimination": (("query", "trait"), discrimination),
            "difficulty": ("query", difficulty),
            "p_correct": (("query", "llm"), p_correct),
            "level": ("query", np.array([question.level for question in questions])),
        },
        coords={
            "query": _texts(query_ids),
            "llm": _texts(names),
            "trait": _texts(TRAITS[:traits]),
        },
    )

    split = _draw_splits(questions, rng)
    answered = _draw_answered(questions, np.array(split) == "train", llms, observed, rng)
    score = np.where(answered, rng.random(p_correct.shape) < p_correct, np.nan)
    verbosity = np.array([llm.verbosity for llm in catalogue])
    log_tokens = (
        np.log(_OUTPUT_TOKENS)
        + verbosity[None, :]
        + _TOKENS_PER_LOGIT * (difficulty - difficulty.mean())[:, None]
        + _TOKENS_RESIDUAL_SD * rng.standard_normal(p_correct.shape)
    )
    output_tokens = np.where(answered, np.ceil(np.exp(log_tokens)), np.nan)
    lengths = np.array([len(question.text) for question in questions])
    input_tokens = np.where(answered, np.ceil(lengths / _CHARACTERS_PER_TOKEN)[:, None], np.nan)

    cell = ("query", "llm")
    dataset = xr.Dataset(
        {
            "score": (cell, score),
            "trials": (cell, answered.astype(np.int64)),
            "input_tokens": (cell, input_tokens),
            "output_tokens": (cell, output_tokens),
        },
        coords={
            "query": _texts(query_ids),
            "llm": _texts(names),
            "task": ("query", _texts([question.task for question in questions])),
            "split": ("query", _texts(split)),
            "text": ("query", _texts([question.text for question in questions])),
            **_llm_coordinates(catalogue),
        },
    )
    return Simulation(dataset, truth)


def write_simulation(simulation: Simulation, directory: Path) -> None:
    """Write a benchmark in the canonical layout, with the truth beside it as `truth.nc`.

    Nothing appears until everything has been prepared, and every file appears at once.

    Args:
        simulation: what `simulate` returned.
        directory: made when missing; files of the same names are replaced.

    Raises:
        InputError: the place cannot be written to, or it holds the tables in another format.
    """
    with atomic_path(directory / TRUTH_FILE) as temporary:
        simulation.truth.to_netcdf(temporary, engine="h5netcdf")
        write_dataset(simulation.dataset, directory)


def read_truth(directory: Path) -> xr.Dataset:
    """Read the truth that `write_simulation` wrote.

    Raises:
        InputError: there is none, or it cannot be read.
    """
    path = directory / TRUTH_FILE
    if not path.is_file():
        raise InputError(f"{path} does not exist; only a simulated benchmark has a truth (`birt simulate`).")
    try:
        truth = xr.load_dataset(path, engine="h5netcdf")
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"{path} is damaged ({type(error).__name__}); simulate the benchmark again."
        ) from error
    missing = {"ability", "discrimination", "difficulty", "p_correct", "level"} - set(truth.data_vars)
    if missing:
        raise InputError(f"{path} lacks {', '.join(sorted(missing))}; simulate the benchmark again.")
    return truth


def _check_arguments(queries: int, llms: int, traits: int, observed: float) -> None:
    least = _MIN_PER_TASK * len(TASKS)
    problems = []
    if queries < least:
        problems.append(f"{queries} queries are too few for {len(TASKS)} tasks; ask for at least {least}.")
    if not _MIN_LLMS <= llms <= len(LLMS):
        problems.append(f"{llms} LLMs cannot be simulated; ask for {_MIN_LLMS} to {len(LLMS)}.")
    if not 1 <= traits <= len(TRAITS):
        problems.append(f"{traits} traits cannot be simulated; ask for 1 to {len(TRAITS)}.")
    if not 0.0 < observed <= 1.0:
        problems.append(f"The share of observed answers is {observed}; give a number above 0 and at most 1.")
    if problems:
        raise InputError(problems)


def _draw_abilities(
    catalogue: tuple[SimulatedLLM, ...], traits: int, rng: np.random.Generator
) -> Float[np.ndarray, "llm trait"]:
    """In logits, relative to the mean of the LLMs drawn."""
    families = sorted({llm.family for llm in LLMS})
    family = np.array([families.index(llm.family) for llm in catalogue])
    ability = _FAMILY_SD * rng.standard_normal((len(families), traits))[family]
    residual_sd = np.array([_GENERAL_RESIDUAL_SD] + [_SPECIFIC_RESIDUAL_SD] * (traits - 1))
    ability += residual_sd * rng.standard_normal(ability.shape)
    log_parameters = np.log([llm.parameters_billion for llm in catalogue])
    ability[:, 0] += _PARAMETERS_EFFECT * _standardised(log_parameters)
    ability[:, 0] += _DATE_EFFECT * _standardised(
        np.array([llm.release_month for llm in catalogue], dtype=float)
    )
    for k, trait in enumerate(TRAITS[:traits]):
        ability[:, k] += [llm.strength if llm.speciality == trait else 0.0 for llm in catalogue]
    return ability - ability.mean(axis=0)


def _draw_discriminations(
    questions: list[Question], traits: int, rng: np.random.Generator
) -> Float[np.ndarray, "query trait"]:
    """1 on the general trait, the task's demands on the others, each times a residual."""
    demands = np.array([[question.demands[skill] for skill in SKILLS] for question in questions])
    loadings = np.column_stack([np.ones(len(questions)), demands])[:, :traits]
    residual = np.exp(_DISCRIMINATION_RESIDUAL_SD * rng.standard_normal(loadings.shape))
    return loadings * residual


def _draw_difficulties(questions: list[Question], rng: np.random.Generator) -> Float[np.ndarray, " query"]:
    """In logits: intercept, task effect, what the text shows, and a residual."""
    visible = pd.DataFrame(
        [(question.task, question.steps, question.size) for question in questions],
        columns=["task", "steps", "size"],
    )
    by_task = visible.groupby("task")
    steps = by_task["steps"].transform(_standardised).to_numpy()
    size = by_task["size"].transform(_standardised).to_numpy()
    task_effect = dict(zip(TASKS, _TASK_SD * rng.standard_normal(len(TASKS)), strict=True))
    return (
        _INTERCEPT
        + visible["task"].map(task_effect).to_numpy()
        + _STEPS_EFFECT * steps
        + _SIZE_EFFECT * size
        + _DIFFICULTY_RESIDUAL_SD * rng.standard_normal(len(questions))
    )


def _standardised[T: (np.ndarray, pd.Series)](values: T) -> T:
    """Mean 0 and SD 1; all zero where the values do not differ."""
    centred = values - values.mean()
    return centred / max(float(values.std(ddof=0)), 1e-9)


def _draw_answered(
    questions: list[Question],
    train: Bool[np.ndarray, " query"],
    llms: int,
    observed: float,
    rng: np.random.Generator,
) -> Bool[np.ndarray, "query llm"]:
    """Which cells have an answer; the test split has all but one LLM's, so that routing can be judged on it."""
    if observed == 1.0:
        return np.ones((len(questions), llms), dtype=bool)
    answered = (rng.random((len(questions), llms)) < observed) | ~train[:, None]
    task = np.array([question.task for question in questions])
    absent = int(rng.integers(llms))
    answered[task == TASKS[int(rng.integers(len(TASKS)))], absent] = False
    for i in np.flatnonzero(~answered.any(axis=1)):
        answered[i, (absent + int(rng.integers(1, llms))) % llms] = True
    return answered


def _draw_splits(questions: list[Question], rng: np.random.Generator) -> list[str]:
    """'train' or 'test' for every query: a fifth of every task, at least one query, is for the test."""
    task = np.array([question.task for question in questions])
    split = np.full(len(questions), "train", dtype=object)
    for name in TASKS:
        members = rng.permutation(np.flatnonzero(task == name))
        split[members[: max(1, round(_TEST_SHARE * len(members)))]] = "test"
    return [str(s) for s in split]


def _llm_coordinates(catalogue: tuple[SimulatedLLM, ...]) -> dict[str, Any]:
    """What a table of LLMs would tell; undisclosed parameter counts are missing."""
    columns: dict[str, list[Any]] = {
        "developer": [llm.developer for llm in catalogue],
        "family": [llm.family for llm in catalogue],
        "release_date": [llm.release_date for llm in catalogue],
        "parameters_billion": [llm.parameters_billion if llm.open_weights else np.nan for llm in catalogue],
        "context_tokens": [float(llm.context_tokens) for llm in catalogue],
        "open_weights": [float(llm.open_weights) for llm in catalogue],
        "input_price_per_million": [llm.input_price_per_million for llm in catalogue],
        "output_price_per_million": [llm.output_price_per_million for llm in catalogue],
    }
    return {
        name: ("llm", _texts(values) if isinstance(values[0], str) else np.array(values))
        for name, values in columns.items()
    }


def _texts(values: Sequence[str]) -> np.ndarray:
    """Texts as Python objects, the way that a reader of the canonical layout returns them."""
    return np.array(values, dtype=object)
