"""`birt calibrate`: place a new or changed LLM from few, well-chosen answers, and keep it in a new model folder."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bayes_irt_router.cli.asking_options import checked_options
from bayes_irt_router.cli.border import tell
from bayes_irt_router.cli.calibration_told import tell_placed, tell_plan
from bayes_irt_router.cli.options import (
    DATA,
    OUTPUT,
    TEXTS,
    CacheFolder,
    EncoderName,
    Json,
    Level,
    ModelFolder,
    Seed,
    required_model,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bayes_irt_router.calibration.answers import Answer
    from bayes_irt_router.calibration.session import Setup, State, Stopping

ASKING, STOPPING = "Asking", "Stopping"


def calibrate(
    model: ModelFolder = None,
    llm: Annotated[
        str | None, typer.Option("--llm", metavar="NAME", help="The LLM; a known one is updated.")
    ] = None,
    llm_info: Annotated[
        Path | None,
        typer.Option(
            "--llm-info",
            metavar="FILE",
            help="A JSON object, or a table with its row of llms.",
            rich_help_panel=DATA,
        ),
    ] = None,
    predecessor: Annotated[
        str | None,
        typer.Option(
            "--predecessor",
            metavar="LLM",
            help="A known LLM that this one is a new version of (default: itself, if known).",
            rich_help_panel=DATA,
        ),
    ] = None,
    widening: Annotated[
        float | None,
        typer.Option(
            "--widening",
            metavar="W",
            help="How far versions may differ, in SDs between LLMs (default: 0.5).",
            rich_help_panel=DATA,
        ),
    ] = None,
    answers: Annotated[
        Path | None,
        typer.Option("--answers", metavar="FILE", help="Answers already collected.", rich_help_panel=ASKING),
    ] = None,
    interactive: Annotated[
        bool, typer.Option("--interactive", help="Ask you for each score.", rich_help_panel=ASKING)
    ] = False,
    command: Annotated[
        str | None,
        typer.Option(
            "--command",
            metavar="CMD",
            help="Run this program for each query, without a shell: JSON in, JSON with a score out.",
            rich_help_panel=ASKING,
        ),
    ] = None,
    queries: Annotated[
        Path | None,
        typer.Option(
            "--queries",
            metavar="FILE",
            help="Texts of the queries, and new queries to ask: of a model that ships, those that accuracy is meant over.",
            rich_help_panel=TEXTS,
        ),
    ] = None,
    target: Annotated[
        str,
        typer.Option(
            "--target",
            metavar="T",
            help="What to learn: accuracy, tasks, task:NAME, ability or regret.",
            rich_help_panel=ASKING,
        ),
    ] = "accuracy",
    selector: Annotated[
        str,
        typer.Option(
            "--selector",
            metavar="S",
            help="How to choose: variance, information, fisher, kl or random.",
            rich_help_panel=ASKING,
        ),
    ] = "variance",
    alpha: Annotated[
        float,
        typer.Option(
            "--alpha",
            metavar="A",
            help="Weight of correctness, for the target regret.",
            rich_help_panel=ASKING,
        ),
    ] = 0.8,
    plan: Annotated[
        int | None,
        typer.Option(
            "--plan",
            metavar="N",
            min=1,
            help="Ask nothing: list N queries and what to expect.",
            rich_help_panel=ASKING,
        ),
    ] = None,
    budget: Annotated[
        int | None,
        typer.Option("--budget", metavar="N", min=0, help="At most N answers.", rich_help_panel=STOPPING),
    ] = None,
    budget_usd: Annotated[
        float | None,
        typer.Option("--budget-usd", metavar="X", help="Spend at most X USD.", rich_help_panel=STOPPING),
    ] = None,
    target_sd: Annotated[
        float | None,
        typer.Option("--target-sd", metavar="X", help="Stop at this posterior SD.", rich_help_panel=STOPPING),
    ] = None,
    target_regret: Annotated[
        float | None,
        typer.Option(
            "--target-regret",
            metavar="X",
            help="Stop at this expected regret, in utility.",
            rich_help_panel=STOPPING,
        ),
    ] = None,
    level: Level = 0.89,
    seed: Seed = 0,
    encoder: EncoderName = None,
    cache_dir: CacheFolder = None,
    json: Json = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", metavar="DIR", help="Folder of the model to write.", rich_help_panel=OUTPUT),
    ] = None,
) -> None:
    """`birt calibrate`."""
    folder = required_model(model)
    name, stopping = checked_options(
        folder,
        llm,
        {"--answers": answers is not None, "--interactive": interactive, "--command": command is not None},
        {
            "--budget": budget,
            "--budget-usd": budget_usd,
            "--target-sd": target_sd,
            "--target-regret": target_regret,
        },
        target,
        selector,
        alpha,
        level,
        output,
        plans=plan is not None,
    )

    import numpy as np

    from bayes_irt_router.calibration.inputs import read_answers, read_llm_info
    from bayes_irt_router.calibration.membership import with_llm
    from bayes_irt_router.calibration.preparation import choose_prior, prepare
    from bayes_irt_router.calibration.pricing import with_llm_cost
    from bayes_irt_router.calibration.stack_member import StackMember
    from bayes_irt_router.calibration.summary import calibration_report
    from bayes_irt_router.cli.bank import item_bank
    from bayes_irt_router.data.cost import CostModel
    from bayes_irt_router.data.rehearsal import rehearse_directory
    from bayes_irt_router.inference.population import require_queries
    from bayes_irt_router.inference.stacking import members, stack
    from bayes_irt_router.inference.storage import RECORD, load, save
    from bayes_irt_router.report.json_text import plain

    if output is not None:
        rehearse_directory(output, replaces=RECORD)
    posterior, *others = members(load(folder))
    if queries is None:
        require_queries(posterior, "calibration without queries of your own (--queries)")
    if not posterior.gate.passed:
        tell("warning", posterior.gate.verdict)
    info = read_llm_info(llm_info, name) if llm_info is not None else {}
    given = read_answers(answers, name) if answers is not None else []
    bank, texts, given = item_bank(folder, posterior, queries, given, encoder, cache_dir)
    # The first model of a stack says what to ask; the others place the LLM by the same answers. What they cannot do is told before.
    beside = [
        StackMember(
            other,
            item_bank(folder, other, queries, given, encoder, cache_dir)[0],
            choose_prior(other, name, info, predecessor, widening),
        )
        for other in others
    ]
    setup = prepare(
        bank,
        choose_prior(posterior, name, info, predecessor, widening),
        name,
        with_llm_cost(CostModel.from_dict(posterior.record["cost"]), name, info, given, {}),
        texts,
        stopping,
        asks=interactive or command is not None,
        target=target,
        selector=selector,
        alpha=alpha,
        seed=seed,
    )
    setup = replace(setup, given=len({answer.query for answer in given}))
    if plan is not None:
        tell_plan(setup, given, name, plan, level, json)
        return
    assert output is not None
    now, ended = _answered(setup, stopping, given, name, texts, interactive, command, output, level)
    report = calibration_report(setup, now, name, ended, level, given=answers is not None)
    characters = {query: len(text) for query, text in texts.items()}
    grown = with_llm(posterior, name, now.placement, now.answers, info, characters)
    if beside:
        rngs = (np.random.default_rng([seed, number]) for number in range(2, 2 + len(beside)))
        more = [
            one.with_llm(name, now.answers, info, characters, rng, now.placement.weight)
            for one, rng in zip(beside, rngs, strict=True)
        ]
        grown = stack([grown, *more])
    save(grown, output, plain(report.to_dict()))
    tell_placed(report, name, output, json)


def _answered(
    setup: "Setup",
    stopping: "Stopping",
    given: "Sequence[Answer]",
    llm: str,
    texts: "Mapping[str, str]",
    interactive: bool,
    command: str | None,
    output: Path,
    level: float,
) -> "tuple[State, str]":
    from bayes_irt_router.calibration.journal import Journal
    from bayes_irt_router.calibration.session import Stopping, run, state
    from bayes_irt_router.cli.answering import ask_person, command_answerer

    if given:
        return state(setup, given), "the answers were given"
    answerer = ask_person if interactive else command_answerer(command or "", llm)
    bank = setup.bank
    record = bank.posterior.record
    history = [*record.get("calibrations", []), *record.get("changes", [])]
    journal = Journal.open(journal_path(output), llm, str(record["data"]["fingerprint"]), history)
    if journal.answers:
        tell("note", f"{len(journal.answers)} answers are in {journal.path}; going on from there.")
    if command is not None and stopping == Stopping():
        tell(
            "warning",
            f"No limit is given, so {setup.choosable.open.sum()} queries will be asked; see --budget.",
        )
    unit = "USD" if setup.priced else "queries"

    def ask(position: int) -> "Answer | None":
        query = bank.query[position]
        return answerer((query, bank.task[position], texts[query]))

    def progress(now: "State") -> None:
        spent = f"{now.spent:.3g}" if setup.priced else f"{now.spent:.0f}"
        told = f"{setup.target.name}: {now.told(setup.target, level)}, spent {spent} {unit}"
        tell(f"{len(now.asked):>4} answered", told)

    return run(setup, stopping, ask, journal, progress)


def journal_path(output: Path) -> Path:
    """Where the answers are kept while they come: beside the model folder."""
    resolved = output.resolve()
    return resolved.with_name(f"{resolved.name}.answers.jsonl")
