"""`birt frontier`: accuracy against cost, over policies and alpha."""

from pathlib import Path
from typing import Annotated

import typer

from bayes_irt_router.cli.border import print_json, tell, terminal
from bayes_irt_router.cli.options import (
    DATA,
    CacheFolder,
    EncoderName,
    Json,
    Level,
    ModelFolder,
    Seed,
    required_model,
)
from bayes_irt_router.errors import InputError


def frontier(
    model: ModelFolder = None,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data", metavar="DIR", help="Folder with responses, queries and llms.", rich_help_panel=DATA
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option("--split", metavar="NAME", help="Only the queries of this split.", rich_help_panel=DATA),
    ] = None,
    allow_seen: Annotated[
        bool,
        typer.Option("--allow-seen", help="Use queries that were fitted, too.", rich_help_panel=DATA),
    ] = False,
    level: Level = 0.89,
    seed: Seed = 0,
    encoder: EncoderName = None,
    cache_dir: CacheFolder = None,
    json: Json = False,
    output: Annotated[
        list[Path] | None,
        typer.Option(
            "--output",
            metavar="PATH",
            help="Write the picture (.png, .svg, .pdf) or the JSON (.json) to this file; may be repeated.",
        ),
    ] = None,
) -> None:
    """`birt frontier`."""
    folder = required_model(model)
    if data is None:
        raise InputError("No data are named: add --data DIR, a folder with responses, queries and llms.")
    from bayes_irt_router.data.canonical import read_dataset, select_split
    from bayes_irt_router.data.rehearsal import rehearse_file
    from bayes_irt_router.evaluation.frontier import frontier as compute
    from bayes_irt_router.report.figure_files import FORMATS, write_figure
    from bayes_irt_router.report.json_text import json_text
    from bayes_irt_router.report.plots.accuracy_cost_frontier import accuracy_cost_frontier
    from bayes_irt_router.report.tables import print_table
    from bayes_irt_router.routing.router import Router

    outputs = output or []
    if wrong := [path for path in outputs if path.suffix.lower() not in (*FORMATS, ".json")]:
        raise InputError(
            [f"{path} does not end in {', '.join(FORMATS)} or .json; choose one of these." for path in wrong]
        )
    for path in outputs:
        rehearse_file(path)
    router = Router.load(folder, encoder, cache_dir)
    if router.warning:
        tell("warning", router.warning)
    dataset = read_dataset(data)
    if split is not None:
        dataset = select_split(dataset, split)
    result = compute(router, dataset, level=level, allow_seen=allow_seen, seed=seed)
    text = json_text(result.to_dict())
    for path in outputs:
        if path.suffix.lower() == ".json":
            print_json(text, path, shown=False)
        else:
            write_figure(accuracy_cost_frontier(result), path)
    if json:
        print_json(text, None, shown=True)
        return
    console = terminal()
    caption = (
        f"Predicted: expectation, with the {100 * level:g}% interval of accuracy over the parameters alone; replicated: the interval over "
        "these queries' residuals and answers as well, in which what is observed should lie."
    )
    print_table("Accuracy and cost of an answer", result.table(), console, caption)
    for note in result.notes:
        console.print(note, markup=False)
