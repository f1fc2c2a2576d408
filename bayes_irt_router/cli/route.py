"""`birt route`: an LLM for each prompt."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bayes_irt_router.cli.border import tell, terminal
from bayes_irt_router.cli.decisions import json_file, json_to, print_decisions, rows_to, with_bar
from bayes_irt_router.cli.options import (
    CacheFolder,
    EncoderName,
    Json,
    Level,
    Seed,
)
from bayes_irt_router.cli.prompts import prompt_names, prompts_of
from bayes_irt_router.errors import InputError, gathered

if TYPE_CHECKING:
    from bayes_irt_router.routing.decision import Decision
    from bayes_irt_router.routing.limits import Limits
    from bayes_irt_router.routing.router import Request, Router

LIMITS, POLICY = "Limits", "Policy"


def route(
    prompts: Annotated[
        list[str] | None, typer.Argument(metavar="PROMPT", help="The prompts.", show_default=False)
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(
            "--model",
            metavar="DIR",
            help="Folder of a fitted model (default: the reference model that ships).",
        ),
    ] = None,
    input: Annotated[  # noqa: A002  (the name of the option)
        str | None,
        typer.Option(
            "--input",
            metavar="FILE|-",
            help="More prompts: one a line in a .txt file or from standard input (-), or the column text or "
            "prompt of a .jsonl, .csv or .parquet table, or a .json file of RouterArena.",
        ),
    ] = None,
    alpha: Annotated[
        float,
        typer.Option(
            "--alpha", metavar="A", help="Weight of correctness against cost: 0 is cheapest, 1 is best."
        ),
    ] = 0.8,
    policy: Annotated[
        str,
        typer.Option(
            "--policy",
            metavar="NAME",
            help="expected_utility, min_success, chance_constrained, probability_of_improvement, lower_bound or "
            "equivalence.",
            rich_help_panel=POLICY,
        ),
    ] = "expected_utility",
    option: Annotated[
        list[str] | None,
        typer.Option(
            "--option",
            metavar="KEY=VALUE",
            help="Of the policy, such as target=0.9; may be repeated.",
            rich_help_panel=POLICY,
        ),
    ] = None,
    allow: Annotated[
        list[str] | None,
        typer.Option(
            "--allow",
            metavar="LLM,...",
            help="LLMs to choose from (default: all that the model knows).",
            rich_help_panel=LIMITS,
        ),
    ] = None,
    deny: Annotated[
        list[str] | None,
        typer.Option("--deny", metavar="LLM,...", help="LLMs not to choose.", rich_help_panel=LIMITS),
    ] = None,
    max_cost: Annotated[
        float | None,
        typer.Option(
            "--max-cost",
            metavar="USD",
            help="Most that an answer may be expected to cost.",
            rich_help_panel=LIMITS,
        ),
    ] = None,
    require: Annotated[
        list[str] | None,
        typer.Option(
            "--require",
            metavar="TAG,...",
            help="Capabilities that an LLM must declare.",
            rich_help_panel=LIMITS,
        ),
    ] = None,
    fallback: Annotated[
        str | None,
        typer.Option(
            "--fallback",
            metavar="LLM",
            help="Takes unfamiliar prompts, and those for which the policy abstains.",
            rich_help_panel=LIMITS,
        ),
    ] = None,
    min_familiarity: Annotated[
        float | None,
        typer.Option(
            "--min-familiarity",
            metavar="X",
            help="Prompts less familiar, from 0 to 1, go to the fallback, or to nobody.",
            rich_help_panel=LIMITS,
        ),
    ] = None,
    explain: Annotated[
        bool,
        typer.Option(
            "--explain", help="Say what each prompt leans on, what it resembles, and how sure it is."
        ),
    ] = False,
    prices: Annotated[
        str | None,
        typer.Option(
            "--prices",
            metavar="FILE|litellm",
            help="Prices instead of those of the fit: a table of llm, input_price_per_million, "
            "output_price_per_million and date, or LiteLLM's own.",
        ),
    ] = None,
    level: Level = 0.89,
    seed: Seed = 0,
    encoder: EncoderName = None,
    cache_dir: CacheFolder = None,
    json: Json = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            metavar="PATH",
            help="Write the JSON to this file as well; a .jsonl, .csv or .parquet file gets a row for each prompt, of "
            "any number.",
        ),
    ] = None,
    routerarena: Annotated[
        Path | None,
        typer.Option(
            "--routerarena", metavar="PATH", help="Write the choices as a prediction file of RouterArena."
        ),
    ] = None,
) -> None:
    """`birt route`."""
    if not prompts and input is None:
        raise InputError(
            "There is no prompt: add one in quotation marks, or --input FILE (- for standard input)."
        )
    from bayes_irt_router.data.files import TABLE_SUFFIXES
    from bayes_irt_router.data.rehearsal import rehearse_file
    from bayes_irt_router.inference.shipped import reference_model
    from bayes_irt_router.routing.limits import Limits as HardLimits
    from bayes_irt_router.routing.limits import names_of
    from bayes_irt_router.routing.router import Router, routing_json

    folder = reference_model() if model is None else model
    problems: list[str] = []
    total: int | None = None
    texts: Iterator[str] = iter(())
    shown: list[str] = []
    with gathered(problems):
        total, texts = prompts_of(prompts or [], input)
    for path in (output, routerarena):
        if path is not None:
            with gathered(problems):
                rehearse_file(path)
    try:
        router = Router.load(folder, encoder, cache_dir)
    except InputError as error:  # without a model there is nothing to hold the rest against
        raise InputError([*problems, *error.problems]) from None
    if model is None:
        tell(
            "note",
            f"routing with {folder.name}, a model of {len(router.posterior.llm)} LLMs that ships with the package",
        )
    if router.warning:
        tell("warning", router.warning)
    told: dict[str, object] = {}
    if prices is not None:
        with gathered(problems):
            router, told = _repriced(router, prices)
    limits = HardLimits(
        names_of(allow),
        names_of(deny) or (),
        max_cost,
        names_of(require) or (),
        fallback,
        min_familiarity,
    )
    with gathered(problems):
        request = _request(router, alpha, policy, option or [], limits, level, seed, explain)
    if problems:
        raise InputError(problems)
    content = routing_json([], alpha, request.policy) | told
    as_table = output is not None and output.suffix.lower() in TABLE_SUFFIXES
    # What a person reads, and what RouterArena wants, needs all at once; the rest is written as it comes.
    at_once = routerarena is not None or not (json or as_table)
    if at_once:
        shown = list(texts)
        texts = iter(shown)
    decisions: list[Decision] = []
    sinks: list[Callable[[Decision], None]] = [decisions.append] if at_once else []
    count = 0
    with ExitStack() as stack:
        if output is not None:
            sinks.append(stack.enter_context(rows_to(output) if as_table else json_file(output, content)))
        if json:
            sinks.append(stack.enter_context(json_to(partial(typer.echo, nl=False), content)))
        for decision in with_bar(router.route_each(texts, request), total):
            count += 1
            for take in sinks:
                take(decision)
    if routerarena is not None:
        from bayes_irt_router.data.files import write_json
        from bayes_irt_router.report.routerarena import prediction_records

        typed = len(prompts or [])
        names = [*map(str, range(typed)), *prompt_names(input, count - typed)]
        write_json(routerarena, prediction_records(names, shown, decisions))
    if json:
        return
    if at_once:
        print_decisions(shown, decisions)
    else:
        terminal().print(f"{count:,} prompts are routed; the decisions are in {output}.", markup=False)


def _repriced(router: "Router", source: str) -> "tuple[Router, dict[str, object]]":
    """The router at other prices, and what its JSON says of them."""
    from bayes_irt_router.data.prices import LITELLM, installed_litellm_prices, read_prices

    table = installed_litellm_prices() if source == LITELLM else read_prices(Path(source))
    names = router.posterior.llm
    # A row under the LLM's own name goes before one under another name of it.
    other = {router.posterior.llm_named(name): price for name, price in table.items()}
    table = {name: table.get(name, other[name]) for name in names if name in other}
    used = {name: table[name] for name in names if name in table}
    if not used:
        raise InputError(f"{source} prices none of the model's LLMs; name them as `birt info` does.")
    if kept := [name for name in router.posterior.llm if name not in table]:
        tell("warning", f"{source} has no price of {', '.join(kept)}; the fit's prices stay for these.")
    dates = {name: price.date or None for name, price in used.items()}
    return router.with_prices(used), {"prices": {"source": source, "dates": dates}}


def _request(
    router: "Router",
    alpha: float,
    policy: str,
    option: list[str],
    limits: "Limits",
    level: float,
    seed: int,
    explain: bool,
) -> "Request":
    """What is asked for; what is wrong with the policy and with the rest is told together."""
    from bayes_irt_router.routing.policy_catalogue import policy_named
    from bayes_irt_router.routing.router import Request
    from bayes_irt_router.routing.utility_policies import ExpectedUtility

    problems: list[str] = []
    chosen = None
    with gathered(problems):
        chosen = policy_named(policy, option)
    request = Request(alpha, chosen or ExpectedUtility(), limits, level, seed, explain)
    with gathered(problems):
        router.check(request)
    if problems:
        raise InputError(problems)
    return request
