"""The bank of templated questions: different texts, all tasks, and a level that can be seen."""

import calendar
import datetime
import re
from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayes_irt_router.data.question_bank import SKILLS, TASKS, write_question, write_questions
from bayes_irt_router.errors import InputError

levels = st.floats(0.0, 1.0)
seeds = st.integers(0, 2**32 - 1)


def test_there_are_at_least_twelve_tasks():
    assert len(TASKS) >= 12
    assert len(set(TASKS)) == len(TASKS)


@given(n=st.integers(len(TASKS), 120), seed=seeds)
def test_texts_differ_and_tasks_are_balanced(n, seed):
    questions = write_questions(n, np.random.default_rng(seed))
    assert len(questions) == n
    assert len({question.text for question in questions}) == n
    counts = Counter(question.task for question in questions)
    assert set(counts) == set(TASKS)
    assert max(counts.values()) - min(counts.values()) <= 1


def test_same_seed_same_questions_other_seed_others():
    first, again, other = (write_questions(64, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first == again
    assert {question.text for question in first} != {question.text for question in other}


@given(task=st.sampled_from(TASKS), level=levels, seed=seeds)
def test_every_question_is_well_formed(task, level, seed):
    question = write_question(task, level, np.random.default_rng(seed))
    assert question.task == task
    assert question.level == level
    assert question.steps >= 1
    assert question.size >= 0.0
    assert set(question.demands) == set(SKILLS)
    assert all(demand >= 0.0 for demand in question.demands.values())
    text = question.text
    assert text == text.strip()
    assert 8 <= len(text) <= 1200
    # No space before a comma, no sentence that ends twice.
    assert not re.search(r"\w ,|\?\.|[^.]\.\.([^.]|$)|\.,", text)
    # A placeholder that nobody filled in.
    assert not re.search(r"\{[a-z_]*\}|None|<function|nan", text)


@given(level=levels, seed=seeds)
def test_programs_are_valid_python(level, seed):
    text = write_question("code_output", level, np.random.default_rng(seed)).text
    program = text.split("```python\n")[1].split("\n```")[0]
    compile(program, "question", "exec")


@given(level=levels, seed=seeds)
def test_multiple_choice_options_differ(level, seed):
    text = write_question("general_knowledge", level, np.random.default_rng(seed)).text
    options = re.findall(r"^[A-F]\) (.+)$", text, flags=re.MULTILINE)
    assert len(options) >= 3
    assert len(set(options)) == len(options)


@given(level=levels, seed=seeds)
def test_stated_weekdays_are_right(level, seed):
    text = write_question("date_logic", level, np.random.default_rng(seed)).text
    day, month, year = re.search(r"(\d+) ([A-Z][a-z]+) (\d{4})", text).groups()
    named = re.search("|".join(calendar.day_name), text)
    if named is not None:
        date = datetime.date(int(year), list(calendar.month_name).index(month), int(day))
        assert calendar.day_name[date.weekday()] == named.group()


@pytest.mark.parametrize("task", TASKS)
def test_every_task_has_at_least_three_wordings(task):
    rng = np.random.default_rng(0)
    # The first two words, without numbers.
    openings = {
        " ".join(re.sub(r"[^a-z ]+", " ", write_question(task, 0.5, rng).text.lower()).split()[:2])
        for _ in range(100)
    }
    assert len(openings) >= 3


@pytest.mark.parametrize("task", TASKS)
def test_a_higher_level_shows_in_the_text(task):
    # In every task both differences are ten standard errors or more above their bounds (measured with 1,000
    # questions a level), so the error rate is practically zero.
    rng = np.random.default_rng(5)
    mean = defaultdict(list)
    for level in (0.2, 0.8):
        for _ in range(100):
            question = write_question(task, level, rng)
            mean[level].append((question.steps, question.size))
    easy, hard = (np.mean(mean[level], axis=0) for level in (0.2, 0.8))
    assert hard[0] > easy[0] + 0.5
    assert hard[1] > easy[1]


@pytest.mark.parametrize("n", [-1, 0, len(TASKS) - 1])
def test_too_few_questions_for_all_tasks_are_refused(n):
    with pytest.raises(InputError, match="at least"):
        write_questions(n, np.random.default_rng(0))


def test_all_problems_of_a_question_are_told_at_once():
    with pytest.raises(InputError) as caught:
        write_question("juggling", 1.5, np.random.default_rng(0))
    assert len(caught.value.problems) == 2
