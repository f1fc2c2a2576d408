"""`birt route`: an LLM for each prompt."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bayes_irt_router.cli.border import print_json, tell, terminal
from bayes_irt_router.cli.options import (
    CacheFolder,
    EncoderName,
    Json,
    JsonOutput,
    Level,
    ModelFolder,
    Seed,
    required_model,
)
from bayes_irt_router.errors import InputError

if TYPE_CHECKING:
    from bayes_irt_router.routing.decision import Decision
    from bayes_irt_router.routing.router import Router

TEXT_COLUMNS = ("text", "prompt")
NAME_COLUMNS = ("global index", "query_id", "id")
FULL_TABLES = 4  # up to this many prompts get a table each; more share one


def route(
    prompts: Annotated[
        list[str] | None, typer.Argument(metavar="PROMPT", help="The prompts.", show_default=False)
    ] = None,
    model: ModelFolder = None,
    input: Annotated[  # noqa: A002  (the name of the option)
        str | None,
        typer.Option(
            "--input",
            metavar="FILE|-",
            help="More prompts: one a line in a .txt file or from standard input (-), or the column text or "
            "prompt of a .jsonl, .csv or .parquet table.",
        ),
    ] = None,
    alpha: Annotated[
        float,
        typer.Option(
            "--alpha", metavar="A", help="Weight of correctness against cost: 0 is cheapest, 1 is best."
        ),
    ] = 0.8,
    allow: Annotated[
        list[str] | None,
        typer.Option(
            "--allow", metavar="LLM,...", help="LLMs to choose from (default: all that the model knows)."
        ),
    ] = None,
    prices: Annotated[
        str | None,
        typer.Option(
            "--prices",
            metavar="FILE|litellm",
            help="Prices instead of those of the fit: a table of llm, input_price_per_million, "
            "output_price_per_million and date, or LiteLLM's own.",
        ),
    ] = None,
    level: Level = 0.89,
    seed: Seed = 0,
    encoder: EncoderName = None,
    cache_dir: CacheFolder = None,
    json: Json = False,
    output: JsonOutput = None,
    routerarena: Annotated[
        Path | None,
        typer.Option(
            "--routerarena", metavar="PATH", help="Write the choices as a prediction file of RouterArena."
        ),
    ] = None,
) -> None:
    """`birt route`."""
    folder = required_model(model)
    if not prompts and input is None:
        raise InputError(
            "There is no prompt: add one in quotation marks, or --input FILE (- for standard input)."
        )
    texts = [*(prompts or []), *(read_prompts(input) if input is not None else [])]
    from bayes_irt_router.data.rehearsal import rehearse_file
    from bayes_irt_router.report.json_text import json_text
    from bayes_irt_router.routing.router import Router, routing_json

    for path in (output, routerarena):
        if path is not None:
            rehearse_file(path)
    router = Router.load(folder, encoder, cache_dir)
    if router.warning:
        tell("warning", router.warning)
    told: dict[str, object] = {}
    if prices is not None:
        router, told = _repriced(router, prices)
    allowed = (
        [name.strip() for names in allow for name in names.split(",") if name.strip()] if allow else None
    )
    decisions = list(
        _with_bar(router.route_each(texts, alpha=alpha, allow=allowed, level=level, seed=seed), len(texts))
    )
    if routerarena is not None:
        from bayes_irt_router.data.files import write_json
        from bayes_irt_router.report.routerarena import prediction_records

        indices = [
            *map(str, range(len(prompts or []))),
            *prompt_names(input, len(texts) - len(prompts or [])),
        ]
        write_json(routerarena, prediction_records(indices, texts, decisions))
    if json or output is not None:
        print_json(json_text(routing_json(decisions, alpha) | told), output, shown=json)
    if not json:
        _print_decisions(texts, decisions)


def read_prompts(source: str) -> list[str]:
    """Prompts from standard input (`-`) or a file.

    A `.txt` file and standard input hold one prompt a line; blank lines are skipped. Other files are tables
    with a column `text` or `prompt`.

    Raises:
        InputError: the file is missing, damaged, or holds no prompt; or a row has no text.
    """
    if source == "-":
        return _lines(sys.stdin.buffer.read(), "Standard input")
    path = Path(source)
    if path.suffix.lower() == ".txt":
        try:
            return _lines(path.read_bytes(), source)
        except OSError as error:
            raise InputError(f"{path} cannot be read ({error.strerror}); check the path.") from None

    from bayes_irt_router.data.files import TABLE_SUFFIXES, read_table

    if path.suffix.lower() not in TABLE_SUFFIXES:
        raise InputError(
            f"{path} does not end in .txt, {', '.join(TABLE_SUFFIXES)}; convert it to one of these formats."
        )
    table = read_table(path)
    column = next((name for name in TEXT_COLUMNS if name in table), None)
    if column is None:
        raise InputError(f"{path} has no column {' or '.join(TEXT_COLUMNS)}; name the prompts' column so.")
    cells = table[column].tolist()
    if not cells:
        raise InputError(f"{path} holds no prompt; add rows.")
    wrong = [number for number, cell in enumerate(cells, 1) if not isinstance(cell, str) or not cell.strip()]
    if wrong:
        raise InputError(
            [
                f"{path}, data row {number}: {column} is not a text; give it words or drop the row."
                for number in wrong
            ]
        )
    return cells


def prompt_names(source: str | None, number: int) -> list[str]:
    """What a file of prompts calls each of them: its column `global index`, `query_id` or `id`, or 0, 1, ..."""
    from bayes_irt_router.data.files import TABLE_SUFFIXES, read_table

    if source is not None and Path(source).suffix.lower() in TABLE_SUFFIXES:
        table = read_table(Path(source))
        column = next((name for name in NAME_COLUMNS if name in table), None)
        if column is not None:
            return [str(name) for name in table[column]]
    return [str(position) for position in range(number)]


def _lines(content: bytes, source: str) -> list[str]:
    try:
        lines = content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{source} is not UTF-8 text (byte {error.start}); save it as UTF-8.") from None
    prompts = [line.strip() for line in lines if line.strip()]
    if not prompts:
        raise InputError(f"{source} holds no prompt; write one a line.")
    return prompts


def _repriced(router: "Router", source: str) -> "tuple[Router, dict[str, object]]":
    """The router at other prices, and what its JSON says of them."""
    from bayes_irt_router.data.prices import LITELLM, installed_litellm_prices, read_prices

    table = installed_litellm_prices() if source == LITELLM else read_prices(Path(source))
    used = {name: table[name] for name in router.posterior.llm if name in table}
    if not used:
        raise InputError(f"{source} prices none of the model's LLMs; name them as `birt info` does.")
    if kept := [name for name in router.posterior.llm if name not in table]:
        tell("warning", f"{source} has no price of {', '.join(kept)}; the fit's prices stay for these.")
    dates = {name: price.date or None for name, price in used.items()}
    return router.with_prices(used), {"prices": {"source": source, "dates": dates}}


def _with_bar(decisions: "Iterator[Decision]", total: int) -> "Iterator[Decision]":
    """A progress bar on standard error where there is more than a moment's work."""
    if total <= 64:
        yield from decisions
        return
    from rich.console import Console
    from rich.progress import track

    yield from track(decisions, "Routing", total=total, console=Console(stderr=True))


def _print_decisions(prompts: "list[str]", decisions: "list[Decision]") -> None:
    from bayes_irt_router.report.tables import decision_table, decisions_frame, print_table, shortened

    console = terminal()
    if len(decisions) > FULL_TABLES:
        caption = "The chosen LLM for each prompt; --json tells every candidate and the reason."
        print_table("Decisions", decisions_frame(prompts, decisions), console, caption)
        return
    for prompt, decision in zip(prompts, decisions, strict=True):
        console.print(decision_table(decision, f"{shortened(prompt, 70)}  ->  {decision.llm}"), "")
