"""`birt report`: one page about a model, for people."""

from pathlib import Path
from typing import Annotated

import typer

from bayes_irt_router.cli.border import tell
from bayes_irt_router.cli.options import (
    DATA,
    CacheFolder,
    EncoderName,
    Level,
    ModelFolder,
    Seed,
    required_model,
)
from bayes_irt_router.errors import InputError


def report(
    output: Annotated[
        Path, typer.Option("--output", metavar="PATH", help="The page to write, a .html file.")
    ],
    model: ModelFolder = None,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            metavar="DIR",
            help="Answered queries that were not fitted, to judge the model by and to route.",
            rich_help_panel=DATA,
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option("--split", metavar="NAME", help="Only the queries of this split.", rich_help_panel=DATA),
    ] = None,
    allow_seen: Annotated[
        bool, typer.Option("--allow-seen", help="Use queries that were fitted, too.", rich_help_panel=DATA)
    ] = False,
    keep_texts: Annotated[
        bool,
        typer.Option(
            "--keep-texts", help="Show the texts of the data's queries on the page.", rich_help_panel=DATA
        ),
    ] = False,
    level: Level = 0.89,
    seed: Seed = 0,
    encoder: EncoderName = None,
    cache_dir: CacheFolder = None,
) -> None:
    """`birt report`."""
    folder = required_model(model)
    problems = []
    if output.suffix.lower() not in (".html", ".htm"):
        problems.append(f"{output} does not end in .html; the report is a page, name it so.")
    if not 0 < level < 1:
        problems.append(f"level is {level}, but it must be between 0 and 1, for instance 0.89.")
    if data is None and (split is not None or allow_seen or keep_texts):
        problems.append("--split, --allow-seen and --keep-texts are about data: add --data DIR.")
    if problems:
        raise InputError(problems)

    from rich.console import Console
    from rich.progress import track

    from bayes_irt_router.data.canonical import read_dataset, select_split
    from bayes_irt_router.data.files import atomic_path
    from bayes_irt_router.data.rehearsal import rehearse_file
    from bayes_irt_router.inference.population import require_queries
    from bayes_irt_router.report.page.held_out import held_out
    from bayes_irt_router.report.page.pictures import picture_count, pictures
    from bayes_irt_router.report.page.report_page import report_page
    from bayes_irt_router.report.page.routed_queries import fitted_queries, unseen_queries
    from bayes_irt_router.routing.router import Router

    rehearse_file(output)
    router = Router.load(folder, encoder, cache_dir)
    require_queries(router.posterior, "the report")
    posterior, held = router.posterior, None
    if router.warning:
        tell("warning", router.warning)
    if data is None:
        routed = fitted_queries(posterior, level=level, seed=seed)
    else:
        dataset = read_dataset(data)
        chosen = dataset if split is None else select_split(dataset, split)
        held = held_out(router, chosen, allow_seen=allow_seen, seed=seed)
        routed = unseen_queries(router, held.queries, level=level, seed=seed, show_texts=keep_texts)
    drawn = list(
        track(
            pictures(posterior, held, level=level, seed=seed),
            description="pictures",
            total=picture_count(posterior, held),
            console=Console(stderr=True),
            transient=True,
        )
    )
    page = report_page(posterior, folder.resolve().name, routed, drawn, held, level=level)
    with atomic_path(output) as temporary:
        temporary.write_text(page, encoding="utf-8", newline="\n")
    typer.echo(f"The report is in {output}: open it in a browser; it needs no network.")
