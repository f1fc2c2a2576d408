"""The options of `birt calibrate` that say what is asked and when it ends, checked before anything is loaded."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from bayes_irt_router.errors import InputError

if TYPE_CHECKING:
    from bayes_irt_router.calibration.session import Stopping


def checked_options(
    folder: Path,
    llm: str | None,
    sources: Mapping[str, bool],
    limits: Mapping[str, float | None],
    target: str,
    selector: str,
    alpha: float,
    level: float,
    output: Path | None,
    *,
    plans: bool,
) -> "tuple[str, Stopping]":
    """The LLM's name, and the limits.

    Args:
        folder: of the model that is read.
        llm: name of the LLM.
        sources: where answers come from: which of ``--answers``, ``--interactive`` and ``--command`` are given.
        limits: values of ``--budget``, ``--budget-usd``, ``--target-sd`` and ``--target-regret``, None where not given.
        target: what is to be learned.
        selector: how queries are chosen.
        alpha: weight of correctness.
        level: of the intervals.
        output: folder of the model to write.
        plans: whether ``--plan`` is given.

    Raises:
        InputError: options are missing, wrong, or at odds; every problem is listed.
    """
    from bayes_irt_router.calibration.preparation import REGRET_HAS_NO_SD
    from bayes_irt_router.calibration.selection import unknown_selector
    from bayes_irt_router.calibration.session import Stopping
    from bayes_irt_router.calibration.targets import unknown_target
    from bayes_irt_router.routing.policies import check_alpha

    problems = []
    if llm is None or not llm.strip():
        problems.append("No LLM is named: add --llm NAME.")
    problems += _at_odds(sources, limits, plans=plans)
    if output is None and not plans:
        problems.append("No place for the model is named: add --output DIR.")
    elif output is not None and output.resolve() == folder.resolve():
        problems.append(f"{output} holds the old model, which would be lost; choose another folder.")
    problems += [wrong for wrong in (unknown_target(target), unknown_selector(selector)) if wrong]
    if target == "regret" and limits["--target-sd"] is not None:
        problems.append(REGRET_HAS_NO_SD)
    if not 0 < level < 1:
        problems.append(f"level is {level}, but it must be between 0 and 1, for instance 0.89.")
    questions = limits["--budget"]
    stopping = Stopping()
    try:
        check_alpha(alpha)
        stopping = Stopping(
            None if questions is None else int(questions),
            limits["--budget-usd"],
            limits["--target-sd"],
            limits["--target-regret"],
        )
    except InputError as error:
        problems += error.problems
    if problems or llm is None:
        raise InputError(problems)
    return llm.strip(), stopping


def _at_odds(sources: Mapping[str, bool], limits: Mapping[str, float | None], *, plans: bool) -> list[str]:
    """What is wrong with where answers come from, and with limits where nothing is asked."""
    problems = []
    chosen = [option for option, given in sources.items() if given]
    if len(chosen) > 1:
        problems.append(f"{' and '.join(chosen)} are given; choose one of them.")
    if not chosen and not plans:
        problems.append(
            "Nothing says where answers come from: add --answers FILE, --interactive, --command or --plan N."
        )
    if plans and (sources["--interactive"] or sources["--command"]):
        problems.append("--plan asks nothing; leave --interactive and --command out.")
    if (limited := [option for option, value in limits.items() if value is not None]) and (
        plans or sources["--answers"]
    ):
        problems.append(
            f"{'--plan' if plans else '--answers'} asks nothing that {' and '.join(limited)} could end; leave the limits out."
        )
    return problems
