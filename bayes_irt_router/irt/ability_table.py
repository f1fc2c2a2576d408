"""The abilities that the NIRT names, each with a description that is embedded beside the queries; users may bring their own."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bayes_irt_router.errors import InputError

FEWEST, MOST = 2, 100


@dataclass(frozen=True)
class NamedAbility:
    """An ability of LLMs: a name for tables, and what a query is about that asks for it, in the words of such queries."""

    name: str
    description: str


ABILITIES = (
    NamedAbility(
        "reasoning", "Draw a conclusion step by step from given facts, conditions and rules; a logic puzzle."
    ),
    NamedAbility(
        "understanding", "Read a passage and answer questions about what it says and what it means."
    ),
    NamedAbility("generation", "Write a text: a story, an essay, an e-mail, an article on a topic."),
    NamedAbility(
        "information retrieval", "Find the fact: who, when, where, which person, place, date or title."
    ),
    NamedAbility(
        "multidisciplinary knowledge", "An exam question on an academic subject such as history or economics."
    ),
    NamedAbility(
        "emotional understanding", "Recognise how a person feels in a situation, and respond with empathy."
    ),
    NamedAbility(
        "arithmetic", "A word problem with money, ages or quantities: add, subtract, multiply, divide."
    ),
    NamedAbility(
        "algebra", "Solve an equation, simplify a polynomial expression, find the value of the variable x."
    ),
    NamedAbility(
        "geometry", "Find an angle, a length, an area or a volume of triangles, circles and solids."
    ),
    NamedAbility(
        "number theory and counting",
        "Divisors, primes, remainders, and in how many ways something can be chosen.",
    ),
    NamedAbility(
        "probability and statistics",
        "The probability of an event, expected values, averages, data and samples.",
    ),
    NamedAbility(
        "advanced mathematics",
        "Calculus, matrices, complex numbers, limits, trigonometric functions, proofs.",
    ),
    NamedAbility(
        "program writing",
        "Write a function in a programming language that does what is asked and passes tests.",
    ),
    NamedAbility(
        "program tracing",
        "What does this code return for this input? Follow strings, lists and loops in Python.",
    ),
    NamedAbility(
        "natural science",
        "Physics, chemistry and biology: laws, reactions, organisms, an experiment and its result.",
    ),
    NamedAbility(
        "medicine and health",
        "Symptoms, diagnosis, treatment, anatomy, nutrition and psychology of a patient.",
    ),
    NamedAbility("law and ethics", "What the law says of a case; what is morally right or wrong to do."),
    NamedAbility(
        "economics and business", "Markets, accounting, management, marketing, trade and public finance."
    ),
    NamedAbility(
        "history and geography",
        "Events, rulers, wars, countries, rivers and cities of the past and of today.",
    ),
    NamedAbility("common sense", "What happens in everyday life; the most plausible end of a situation."),
    NamedAbility(
        "instruction following",
        "Keep to a required format, length, order and a list of constraints on the answer.",
    ),
    NamedAbility(
        "planning", "Break a goal down into a sequence of actions; schedule tasks; play a game to win."
    ),
    NamedAbility(
        "language and translation", "Grammar, words and idioms; translate from one language to another."
    ),
    NamedAbility(
        "summarising and classifying",
        "Give the main points of a text; sort texts by sentiment, topic or type.",
    ),
    NamedAbility(
        "culture and entertainment",
        "Films, songs, books, sports, celebrities, television and popular culture.",
    ),
)


def read_abilities(path: Path) -> tuple[NamedAbility, ...]:
    """A user's own table: CSV, Parquet or JSON Lines with the columns ``ability`` and ``description``.

    Raises:
        InputError: the file or a column is missing, or :func:`check_abilities` finds something.
    """
    from bayes_irt_router.data.files import read_table

    table = read_table(path)
    if missing := [name for name in ("ability", "description") if name not in table]:
        raise InputError(f"{path} has no column {' and no column '.join(missing)}; add it.")
    cells = table[["ability", "description"]]
    texts = cells.astype(str).where(cells.notna(), "")  # an empty cell is no text, "nan" least of all
    found = tuple(NamedAbility(name.strip(), text.strip()) for name, text in texts.itertuples(index=False))
    check_abilities(found)
    return found


def check_abilities(abilities: Sequence[NamedAbility]) -> None:
    """Whether a table can name abilities.

    Raises:
        InputError: fewer than 2 or more than 100 abilities, or a name or description that is empty or comes twice.
    """
    problems = []
    if not FEWEST <= len(abilities) <= MOST:
        problems.append(f"There are {len(abilities)} abilities; give {FEWEST} to {MOST}.")
    for part in ("name", "description"):
        texts = [getattr(one, part) for one in abilities]
        problems += [
            f"The {part} of ability {k} is empty; write it." for k, text in enumerate(texts, 1) if not text
        ]
        if twice := sorted({text for text in texts if text and texts.count(text) > 1}):
            problems.append(f"The {part} {twice[0]!r} comes more than once; tell the abilities apart.")
    if problems:
        raise InputError(problems)
