"""`birt route`: an LLM for each prompt."""

import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bayes_irt_router.cli.border import print_json, tell, terminal
from bayes_irt_router.cli.options import (
    CacheFolder,
    EncoderName,
    Json,
    Level,
    ModelFolder,
    Seed,
    required_model,
)
from bayes_irt_router.errors import InputError

if TYPE_CHECKING:
    from bayes_irt_router.routing.decision import Decision
    from bayes_irt_router.routing.limits import Limits
    from bayes_irt_router.routing.router import Request, Router

FULL_TABLES = 4  # up to this many prompts get a table each; more share one
LIMITS, POLICY = "Limits", "Policy"


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
    policy: Annotated[
        str,
        typer.Option(
            "--policy",
            metavar="NAME",
            help="expected_utility, min_success, chance_constrained, probability_of_improvement, lower_bound or "
            "equivalence.",
            rich_help_panel=POLICY,
        ),
    ] = "expected_utility",
    option: Annotated[
        list[str] | None,
        typer.Option(
            "--option",
            metavar="KEY=VALUE",
            help="Of the policy, such as target=0.9; may be repeated.",
            rich_help_panel=POLICY,
        ),
    ] = None,
    allow: Annotated[
        list[str] | None,
        typer.Option(
            "--allow",
            metavar="LLM,...",
            help="LLMs to choose from (default: all that the model knows).",
            rich_help_panel=LIMITS,
        ),
    ] = None,
    deny: Annotated[
        list[str] | None,
        typer.Option("--deny", metavar="LLM,...", help="LLMs not to choose.", rich_help_panel=LIMITS),
    ] = None,
    max_cost: Annotated[
        float | None,
        typer.Option(
            "--max-cost",
            metavar="USD",
            help="Most that an answer may be expected to cost.",
            rich_help_panel=LIMITS,
        ),
    ] = None,
    require: Annotated[
        list[str] | None,
        typer.Option(
            "--require",
            metavar="TAG,...",
            help="Capabilities that an LLM must declare.",
            rich_help_panel=LIMITS,
        ),
    ] = None,
    fallback: Annotated[
        str | None,
        typer.Option(
            "--fallback",
            metavar="LLM",
            help="Takes unfamiliar prompts, and those for which the policy abstains.",
            rich_help_panel=LIMITS,
        ),
    ] = None,
    min_familiarity: Annotated[
        float | None,
        typer.Option(
            "--min-familiarity",
            metavar="X",
            help="Prompts less familiar, from 0 to 1, go to the fallback, or to nobody.",
            rich_help_panel=LIMITS,
        ),
    ] = None,
    explain: Annotated[
        bool,
        typer.Option(
            "--explain", help="Say what each prompt leans on, what it resembles, and how sure it is."
        ),
    ] = False,
    level: Level = 0.89,
    seed: Seed = 0,
    encoder: EncoderName = None,
    cache_dir: CacheFolder = None,
    json: Json = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            metavar="PATH",
            help="Write the JSON to this file as well; a .jsonl, .csv or .parquet file gets a row for each prompt, of "
            "any number.",
        ),
    ] = None,
) -> None:
    """`birt route`."""
    folder = required_model(model)
    if not prompts and input is None:
        raise InputError(
            "There is no prompt: add one in quotation marks, or --input FILE (- for standard input)."
        )
    from bayes_irt_router.data.files import TABLE_SUFFIXES
    from bayes_irt_router.data.rehearsal import rehearse_file
    from bayes_irt_router.report.json_text import json_text
    from bayes_irt_router.routing.limits import Limits as HardLimits
    from bayes_irt_router.routing.limits import names_of
    from bayes_irt_router.routing.router import Router, routing_json

    total, texts = _prompts(prompts or [], input)
    if output is not None:
        rehearse_file(output)
    router = Router.load(folder, encoder, cache_dir)
    if router.warning:
        tell("warning", router.warning)
    limits = HardLimits(
        names_of(allow),
        names_of(deny) or (),
        max_cost,
        names_of(require) or (),
        fallback,
        min_familiarity,
    )
    request = _request(router, alpha, policy, option or [], limits, level, seed, explain)
    if output is not None and output.suffix.lower() in TABLE_SUFFIXES and not json:
        _write_rows(_with_bar(router.route_each(texts, request), total), output)
        terminal().print(f"{total:,} prompts are routed; the decisions are in {output}.", markup=False)
        return
    shown = list(texts)
    decisions = list(_with_bar(router.route_each(shown, request), total))
    if json or output is not None:
        text = json_text(routing_json(decisions, alpha, request.policy))
        as_table = output is not None and output.suffix.lower() in TABLE_SUFFIXES
        if as_table and output is not None:
            _write_rows(iter(decisions), output)
        print_json(text, None if as_table else output, shown=json)
    if not json:
        _print_decisions(shown, decisions)


def _prompts(typed: list[str], source: str | None) -> tuple[int, Iterator[str]]:
    """How many prompts there are, and the prompts, read as they are needed; a file is looked through first."""
    from bayes_irt_router.data.prompt_files import count_prompts, read_prompts

    if empty := [str(number) for number, prompt in enumerate(typed, 1) if not prompt.strip()]:
        raise InputError(f"Prompt {', '.join(empty)} is empty; give it a text.")
    if source is None:
        return len(typed), iter(typed)
    if source == "-":
        piped = _lines(sys.stdin.buffer.read())
        return len(typed) + len(piped), chain(typed, piped)
    return len(typed) + count_prompts(Path(source)), chain(typed, read_prompts(Path(source)))


def _lines(content: bytes) -> list[str]:
    try:
        lines = content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(
            f"Standard input is not UTF-8 text (byte {error.start}); save it as UTF-8."
        ) from None
    prompts = [line.strip() for line in lines if line.strip()]
    if not prompts:
        raise InputError("Standard input holds no prompt; write one a line.")
    return prompts


def _request(
    router: "Router",
    alpha: float,
    policy: str,
    option: list[str],
    limits: "Limits",
    level: float,
    seed: int,
    explain: bool,
) -> "Request":
    """What is asked for; what is wrong with the policy and with the rest is told together."""
    from bayes_irt_router.routing.policy_catalogue import policy_named
    from bayes_irt_router.routing.router import Request
    from bayes_irt_router.routing.utility_policies import ExpectedUtility

    problems: list[str] = []
    chosen = None
    try:
        chosen = policy_named(policy, option)
    except InputError as error:
        problems += error.problems
    request = Request(alpha, chosen or ExpectedUtility(), limits, level, seed, explain)
    try:
        router.check(request)
    except InputError as error:
        problems += error.problems
    if problems:
        raise InputError(problems)
    return request


def _write_rows(decisions: "Iterator[Decision]", output: Path) -> None:
    """One row for each decision; JSON Lines rows are those of the JSON, the others hold the choice alone."""
    import pyarrow as pa

    from bayes_irt_router.data.prompt_files import row_writer
    from bayes_irt_router.report.json_text import plain

    types = {
        "index": pa.int64(),
        "llm": pa.string(),
        "reason": pa.string(),
        "p_correct": pa.float64(),
        "p_correct_lower": pa.float64(),
        "p_correct_upper": pa.float64(),
        "level": pa.float64(),
        "cost_usd": pa.float64(),
        "utility": pa.float64(),
        "p_best": pa.float64(),
        "familiarity": pa.float64(),
        "explanation": pa.string(),
    }
    with row_writer(output, types) as write:
        for decision in decisions:
            if output.suffix.lower() == ".jsonl":
                write(plain(decision.to_dict()))
            else:
                write(decision.to_row())


def _with_bar(decisions: "Iterator[Decision]", total: int) -> "Iterator[Decision]":
    """A progress bar on standard error where there is more than a moment's work."""
    if total <= 64:
        yield from decisions
        return
    from rich.console import Console
    from rich.progress import track

    yield from track(decisions, "Routing", total=total, console=Console(stderr=True))


def _print_decisions(prompts: "list[str]", decisions: "list[Decision]") -> None:
    from bayes_irt_router.report.explanation_table import explanation_table
    from bayes_irt_router.report.tables import decision_table, decisions_frame, print_table, shortened

    console = terminal()
    if len(decisions) > FULL_TABLES:
        caption = "The chosen LLM for each prompt; --json tells every candidate and the reason."
        print_table("Decisions", decisions_frame(prompts, decisions), console, caption)
        return
    for prompt, decision in zip(prompts, decisions, strict=True):
        chosen = decision.llm or "nobody"
        console.print(decision_table(decision, f"{shortened(prompt, 70)}  ->  {chosen}"), "")
        if decision.explanation is not None:
            console.print(explanation_table(decision.explanation), "")
