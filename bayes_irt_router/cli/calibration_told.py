"""What `birt calibrate` tells: what is worth asking before, what was learned after."""

from pathlib import Path
from typing import TYPE_CHECKING

from bayes_irt_router.cli.border import print_json, terminal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bayes_irt_router.calibration.answers import Answer
    from bayes_irt_router.calibration.session import Setup
    from bayes_irt_router.calibration.summary import CalibrationReport


def tell_plan(
    setup: "Setup", given: "Sequence[Answer]", llm: str, count: int, level: float, json: bool
) -> None:
    """Which queries are worth asking, and what to expect of their answers."""
    from bayes_irt_router.calibration.session import plan, state
    from bayes_irt_router.calibration.summary import plan_json, plan_tables
    from bayes_irt_router.report.json_text import json_text
    from bayes_irt_router.report.tables import print_table

    made = plan(setup, state(setup, given), count)
    if json:
        print_json(json_text(plan_json(made, setup, llm, level)), None, shown=True)
        return
    queries, expected = plan_tables(made, setup, level)
    console = terminal()
    print_table(f"Queries worth asking {llm}", queries, console, "The most telling per dollar first.")
    now = f"Its mean is now {made.mean:.3f}." if setup.target.is_accuracy else None
    print_table(f"What to expect of {setup.target.name}", expected, console, now)


def tell_placed(report: "CalibrationReport", llm: str, output: Path, json: bool) -> None:
    """What an LLM can do, and where the model with it is."""
    from bayes_irt_router.inference.storage import CALIBRATION
    from bayes_irt_router.report.json_text import json_text
    from bayes_irt_router.report.tables import print_table

    if json:
        print_json(json_text(report.to_dict()), None, shown=True)
        return
    console = terminal()
    print_table(f"What {llm} can do", report.table(), console, report.sentence)
    console.print(
        f"The model with {llm} is in {output}; the report is {CALIBRATION} there.",
        markup=False,
        soft_wrap=True,
    )
