"""A bank of templated questions with real wording, for benchmarks that need no outside data."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from bayes_irt_router.data import question_knowledge, question_quantitative, question_symbolic
from bayes_irt_router.data.question_draft import Draft
from bayes_irt_router.errors import InputError

SKILLS = ("knowledge", "code", "mathematics", "language")
"""Skills that a task can demand beyond general ability."""


@dataclass(frozen=True)
class Question:
    """One templated question and what makes it hard.

    Attributes:
        task: name of its task, one of `TASKS`.
        text: the wording.
        level: intended level in [0, 1]; higher asks for more steps or larger ones.
        steps: operations to carry out one after the other, visible in the text; at least 1.
        size: size of a step in the task's own unit (digits, letters, cells, rarity), visible in the text.
        demands: non-negative loading of every skill in `SKILLS`.
    """

    task: str
    text: str
    level: float
    steps: int
    size: float
    demands: Mapping[str, float]


@dataclass(frozen=True)
class _Task:
    template: Callable[[np.random.Generator, float], Draft]
    demands: Mapping[str, float]


def _task(
    template: Callable[[np.random.Generator, float], Draft],
    *,
    knowledge: float = 0.1,
    code: float = 0.1,
    mathematics: float = 0.1,
    language: float = 0.1,
) -> _Task:
    loadings = {"knowledge": knowledge, "code": code, "mathematics": mathematics, "language": language}
    return _Task(template, MappingProxyType(loadings))


_TASKS: Mapping[str, _Task] = MappingProxyType(
    {
        "arithmetic": _task(question_quantitative.arithmetic, mathematics=0.9),
        "percentage": _task(question_quantitative.percentage, mathematics=0.8, language=0.2),
        "unit_conversion": _task(question_quantitative.unit_conversion, mathematics=0.5, knowledge=0.6),
        "algebra": _task(question_quantitative.algebra, mathematics=1.1, code=0.2),
        "geometry": _task(question_quantitative.geometry, mathematics=0.8, knowledge=0.3),
        "probability": _task(question_quantitative.probability, mathematics=1.0, code=0.2),
        "sequence": _task(question_quantitative.sequence, mathematics=0.8, code=0.4),
        "date_logic": _task(question_quantitative.date_logic, mathematics=0.4, language=0.4, code=0.2),
        "code_output": _task(question_symbolic.code_output, code=1.4),
        "sql_result": _task(question_symbolic.sql_result, code=1.2),
        "string_manipulation": _task(question_symbolic.string_manipulation, code=0.8, language=0.4),
        "logical_deduction": _task(question_symbolic.logical_deduction, language=0.6, mathematics=0.4),
        "table_reading": _task(question_symbolic.table_reading, language=0.5, code=0.4),
        "translation": _task(question_knowledge.translation, knowledge=0.9, language=0.8),
        "general_knowledge": _task(question_knowledge.general_knowledge, knowledge=1.4),
        "chronology": _task(question_knowledge.chronology, knowledge=1.3),
    }
)

TASKS: tuple[str, ...] = tuple(_TASKS)
"""Names of the tasks."""

# A question that comes out equal to an earlier one is written again, at most so many times.
_ATTEMPTS = 200


def write_question(task: str, level: float, rng: np.random.Generator) -> Question:
    """Write one question.

    Args:
        task: one of `TASKS`.
        level: in [0, 1]; higher is harder on average.
        rng: the source of all randomness.

    Raises:
        InputError: unknown task, or level outside [0, 1].

    >>> write_question("arithmetic", 0.0, np.random.default_rng(1)).steps
    1
    """
    problems = []
    if task not in _TASKS:
        problems.append(f"Task {task!r} is unknown; use one of {', '.join(TASKS)}.")
    if not 0.0 <= level <= 1.0:
        problems.append(f"The level of a question is {level}; give a number from 0 to 1.")
    if problems:
        raise InputError(problems)
    draft = _TASKS[task].template(rng, level)
    return Question(task, draft.text, float(level), draft.steps, float(draft.size), _TASKS[task].demands)


def write_questions(n: int, rng: np.random.Generator) -> list[Question]:
    """Write questions with different texts, in random order, equally many of every task (to within one).

    Levels are uniform on [0, 1].

    Args:
        n: number of questions, at least one per task.
        rng: the source of all randomness.

    Raises:
        InputError: fewer questions than tasks, or more than the templates can tell apart.

    >>> len(write_questions(32, np.random.default_rng(0)))
    32
    """
    if n < len(TASKS):
        raise InputError(f"{n} questions cannot cover the {len(TASKS)} tasks; ask for at least {len(TASKS)}.")
    questions: list[Question] = []
    texts: set[str] = set()
    for i in range(n):
        question = _write_new_question(TASKS[i % len(TASKS)], texts, rng)
        texts.add(question.text)
        questions.append(question)
    return [questions[int(i)] for i in rng.permutation(n)]


def _write_new_question(task: str, texts: set[str], rng: np.random.Generator) -> Question:
    for _ in range(_ATTEMPTS):
        question = write_question(task, float(rng.random()), rng)
        if question.text not in texts:
            return question
    raise InputError(f"The templates of task {task!r} have no more different questions; ask for fewer.")
