"""What `birt collect` is to do, checked whole before the first request is paid for."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bayes_irt_router.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from bayes_irt_router.data.collection.questions import Question
    from bayes_irt_router.data.collection.scoring import Scorer
    from bayes_irt_router.data.prices import Price


@dataclass(frozen=True, eq=False)
class CollectionPlan:
    """What is asked, of whom, and how replies are scored.

    Attributes:
        questions: to ask.
        llms: canonical table of the LLMs, sound.
        prices: by LLM, of those whose price is known.
        scorer: of the replies.
    """

    questions: "tuple[Question, ...]"
    llms: "pd.DataFrame"
    prices: "Mapping[str, Price]"
    scorer: "Scorer"

    @property
    def names(self) -> list[str]:
        """The LLMs, in the order of the table."""
        return [str(name) for name in self.llms["llm"]]


def collection_plan(
    prompts: Path,
    llms: str,
    output: Path,
    score: str,
    pattern: str | None,
    command: str | None,
    limits: Mapping[str, float | None],
    temperature: float,
) -> CollectionPlan:
    """Read and check everything that a run needs.

    Args:
        prompts: table of the questions.
        llms: names, separated by commas, or the path of a table.
        output: folder that will be written to.
        score, pattern, command: how replies are scored.
        limits: the options ``--budget-usd`` and ``--requests-per-minute``, None where not given.
        temperature: of sampling.

    Raises:
        InputError: something is missing, damaged or at odds, or LiteLLM is not installed; every problem is listed.
    """
    from bayes_irt_router.data.collection.litellm_client import imported_litellm
    from bayes_irt_router.data.collection.questions import read_questions

    problems: list[str] = []

    def told[T](check: Callable[[], T]) -> T | None:
        try:
            return check()
        except InputError as error:
            problems.extend(error.problems)
            return None

    told(lambda: _check_numbers(limits, temperature))
    told(lambda: _check_output(output))
    scorer = told(lambda: _scorer(score, pattern, command))
    questions = told(lambda: read_questions(prompts))
    if scorer is not None and questions is not None:
        told(lambda: _check_answers(questions, scorer, pattern, prompts))
    table = told(lambda: _llm_table(llms))
    if problems or scorer is None or questions is None or table is None:
        raise InputError(problems)
    imported_litellm()
    plan = CollectionPlan(questions, table, _prices(table), scorer)
    unpriced = [name for name in plan.names if name not in plan.prices]
    if limits["--budget-usd"] is not None and unpriced:
        raise InputError(
            f"--budget-usd needs the prices of {', '.join(unpriced)}; name with --llms a table of llm, input_price_per_million and "
            "output_price_per_million."
        )
    return plan


def _check_numbers(limits: Mapping[str, float | None], temperature: float) -> None:
    problems = [
        f"{name} is {value}; give a number above 0."
        for name, value in limits.items()
        if value is not None and not 0 < value < float("inf")
    ]
    if not 0 <= temperature < float("inf"):
        problems.append(f"--temperature is {temperature}; give a number of at least 0.")
    if problems:
        raise InputError(problems)


def _check_output(output: Path) -> None:
    from bayes_irt_router.data.files import tables_named
    from bayes_irt_router.data.schema import TABLES

    if output.exists() and not output.is_dir():
        raise InputError(f"{output} is a file; name a folder with --output.")
    if others := [p.name for n in TABLES for p in tables_named(output, n) if p.suffix != ".parquet"]:
        raise InputError(
            f"{output} already holds {', '.join(others)}; remove them, or write to another folder."
        )


def _scorer(score: str, pattern: str | None, command: str | None) -> "Scorer":
    """The scorer that was asked for; options of the others are refused."""
    from bayes_irt_router.data.collection.scoring import command_scorer, exact_match, regular_expression

    problems = []
    for option, value, needed in (("--pattern", pattern, "regex"), ("--command", command, "command")):
        if value is not None and score != needed:
            problems.append(f"{option} goes with --score {needed}; add that, or leave it out.")
        if value is None and score == needed:
            problems.append(f"--score {score} needs {option}; add it.")
    if problems:
        raise InputError(problems)
    if pattern is not None:
        return regular_expression(pattern)
    return exact_match if command is None else command_scorer(command)


def _check_answers(
    questions: "Sequence[Question]", scorer: "Scorer", pattern: str | None, path: Path
) -> None:
    from bayes_irt_router.data.collection.scoring import needs_answers

    without = [one.query for one in questions if not one.answer]
    if without and needs_answers(scorer, pattern):
        raise InputError(
            f"{path}: {len(without)} prompts have no answer to compare with (the first is {without[0]}); fill the column answer, or "
            "choose another --score."
        )


def _llm_table(llms: str) -> "pd.DataFrame":
    """What was given of the LLMs: a table, or their names alone. It becomes the table of the data set, so it is checked as one."""
    import pandas as pd

    from bayes_irt_router.data.files import TABLE_SUFFIXES
    from bayes_irt_router.data.readers.llm_table import read_llm_table
    from bayes_irt_router.data.schema import PRICES, validate_table

    if Path(llms).suffix.lower() not in (*TABLE_SUFFIXES, ".json"):
        names = list(dict.fromkeys(name.strip() for name in llms.split(",") if name.strip()))
        if not names:
            raise InputError("--llms names no LLM; write names, separated by commas, or a table.")
        return pd.DataFrame({"llm": names})
    table = read_llm_table(Path(llms)).reset_index(drop=True)
    problems = validate_table(table, "llms", llms)
    given = table.reindex(columns=list(PRICES)).notna()
    problems += [
        f"{llms}, data row {row + 1}: it has one price of two; fill {PRICES[0]} and {PRICES[1]}, or neither."
        for row in given.index[given.any(axis=1) & ~given.all(axis=1)]
    ]
    if problems:
        raise InputError(problems)
    return table


def _prices(table: "pd.DataFrame") -> "dict[str, Price]":
    """Prices of the table, else those that LiteLLM knows."""
    import pandas as pd

    from bayes_irt_router.data.prices import Price, installed_litellm_prices
    from bayes_irt_router.data.schema import PRICES, typed_table

    known = installed_litellm_prices()
    found = {str(name): known[str(name)] for name in table["llm"] if str(name) in known}
    if set(PRICES) <= set(table.columns):
        typed = typed_table(table, "llms")
        for name, *pair in zip(typed["llm"], typed[PRICES[0]], typed[PRICES[1]], strict=True):
            if not any(pd.isna(pair)):
                found[str(name)] = Price(float(pair[0]), float(pair[1]), "")
    return found
