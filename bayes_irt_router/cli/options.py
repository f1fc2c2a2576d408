"""Options that several commands share: one name, one meaning."""

from pathlib import Path
from typing import Annotated

import typer

from bayes_irt_router.errors import InputError

LARGEST_SEED = 2**31 - 1  # the largest that every library takes
DATA, SAMPLING, MODEL, TEXTS, OUTPUT = "Data", "Sampling", "Model", "Texts", "Output"

ModelFolder = Annotated[Path | None, typer.Option("--model", metavar="DIR", help="Folder of a fitted model.")]
Seed = Annotated[
    int, typer.Option("--seed", metavar="S", min=0, max=LARGEST_SEED, help="Of everything random.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, to standard output.")]
JsonOutput = Annotated[
    Path | None, typer.Option("--output", metavar="PATH", help="Write the JSON to this file as well.")
]
Level = Annotated[
    float,
    typer.Option("--level", metavar="L", help="Share of the draws that an interval holds, between 0 and 1."),
]
EncoderName = Annotated[
    str | None,
    typer.Option(
        "--encoder",
        metavar="NAME",
        help="Sentence-transformers model, a name or folder (default: all-MiniLM-L6-v2, or the model's own).",
        rich_help_panel=TEXTS,
    ),
]
CacheFolder = Annotated[
    Path | None,
    typer.Option("--cache-dir", metavar="DIR", help="Folder of the embedding cache.", rich_help_panel=TEXTS),
]
AssumedTokens = Annotated[
    int | None,
    typer.Option(
        "--assume-output-tokens",
        metavar="N",
        min=0,
        help="Output tokens of an answer where the data have none counted.",
        rich_help_panel=DATA,
    ),
]


def required_model(model: Path | None) -> Path:
    """The folder after `--model`, which no command can do without.

    Raises:
        InputError: it was not given.
    """
    if model is None:
        raise InputError(
            "No model is named: add --model DIR, the folder of a fitted model; `make demo` makes one in "
            "runs/demo/model."
        )
    return model
