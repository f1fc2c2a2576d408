"""The border to a person: problems become sentences, warnings become lines, exit codes mean something.

Exit codes: 0 done; 1 the machine's fault (a full disk); 2 something given cannot be used; 130 interrupted.
"""

import errno
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import typer
from typer.core import TyperGroup

from bayes_irt_router.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console
    from typer import Context as Context
else:
    Context = (
        typer.Context.__base__
    )  # what Typer hands over, and checks of types see, is the base of the class that it documents


class Border(TyperGroup):
    """Runs a command; shows input errors and warnings one a line on standard error."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was typed."""
        with warnings.catch_warnings():
            # Messages to the user, every time; warnings to programmers follow Python's own filters.
            warnings.filterwarnings("always", category=UserWarning)
            warnings.showwarning = _show_warning
            try:
                return super().invoke(ctx)
            except InputError as error:
                for problem in error.problems:
                    tell("error", problem)
                raise typer.Exit(2) from None
            except OSError as error:
                if error.errno == errno.EPIPE:  # the reader of our output has left, as `head` does
                    raise
                tell("error", str(error))
                raise typer.Exit(1) from None


def tell(kind: str, message: str) -> None:
    """One line on standard error, such as `warning: ...`."""
    typer.echo(f"{kind}: {' '.join(message.splitlines())}", err=True)


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    tell("warning", str(message))


def terminal() -> "Console":
    """Standard output, for tables; at least 100 columns wide where it is not a terminal."""
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=False)
    return console if console.is_terminal else Console(highlight=False, width=max(100, console.width))


def print_json(text: str, output: Path | None, shown: bool) -> None:
    """Write a result's JSON to a file, if one is named, and to standard output, if asked for."""
    if output is not None:
        from bayes_irt_router.data.files import atomic_path

        with atomic_path(output) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8", newline="\n")
    if shown:
        typer.echo(text)


def examples(*lines: str) -> str:
    """The end of a help text: commands to copy."""
    escaped = (line.replace("[", r"\[") for line in lines)
    return "\n".join(["[bold]Examples[/bold]", *escaped])
