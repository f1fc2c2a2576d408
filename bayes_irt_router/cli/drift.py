"""`birt drift`: do a known LLM's recent answers still agree with what the model believes of it?"""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from bayes_irt_router.cli.border import print_json, tell, terminal
from bayes_irt_router.cli.options import (
    DATA,
    TEXTS,
    CacheFolder,
    EncoderName,
    Json,
    JsonOutput,
    ModelFolder,
    Seed,
    required_model,
)
from bayes_irt_router.errors import InputError


def drift(
    model: ModelFolder = None,
    llm: Annotated[
        str | None, typer.Option("--llm", metavar="NAME", help="An LLM that the model knows.")
    ] = None,
    answers: Annotated[
        Path | None,
        typer.Option(
            "--answers",
            metavar="FILE",
            help="Its answers since the model was fitted; none that was fitted.",
            rich_help_panel=DATA,
        ),
    ] = None,
    queries: Annotated[
        Path | None,
        typer.Option(
            "--queries", metavar="FILE", help="Texts of answered queries that are new.", rich_help_panel=TEXTS
        ),
    ] = None,
    false_alarms: Annotated[
        float,
        typer.Option(
            "--false-alarms",
            metavar="R",
            help="Largest share of unchanged LLMs that is ever flagged, however often you look.",
        ),
    ] = 0.01,
    seed: Seed = 0,
    encoder: EncoderName = None,
    cache_dir: CacheFolder = None,
    json: Json = False,
    output: JsonOutput = None,
) -> None:
    """`birt drift`."""
    folder = required_model(model)
    missing = [
        f"{what}: add {option}."
        for value, what, option in (
            (llm, "No LLM is named", "--llm NAME"),
            (answers, "There are no answers to check", "--answers FILE"),
        )
        if value is None
    ]
    if missing or llm is None or answers is None:
        raise InputError(missing)

    import numpy as np

    from bayes_irt_router.calibration.drift import check_drift
    from bayes_irt_router.calibration.inputs import read_answers
    from bayes_irt_router.cli.bank import item_bank
    from bayes_irt_router.data.rehearsal import rehearse_file
    from bayes_irt_router.inference.storage import load
    from bayes_irt_router.report.json_text import json_text

    if output is not None:
        rehearse_file(output)
    posterior = load(folder)
    if not posterior.gate.passed:
        tell("warning", posterior.gate.verdict)
    given = read_answers(answers, llm)
    bank, _, given = item_bank(folder, posterior, queries, given, encoder, cache_dir)
    found = check_drift(bank, llm, given, np.random.default_rng(seed), false_alarms=false_alarms)
    if json or output is not None:
        print_json(json_text(found.to_dict()), output, shown=json)
    if not json:
        told = found.sentence
        if found.drifted:
            again = ["birt", "calibrate", "--model", str(folder), "--llm", llm, "--answers", str(answers)]
            if queries is not None:
                again += ["--queries", str(queries)]
            told += f" Place it anew: {shlex.join([*again, '--output'])} DIR"
        terminal().print(told, markup=False, soft_wrap=True)
