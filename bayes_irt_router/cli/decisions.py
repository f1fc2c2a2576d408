"""How decisions are shown and written."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from bayes_irt_router.cli.border import terminal

if TYPE_CHECKING:
    from bayes_irt_router.routing.decision import Decision

FULL_TABLES = 4  # up to this many prompts get a table each; more share one


def write_rows(decisions: "Iterator[Decision]", output: Path) -> None:
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


def with_bar(decisions: "Iterator[Decision]", total: int) -> "Iterator[Decision]":
    """A progress bar on standard error where there is more than a moment's work."""
    if total <= 64:
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
