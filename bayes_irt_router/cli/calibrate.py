"""`birt calibrate`: place a new or changed LLM from few, well-chosen answers, and keep it in a new model folder."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bayes_irt_router.cli.asking_options import checked_options
from bayes_irt_router.cli.border import print_json, tell, terminal
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

    from bayes_irt_router.calibration.ability_prior import AbilityPrior
    from bayes_irt_router.calibration.answers import Answer
    from bayes_irt_router.calibration.items import ItemBank
    from bayes_irt_router.calibration.session import Setup, State, Stopping
    from bayes_irt_router.inference.posterior import Posterior

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

    from bayes_irt_router.calibration.inputs import read_answers, read_llm_info
    from bayes_irt_router.calibration.preparation import choose_prior, prepare
    from bayes_irt_router.calibration.pricing import with_llm_cost
    from bayes_irt_router.cli.bank import item_bank
    from bayes_irt_router.data.cost import CostModel
    from bayes_irt_router.data.rehearsal import rehearse_directory
    from bayes_irt_router.inference.population import require_queries
    from bayes_irt_router.inference.stacking import members
    from bayes_irt_router.inference.storage import RECORD, load

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
        (
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
    if plan is not None:
        _plan(setup, given, name, plan, level, json)
        return
    assert output is not None
    now, ended = _answered(setup, stopping, given, name, texts, interactive, command, output, level)
    _finish(
        posterior,
        beside,
        setup,
        now,
        ended,
        name,
        info,
        texts,
        level,
        output,
        json,
        given=answers is not None,
    )


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


def _plan(setup: "Setup", given: "Sequence[Answer]", llm: str, count: int, level: float, json: bool) -> None:
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


def _finish(
    posterior: "Posterior",
    beside: "Sequence[tuple[Posterior, ItemBank, AbilityPrior]]",
    setup: "Setup",
    now: "State",
    ended: str,
    llm: str,
    info: "Mapping[str, Any]",
    texts: "Mapping[str, str]",
    level: float,
    output: Path,
    json: bool,
    *,
    given: bool,
) -> None:
    import numpy as np

    from bayes_irt_router.calibration.membership import with_llm
    from bayes_irt_router.calibration.placing import place
    from bayes_irt_router.calibration.summary import calibration_report
    from bayes_irt_router.inference.stacking import stack
    from bayes_irt_router.inference.storage import CALIBRATION, save
    from bayes_irt_router.report.json_text import json_text, plain
    from bayes_irt_router.report.tables import print_table

    characters = {query: len(text) for query, text in texts.items()}
    report = calibration_report(setup, now, llm, ended, level, given=given)
    grown = with_llm(posterior, llm, now.placement, now.answers, info, characters)
    others = [
        with_llm(
            other,
            llm,
            place(bank, prior, now.answers, np.random.default_rng([setup.seed, number])),
            now.answers,
            info,
            characters,
        )
        for number, (other, bank, prior) in enumerate(beside, start=2)
    ]
    if others:
        grown = stack([grown, *others])
    save(grown, output, plain(report.to_dict()))
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
