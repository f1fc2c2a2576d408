"""How decisions are shown and written."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from textwrap import indent
from typing import TYPE_CHECKING

from bayes_irt_router.cli.border import terminal

if TYPE_CHECKING:
    from bayes_irt_router.routing.decision import Decision

    Sink = Callable[[Decision], None]

FULL_TABLES = 4  # up to this many prompts get a table each; more share one


@contextmanager
def rows_to(output: Path) -> "Iterator[Sink]":
    """Takes decisions, one row each; JSON Lines rows are those of the JSON, the others hold the choice alone."""
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
    nested = output.suffix.lower() == ".jsonl"
    with row_writer(output, types) as write:
        yield lambda decision: write(plain(decision.to_dict()) if nested else decision.to_row())


@contextmanager
def json_to(write: Callable[[str], object], content: Mapping[str, object]) -> "Iterator[Sink]":
    """Takes decisions, and writes the JSON object that holds them as they come; the text is that of `json_text` of the whole.

    Nothing is written before the first decision, and the end only if all went well.

    Args:
        write: appends a text.
        content: the object, with an empty list of ``decisions``.
    """
    from bayes_irt_router.report.json_text import json_text

    head, empty, tail = json_text(content).partition('"decisions": []')
    between = head + empty.removesuffix("]")

    def take(decision: "Decision") -> None:
        nonlocal between
        write(between + "\n" + indent(json_text(decision.to_dict()), 4 * " "))
        between = ","

    yield take
    write("\n  ]" + tail + "\n" if between == "," else head + empty + tail + "\n")


@contextmanager
def json_file(output: Path, content: Mapping[str, object]) -> "Iterator[Sink]":
    """The same into a file, which appears when it is complete."""
    from bayes_irt_router.data.files import atomic_path

    with (
        atomic_path(output) as temporary,
        temporary.open("w", encoding="utf-8", newline="\n") as file,
        json_to(file.write, content) as take,
    ):
        yield take


def with_bar(decisions: "Iterator[Decision]", total: int | None) -> "Iterator[Decision]":
    """A progress bar on standard error where there is known to be more than a moment's work."""
    if total is None or total <= 64:
        yield from decisions
        return
    from rich.console import Console
    from rich.progress import track

    yield from track(decisions, "Routing", total=total, console=Console(stderr=True))


def print_decisions(prompts: "list[str]", decisions: "list[Decision]") -> None:
    """A table for each of a few prompts, one for all of many."""
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
