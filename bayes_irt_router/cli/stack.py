"""`birt stack`: several models of the same data as one."""

from pathlib import Path
from typing import Annotated

import typer

from bayes_irt_router.cli.border import print_json, tell, terminal
from bayes_irt_router.cli.options import OUTPUT, Json
from bayes_irt_router.errors import InputError, gathered

SCHEMA_VERSION = 1


def stack(
    models: Annotated[
        list[Path],
        typer.Argument(
            metavar="MODEL...",
            help="Folders of fitted models; abilities, explanations and costs are those of the first.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", metavar="DIR", help="Folder of the model to write.", rich_help_panel=OUTPUT),
    ] = None,
    json: Json = False,
) -> None:
    """`birt stack`."""
    if output is None:
        raise InputError("No place for the model is named: add --output DIR.")
    if output.resolve() in {model.resolve() for model in models}:
        raise InputError(f"{output} holds one of the models, which would be lost; choose another folder.")

    from bayes_irt_router.data.rehearsal import rehearse_directory
    from bayes_irt_router.inference import stacking
    from bayes_irt_router.inference.posterior import Posterior
    from bayes_irt_router.inference.storage import RECORD, load, save
    from bayes_irt_router.report.json_text import json_text

    rehearse_directory(output, replaces=RECORD)
    found: list[Posterior] = []
    problems: list[str] = []
    for model in models:
        with gathered(problems):
            found.append(load(model))
    if problems:
        raise InputError(problems)
    posterior = stacking.stack(found)
    save(posterior, output)
    kinds = [one.record["kind"] for one in stacking.members(posterior)]
    if not posterior.gate.passed:
        tell("warning", posterior.gate.verdict)
    if json:
        print_json(
            json_text({"schema_version": SCHEMA_VERSION, "llms": posterior.llm, "kinds": kinds}),
            None,
            shown=True,
        )
        return
    terminal().print(
        f"The stack of {len(kinds)} models ({', '.join(kinds)}) is in {output}; `birt route`, `birt evaluate` and the others read it "
        "like any model.",
        markup=False,
        soft_wrap=True,
    )
