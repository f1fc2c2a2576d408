"""`birt demo`: the main job on made-up data."""

from pathlib import Path
from typing import Annotated

import typer

from bayes_irt_router.cli.border import terminal
from bayes_irt_router.cli.options import Seed


def demo(
    output: Annotated[Path, typer.Option("--output", metavar="DIR", help="Folder to write to.")],
    seed: Seed = 0,
    queries: Annotated[
        int, typer.Option("--queries", metavar="N", help="Number of simulated questions.")
    ] = 600,
) -> None:
    """`birt demo`."""
    from bayes_irt_router.demo import run_demo

    run_demo(output, seed=seed, queries=queries, console=terminal())
