"""`birt diff`: what changed between two fitted models."""

from pathlib import Path
from typing import Annotated

import typer

from bayes_irt_router.cli.border import print_json, terminal
from bayes_irt_router.cli.options import Json, JsonOutput, Level


def diff(
    old: Annotated[
        Path, typer.Argument(metavar="OLD", help="Folder of the older model.", show_default=False)
    ],
    new: Annotated[
        Path, typer.Argument(metavar="NEW", help="Folder of the newer model.", show_default=False)
    ],
    alpha: Annotated[
        float,
        typer.Option(
            "--alpha", metavar="A", help="Weight of correctness against cost in the decisions: 0 to 1."
        ),
    ] = 0.8,
    level: Level = 0.89,
    json: Json = False,
    output: JsonOutput = None,
) -> None:
    """`birt diff`."""
    from bayes_irt_router.data.rehearsal import rehearse_file
    from bayes_irt_router.inference.storage import load
    from bayes_irt_router.report.json_text import json_text
    from bayes_irt_router.report.model_difference import model_difference
    from bayes_irt_router.report.tables import print_table

    if output is not None:
        rehearse_file(output)
    difference = model_difference(load(old), load(new), alpha=alpha, level=level)
    if json or output is not None:
        print_json(json_text(difference.to_dict()), output, shown=json)
    if not json:
        console = terminal()
        for title, frame, caption in difference.tables():
            print_table(title, frame, console, caption)
        for note in difference.notes:
            console.print(note, markup=False)
