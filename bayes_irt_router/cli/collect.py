"""`birt collect`: first data for people who have none."""

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from bayes_irt_router.cli.border import tell, terminal
from bayes_irt_router.cli.options import Json
from bayes_irt_router.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pandas as pd

    from bayes_irt_router.data.collection.collect import Outcome
    from bayes_irt_router.data.collection.pace import Announce
    from bayes_irt_router.data.collection.questions import Question
    from bayes_irt_router.data.collection.scoring import Scorer
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
    scorer = _scorer(score, pattern, command)
    problems = [
        f"{name} is {value}; give a number above 0."
        for name, value in (("--budget-usd", budget_usd), ("--requests-per-minute", requests_per_minute))
        if value is not None and not 0 < value < float("inf")
    ]
    if problems:
        raise InputError(problems)

    from bayes_irt_router.data.canonical import write_dataset
    from bayes_irt_router.data.collection.client import WallClock
    from bayes_irt_router.data.collection.collect import collect as ask_all
    from bayes_irt_router.data.collection.collect import collected_dataset
    from bayes_irt_router.data.collection.litellm_client import LiteLLMClient, imported_litellm
    from bayes_irt_router.data.collection.pace import Budget, Pace
    from bayes_irt_router.data.collection.questions import read_questions
    from bayes_irt_router.data.collection.reply_journal import ReplyJournal
    from bayes_irt_router.data.files import tables_named
    from bayes_irt_router.data.schema import TABLES
    from bayes_irt_router.report.conversion import conversion_frame, conversion_json
    from bayes_irt_router.report.json_text import json_text
    from bayes_irt_router.report.tables import print_table

    if others := [p.name for n in TABLES for p in tables_named(output, n) if p.suffix != ".parquet"]:
        raise InputError(
            f"{output} already holds {', '.join(others)}; remove them, or write to another folder."
        )
    questions = read_questions(prompts)
    _check_answers(questions, scorer, pattern, prompts)
    table = _llm_table(llms)
    names = [str(name) for name in table["llm"]]
    imported_litellm()
    prices = _prices(table)
    if budget_usd is not None and (unpriced := [name for name in names if name not in prices]):
        raise InputError(
            f"--budget-usd needs the prices of {', '.join(unpriced)}; name with --llms a table of llm, input_price_per_million and "
            "output_price_per_million."
        )
    settings = {"max_tokens": max_tokens, "temperature": temperature, "system": system}
    journal = ReplyJournal.open(output / JOURNAL, settings)
    journal.check({one.query: one for one in questions})
    if journal.replies:
        tell("note", f"{len(journal.replies)} replies are in {journal.path}; going on from there.")
    clock, budget = WallClock(), Budget(prices, max_tokens, budget_usd)
    for (query, llm), reply in journal.replies.items():  # the cap is on all runs together
        text = next((one.text for one in questions if one.query == query), "")
        budget.spent_usd += budget.cost(llm, text, reply)
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
    dataset = collected_dataset(questions, journal, _with_prices(table, prices), scorer, str(journal.path))
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


def _scorer(score: str, pattern: str | None, command: str | None) -> "Scorer":
    """The scorer that was asked for; options of the others are refused."""
    from bayes_irt_router.data.collection.scoring import command_scorer, exact_match, regular_expression

    problems = []
    for option, value, needed in (("--pattern", pattern, "regex"), ("--command", command, "command")):
        if value is not None and score != needed:
            problems.append(f"{option} goes with --score {needed}; add that, or leave it out.")
        if value is None and score == needed:
            problems.append(f"--score {score} needs {option}; add it.")
    if problems:
        raise InputError(problems)
    if pattern is not None:
        return regular_expression(pattern)
    return exact_match if command is None else command_scorer(command)


def _check_answers(
    questions: "Sequence[Question]", scorer: "Scorer", pattern: str | None, path: Path
) -> None:
    from bayes_irt_router.data.collection.scoring import needs_answers

    without = [one.query for one in questions if not one.answer]
    if without and needs_answers(scorer, pattern):
        raise InputError(
            f"{path}: {len(without)} prompts have no answer to compare with (the first is {without[0]}); fill the column answer, or "
            "choose another --score."
        )


def _llm_table(llms: str) -> "pd.DataFrame":
    """What was given of the LLMs: a table, or their names alone."""
    import pandas as pd

    from bayes_irt_router.data.files import TABLE_SUFFIXES
    from bayes_irt_router.data.readers.llm_table import read_llm_table

    if Path(llms).suffix.lower() in (*TABLE_SUFFIXES, ".json") and Path(llms).exists():
        return read_llm_table(Path(llms))
    names = list(dict.fromkeys(name.strip() for name in llms.split(",") if name.strip()))
    if not names:
        raise InputError("--llms names no LLM; write names, separated by commas, or a table.")
    return pd.DataFrame({"llm": names})


def _prices(table: "pd.DataFrame") -> "dict[str, Price]":
    """Prices of the table, else those that LiteLLM knows."""
    import pandas as pd

    from bayes_irt_router.data.prices import Price, installed_litellm_prices
    from bayes_irt_router.data.schema import PRICES, typed_table

    known = installed_litellm_prices()
    found = {str(name): known[str(name)] for name in table["llm"] if str(name) in known}
    if set(PRICES) <= set(table.columns):
        typed = typed_table(table.reset_index(drop=True), "llms")
        for name, *pair in zip(typed["llm"], typed[PRICES[0]], typed[PRICES[1]], strict=True):
            if not any(pd.isna(pair)) and min(pair) >= 0:
                found[str(name)] = Price(float(pair[0]), float(pair[1]), "")
    return found


def _with_prices(table: "pd.DataFrame", prices: "dict[str, Price]") -> "pd.DataFrame":
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
