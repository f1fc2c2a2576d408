"""`birt evaluate`: how good a model is on queries it has not seen."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bayes_irt_router.cli.border import print_json, tell, terminal
from bayes_irt_router.cli.options import (
    DATA,
    AssumedTokens,
    CacheFolder,
    EncoderName,
    Json,
    JsonOutput,
    ModelFolder,
    Seed,
    required_model,
)
from bayes_irt_router.errors import InputError

if TYPE_CHECKING:
    import xarray as xr


def evaluate(
    model: ModelFolder = None,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data", metavar="DIR", help="Folder with responses, queries and llms.", rich_help_panel=DATA
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            "--split",
            metavar="NAME",
            help="Only the queries of this split (with --compare: test by default).",
            rich_help_panel=DATA,
        ),
    ] = None,
    compare: Annotated[
        bool,
        typer.Option(
            "--compare", help="Fit all baselines to the training split, and score them beside the model."
        ),
    ] = False,
    train_split: Annotated[
        str,
        typer.Option(
            "--train-split",
            metavar="NAME",
            help="Split that the baselines are fitted to (--compare).",
            rich_help_panel=DATA,
        ),
    ] = "train",
    by_difficulty: Annotated[
        bool,
        typer.Option(
            "--by-difficulty",
            help="Show accuracy and chosen LLMs from the easiest to the most difficult tenth of the queries; the JSON always "
            "has them.",
        ),
    ] = False,
    allow_seen: Annotated[
        bool,
        typer.Option("--allow-seen", help="Evaluate queries that were fitted, too.", rich_help_panel=DATA),
    ] = False,
    assume_output_tokens: AssumedTokens = None,
    seed: Seed = 0,
    encoder: EncoderName = None,
    cache_dir: CacheFolder = None,
    json: Json = False,
    output: JsonOutput = None,
) -> None:
    """`birt evaluate`."""
    folder = required_model(model)
    if data is None:
        raise InputError("No data are named: add --data DIR, a folder with responses, queries and llms.")

    from bayes_irt_router.data.canonical import read_dataset, select_split
    from bayes_irt_router.data.rehearsal import rehearse_file
    from bayes_irt_router.evaluation.compare import Comparison
    from bayes_irt_router.evaluation.compare import compare as beside
    from bayes_irt_router.evaluation.evaluate import Evaluation
    from bayes_irt_router.evaluation.evaluate import evaluate as score
    from bayes_irt_router.report.json_text import json_text
    from bayes_irt_router.report.tables import print_table
    from bayes_irt_router.routing.router import Router

    if output is not None:
        rehearse_file(output)
    router = Router.load(folder, encoder, cache_dir)
    if router.warning:
        tell("warning", router.warning)
    dataset = read_dataset(data)
    if assume_output_tokens is not None:
        dataset = with_assumed_tokens(dataset, assume_output_tokens)
    if compare and split is None:
        split = "test"
    chosen = dataset if split is None else select_split(dataset, split)
    if compare:
        train = select_split(dataset, train_split)
        result: Evaluation | Comparison = beside(router, train, chosen, allow_seen=allow_seen, seed=seed)
    else:
        result = score(router, chosen, allow_seen=allow_seen, seed=seed)
    content = result.to_dict()
    if assume_output_tokens is not None:
        content["assumed_output_tokens"] = assume_output_tokens
    if json or output is not None:
        print_json(json_text(content), output, shown=json)
    if not json:
        console = terminal()
        tables = result.tables()
        if by_difficulty:
            evaluation = result.evaluation if isinstance(result, Comparison) else result
            tables += evaluation.difficulty_tables()
        for title, frame in tables:
            print_table(title, frame, console)
        for note in content.get("notes", []):
            console.print(note, markup=False)


def with_assumed_tokens(dataset: "xr.Dataset", tokens: int) -> "xr.Dataset":
    """The data with this many output tokens for every answer whose tokens were not counted."""
    answered = dataset["score"].notnull()
    counted = dataset["output_tokens"] if "output_tokens" in dataset else dataset["score"].where(False)
    return dataset.assign(output_tokens=counted.fillna(float(tokens)).where(answered))
