"""`birt simulate`: a benchmark with a known truth."""

from pathlib import Path
from typing import Annotated

import typer

from bayes_irt_router.cli.border import terminal
from bayes_irt_router.cli.options import Seed


def simulate(
    output: Annotated[Path, typer.Option("--output", metavar="DIR", help="Folder to write to.")],
    queries: Annotated[int, typer.Option("--queries", metavar="N", help="Number of questions.")] = 600,
    llms: Annotated[int, typer.Option("--llms", metavar="N", help="Number of LLMs, 4 to 20.")] = 20,
    observed: Annotated[
        float, typer.Option("--observed", metavar="SHARE", help="Share of the questions that an LLM answers.")
    ] = 1.0,
    seed: Seed = 0,
) -> None:
    """`birt simulate`."""
    import numpy as np

    from bayes_irt_router.data.simulation import TRUTH_FILE, write_simulation
    from bayes_irt_router.data.simulation import simulate as draw
    from bayes_irt_router.demo import benchmark_frame, refuse_foreign_data
    from bayes_irt_router.report.tables import print_table

    refuse_foreign_data(output)
    simulation = draw(np.random.default_rng(seed), queries=queries, llms=llms, observed=observed)
    write_simulation(simulation, output)
    caption = (
        f"{queries:,} queries and {llms} LLMs are in {output}, the truth behind them in {TRUTH_FILE} there."
    )
    print_table("Simulated benchmark", benchmark_frame(simulation.dataset), terminal(), caption)
