"""`birt collect`: first data for people who have none."""

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from bayes_irt_router.cli.border import tell, terminal
from bayes_irt_router.cli.options import Json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pandas as pd

    from bayes_irt_router.data.collection.collect import Outcome
    from bayes_irt_router.data.collection.pace import Announce
    from bayes_irt_router.data.prices import Price

JOURNAL = "replies.jsonl"
SCORING, PACE = "Scoring", "Pace and cost"
SCHEMA_VERSION = 1


def collect(
    prompts: Annotated[
        Path,
        typer.Option(
            "--prompts",
            metavar="FILE",
            help="Table with the columns text, and query_id, answer, task and split where known.",
        ),
    ],
    llms: Annotated[
        str,
        typer.Option(
            "--llms",
            metavar="LLM,...|FILE",
            help="Names as LiteLLM knows them (PROVIDER/NAME), or a table of llm and prices.",
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", metavar="DIR", help="Folder to write responses, queries and llms to.")
    ],
    score: Annotated[
        Literal["exact", "regex", "command"],
        typer.Option("--score", help="How a reply is scored.", rich_help_panel=SCORING),
    ] = "exact",
    pattern: Annotated[
        str | None,
        typer.Option(
            "--pattern",
            metavar="REGEX",
            help="For --score regex: its group must be the answer; without a group it must match.",
            rich_help_panel=SCORING,
        ),
    ] = None,
    command: Annotated[
        str | None,
        typer.Option(
            "--command",
            metavar="PROGRAM",
            help="For --score command: reads one JSON object, writes one with score.",
            rich_help_panel=SCORING,
        ),
    ] = None,
    budget_usd: Annotated[
        float | None,
        typer.Option(
            "--budget-usd",
            metavar="USD",
            help="Ask no more when the answers might cost more than this.",
            rich_help_panel=PACE,
        ),
    ] = None,
    requests_per_minute: Annotated[
        float | None,
        typer.Option(
            "--requests-per-minute",
            metavar="N",
            help="At most so many (default: no limit).",
            rich_help_panel=PACE,
        ),
    ] = None,
    concurrency: Annotated[
        int, typer.Option("--concurrency", metavar="N", min=1, max=64, help="At once.", rich_help_panel=PACE)
    ] = 4,
    max_tokens: Annotated[
        int, typer.Option("--max-tokens", metavar="N", min=1, help="Of a reply.", rich_help_panel=PACE)
    ] = 1024,
    temperature: Annotated[
        float, typer.Option("--temperature", metavar="T", min=0.0, help="Of sampling.")
    ] = 0.0,
    system: Annotated[
        str | None, typer.Option("--system", metavar="TEXT", help="A system message before every prompt.")
    ] = None,
    api_base: Annotated[
        str | None,
        typer.Option("--api-base", metavar="URL", help="Address of an OpenAI-compatible server."),
    ] = None,
    json: Json = False,
) -> None:
    """`birt collect`."""
    from bayes_irt_router.cli.collection_plan import collection_plan
    from bayes_irt_router.data.canonical import write_dataset
    from bayes_irt_router.data.collection.client import WallClock
    from bayes_irt_router.data.collection.collect import collect as ask_all
    from bayes_irt_router.data.collection.collect import collected_dataset
    from bayes_irt_router.data.collection.litellm_client import LiteLLMClient
    from bayes_irt_router.data.collection.pace import Budget, Pace
    from bayes_irt_router.data.collection.reply_journal import ReplyJournal
    from bayes_irt_router.report.conversion import conversion_frame, conversion_json
    from bayes_irt_router.report.json_text import json_text
    from bayes_irt_router.report.tables import print_table

    plan = collection_plan(
        prompts,
        llms,
        output,
        score,
        pattern,
        command,
        {"--budget-usd": budget_usd, "--requests-per-minute": requests_per_minute},
        temperature,
    )
    questions, names, prices = plan.questions, plan.names, plan.prices
    settings = {"max_tokens": max_tokens, "temperature": temperature, "system": system}
    journal = ReplyJournal.open(output / JOURNAL, settings)
    journal.check({one.query: one for one in questions})
    if journal.replies:
        tell("note", f"{len(journal.replies)} replies are in {journal.path}; going on from there.")
    clock, budget = WallClock(), Budget(prices, max_tokens, budget_usd, system or "")
    for (query, llm), reply in journal.replies.items():  # the cap is on all runs together
        text = next((one.text for one in questions if one.query == query), "")
        budget.spent_usd += budget.cost(llm, text, reply)
    try:
        with _bar(len(questions) * len(names), len(journal.replies), budget.spent_usd) as announce:
            outcome = ask_all(
                questions,
                names,
                LiteLLMClient(max_tokens, temperature, system, api_base),
                journal,
                Pace(requests_per_minute, clock),
                budget,
                clock,
                concurrency=concurrency,
                announce=announce,
            )
    except KeyboardInterrupt:
        tell(
            "note",
            f"{len(journal.replies)} replies are in {journal.path}; run the same line again to go on from there.",
        )
        raise
    dataset = collected_dataset(
        questions, journal, _with_prices(plan.llms, prices), plan.scorer, str(journal.path)
    )
    write_dataset(dataset, output)
    _warn(outcome, journal.path, sum(reply.cut for reply in journal.replies.values()), max_tokens)
    if json:
        told = {
            "schema_version": SCHEMA_VERSION,
            "spent_usd": budget.spent_usd,
            "out_of_money": outcome.out_of_money,
        }
        declined = [{"query_id": q, "llm": m, "reason": r} for q, m, r in outcome.declined]
        typer.echo(json_text(conversion_json(dataset, "collected") | told | {"declined": declined}))
        return
    caption = f"Written to {output}; spent {budget.spent_usd:.4f} USD. Next: birt fit --data {output} --output MODEL"
    print_table("Collected", conversion_frame(dataset), terminal(), caption)


def _with_prices(table: "pd.DataFrame", prices: "Mapping[str, Price]") -> "pd.DataFrame":
    from bayes_irt_router.data.schema import PRICES

    pairs = [prices.get(str(name)) for name in table["llm"]]
    priced = table.copy()
    priced[PRICES[0]] = [None if one is None else one.input_per_million for one in pairs]
    priced[PRICES[1]] = [None if one is None else one.output_per_million for one in pairs]
    return priced


def _warn(outcome: "Outcome", path: Path, cut: int, max_tokens: int) -> None:
    if outcome.out_of_money:
        tell("warning", "Stopped at --budget-usd; raise it and run the same line again to go on.")
    if outcome.declined:
        query, llm, reason = outcome.declined[0]
        tell(
            "warning",
            f"{len(outcome.declined)} requests came to nothing (the first: {query} to {llm}: {reason}); run the same line again to "
            "repeat them.",
        )
    if cut:
        tell(
            "warning",
            f"{cut} replies in {path} were cut at --max-tokens {max_tokens}; what was cut off cannot score.",
        )


@contextmanager
def _bar(total: int, done: int, spent: float) -> "Iterator[Announce]":
    """A progress bar on standard error."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("Asking"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[spent]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("asking", total=total, completed=done, spent=f"{spent:.4f} USD")

        def announce(replies: int, usd: float) -> None:
            progress.update(task, completed=replies, spent=f"{usd:.4f} USD")

        yield announce
