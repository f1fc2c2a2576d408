"""`birt llms`: LLMs of a fitted model retired, renamed or repriced, without a refit."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bayes_irt_router.cli.border import examples, print_json, terminal
from bayes_irt_router.cli.options import OUTPUT, Json, ModelFolder, required_model
from bayes_irt_router.errors import InputError

if TYPE_CHECKING:
    from bayes_irt_router.inference.posterior import Posterior

SCHEMA_VERSION = 1

NewModel = Annotated[
    Path | None,
    typer.Option("--output", metavar="DIR", help="Folder of the model to write.", rich_help_panel=OUTPUT),
]

llms = typer.Typer(
    name="llms",
    help="Retire, rename or reprice LLMs of a fitted model, without a refit; the old folder stays as it is.",
    epilog=examples("birt llms retire old-llm --model MODEL --output MODEL2"),
    no_args_is_help=True,
    rich_markup_mode="rich",
)


@llms.command(
    help="Take LLMs out of a model; everything else stays as it was.",
    epilog=examples("birt llms retire old-llm older-llm --model MODEL --output MODEL2"),
)
def retire(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="The LLMs.", show_default=False)],
    model: ModelFolder = None,
    output: NewModel = None,
    json: Json = False,
) -> None:
    """`birt llms retire`."""
    from bayes_irt_router.calibration.membership import retired

    _write(
        model,
        output,
        json,
        lambda posterior: retired(posterior, names),
        f"Retired: {', '.join(names)}.",
        dict.fromkeys(names),
    )


@llms.command(
    help="Give an LLM another name.",
    epilog=examples("birt llms rename old-name new-name --model MODEL --output MODEL2"),
)
def rename(
    old: Annotated[str, typer.Argument(metavar="OLD", help="Its name so far.", show_default=False)],
    new: Annotated[str, typer.Argument(metavar="NEW", help="Its name from now on.", show_default=False)],
    model: ModelFolder = None,
    output: NewModel = None,
    json: Json = False,
) -> None:
    """`birt llms rename`."""
    from bayes_irt_router.calibration.membership import renamed

    _write(
        model,
        output,
        json,
        lambda posterior: renamed(posterior, old, new),
        f"{old} is now {new}.",
        {old: new},
    )


@llms.command(
    help="Change an LLM's list prices; the scale of cost in the utility stays as fitted.",
    epilog=examples(
        "birt llms reprice some-llm --input-price 0.5 --output-price 1.5 --model MODEL --output MODEL2"
    ),
)
def reprice(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The LLM.", show_default=False)],
    input_price: Annotated[
        float | None,
        typer.Option("--input-price", metavar="USD", help="Per million input tokens."),
    ] = None,
    output_price: Annotated[
        float | None,
        typer.Option("--output-price", metavar="USD", help="Per million output tokens."),
    ] = None,
    model: ModelFolder = None,
    output: NewModel = None,
    json: Json = False,
) -> None:
    """`birt llms reprice`."""
    if input_price is None or output_price is None:
        raise InputError(
            "A price is missing: add --input-price USD and --output-price USD, per million tokens."
        )
    from bayes_irt_router.calibration.membership import with_price

    _write(
        model,
        output,
        json,
        lambda posterior: with_price(posterior, name, input_price, output_price),
        f"{name} costs {input_price:g} USD per million input tokens and {output_price:g} per million output tokens.",
        {},
    )


def _write(
    model: Path | None,
    output: Path | None,
    json: bool,
    change: "Callable[[Posterior], Posterior]",
    told: str,
    names: "Mapping[str, str | None]",
) -> None:
    """The changed model in a new folder, and a line about it; LLMs of `names` have another name, or none, in the report there."""
    folder = required_model(model)
    if output is None:
        raise InputError("No place for the model is named: add --output DIR.")
    if output.resolve() == folder.resolve():
        raise InputError(f"{output} holds the old model, which would be lost; choose another folder.")
    from bayes_irt_router.calibration.membership import report_renamed
    from bayes_irt_router.data.rehearsal import rehearse_directory
    from bayes_irt_router.inference.storage import RECORD, load, load_calibration, save
    from bayes_irt_router.report.json_text import json_text

    rehearse_directory(output, replaces=RECORD)
    posterior = change(load(folder))
    save(posterior, output, report_renamed(load_calibration(folder), names))
    if json:
        changes = posterior.record["changes"]
        print_json(
            json_text({"schema_version": SCHEMA_VERSION, "llms": posterior.llm, "changes": changes}),
            None,
            shown=True,
        )
        return
    terminal().print(
        f"{told} The model of {len(posterior.llm)} LLMs is in {output}.", markup=False, soft_wrap=True
    )
