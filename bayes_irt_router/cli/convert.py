"""`birt convert`: data of other tools in the canonical layout."""

from pathlib import Path
from typing import Annotated

import typer

from bayes_irt_router.cli.border import terminal
from bayes_irt_router.cli.options import Json
from bayes_irt_router.errors import InputError


def convert(
    source: Annotated[
        Path, typer.Argument(metavar="SOURCE", help="File or folder to read.", show_default=False)
    ],
    output: Annotated[
        Path, typer.Option("--output", metavar="DIR", help="Folder to write responses, queries and llms to.")
    ],
    format: Annotated[  # noqa: A002  (the name of the option)
        str | None,
        typer.Option(
            "--format",
            metavar="NAME",
            help="irt-router, routerbench, routellm, llmrouter, llmrouterbench, embedllm, py-irt, lm-eval, inspect, "
            "zeroeval, routerarena or long (default: the one that SOURCE looks like).",
        ),
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(
            "--metric",
            metavar="NAME",
            help="Which score to take of lm-eval's or Inspect's; may be repeated, one for each task.",
        ),
    ] = None,
    queries: Annotated[
        Path | None,
        typer.Option(
            "--queries", metavar="FILE", help="Table of query_id and text, where SOURCE has no texts."
        ),
    ] = None,
    llms: Annotated[
        Path | None,
        typer.Option("--llms", metavar="FILE", help="LLMs and prices: a table, or the JSON of LLMRouter."),
    ] = None,
    json: Json = False,
) -> None:
    """`birt convert`."""
    from bayes_irt_router.data.canonical import write_dataset
    from bayes_irt_router.data.files import tables_named
    from bayes_irt_router.data.readers.catalogue import detected_format, format_named, read_source
    from bayes_irt_router.report.conversion import conversion_frame, conversion_json
    from bayes_irt_router.report.json_text import json_text
    from bayes_irt_router.report.tables import print_table

    held = [path.name for name in ("responses", "queries", "llms") for path in tables_named(output, name)]
    if held:
        raise InputError(
            f"{output} already holds {', '.join(held)}; remove them, or write to another folder."
        )
    one = detected_format(source) if format is None else format_named(format)
    dataset = read_source(source, one, metrics=metric or [], queries=queries, llms=llms)
    write_dataset(dataset, output)
    if json:
        typer.echo(json_text(conversion_json(dataset, one.name)))
    else:
        print_table(f"{source} as {one.name}", conversion_frame(dataset), terminal(), f"Written to {output}.")
