"""Templates of questions about symbols: program output, SQL, strings, logical deduction, tables.

Each public function writes one question of one task: it takes a random generator and a level in [0, 1]
(a higher level asks for more steps or larger inputs) and returns a `Draft`.
"""

import itertools

import numpy as np

from bayes_irt_router.data.question_draft import (
    Draft,
    enumerate_in_words,
    graded,
    pick,
    pick_distinct,
    whole_number,
)

_NAMES = ("Ada", "Bruno", "Chen", "Dalia", "Emeka", "Farah", "Goran", "Hana", "Ivo", "Jun", "Kofi", "Lena")


def _number_statement(rng: np.random.Generator) -> str:
    k, c = int(rng.integers(2, 8)), int(rng.integers(1, 10))
    return pick(
        rng,
        [
            f"x = x * {k} - {c}",
            f"for i in range({k + 1}):\n    x += i * {c}",
            f"if x % {k} == 0:\n    x //= {k}\nelse:\n    x += {c}",
            f"while x > {10 * c + k}:\n    x -= {k + c}",
            f"x = sum(j * j for j in range(x % {k + 3}))",
        ],
    )


def _list_statement(rng: np.random.Generator) -> str:
    k = int(rng.integers(2, 5))
    return pick(
        rng,
        [
            "values.sort()",
            "values = values[::-1]",
            f"values = [v * {k} for v in values if v % 2 == 1] + [{k}]",
            "values.append(sum(values))",
            f"values = values[1:] + [values[0] - {k}]",
            f"values = sorted(values, key=lambda v: v % {k})",
        ],
    )


def code_output(rng: np.random.Generator, level: float) -> Draft:
    """What a short Python program prints."""
    statements, digits = graded(rng, level, 1, 5), graded(rng, level, 1, 3)
    if rng.random() < 0.5:
        lines = [f"x = {whole_number(rng, digits)}"]
        lines += [_number_statement(rng) for _ in range(statements)] + ["print(x)"]
    else:
        start = [whole_number(rng, digits) for _ in range(3 + digits)]
        lines = [f"values = {start}"]
        lines += [_list_statement(rng) for _ in range(statements)]
        lines += [pick(rng, ["print(values)", "print(values[-1])", "print(len(values), max(values))"])]
    wording = pick(
        rng,
        [
            "What does this Python program print?",
            "Trace the code below and state its output.",
            "Without running it, say what the following Python snippet prints.",
            "Here is a small script. Which text appears on the screen?",
        ],
    )
    return Draft(wording + "\n\n```python\n" + "\n".join(lines) + "\n```", statements, digits)


def sql_result(rng: np.random.Generator, level: float) -> Draft:
    """The result of an SQL query over a small table."""
    clauses, rows = graded(rng, level, 1, 4), graded(rng, level, 3, 8)
    table, group, groups, value = pick(
        rng,
        [
            ("orders", "city", ("Oslo", "Lima", "Cairo"), "amount"),
            ("staff", "team", ("sales", "support", "design"), "salary"),
            ("trips", "driver", ("Ada", "Bruno", "Chen"), "km"),
        ],
    )
    lines = [f"({i + 1}, '{pick(rng, groups)}', {whole_number(rng, 2)})" for i in range(rows)]
    if clauses <= 2:
        query = f"SELECT id FROM {table} WHERE {value} > {int(rng.integers(20, 80))}"
        query += f" ORDER BY {value} DESC" if clauses == 2 else ""
    else:
        query = f"SELECT {group}, SUM({value}) FROM {table} WHERE {value} < {int(rng.integers(60, 99))}"
        query += f" GROUP BY {group}"
        query += f" HAVING COUNT(*) > 1 ORDER BY SUM({value})" if clauses == 4 else ""
    wording = pick(
        rng,
        [
            "Table {table}(id, {group}, {value}) holds {rows}. What does this query return?\n\n{query};",
            "INSERT INTO {table} (id, {group}, {value}) VALUES {rows};\n\nWhat is the result of\n{query};",
            "Which rows come back when `{query}` runs on {table} (id, {group}, {value}) containing {rows}?",
        ],
    )
    text = wording.format(table=table, group=group, value=value, rows=", ".join(lines), query=query)
    return Draft(text, clauses, rows)


# From short to long.
_WORDS = (
    ("lamp", "frog", "cloud", "stone", "river", "tiger"),
    ("lantern", "harvest", "blanket", "journey", "penguin", "compass"),
    ("strawberry", "lighthouse", "watermelon", "basketball", "chimpanzee", "friendship"),
    ("refrigerator", "extraordinary", "thunderstorms", "grandchildren", "communication", "knowledgeable"),
)
_EDITS = (
    "reverse it",
    "remove all vowels",
    "write every second letter in capitals",
    "swap the first and the last letter",
    "double the third letter",
    "move the last letter to the front",
    "replace each 'e' by 'o'",
    "sort the letters alphabetically",
)


def string_manipulation(rng: np.random.Generator, level: float) -> Draft:
    """A word after several edits, one after the other."""
    edits, length = graded(rng, level, 1, 5), graded(rng, level, 0, len(_WORDS) - 1)
    word = pick(rng, _WORDS[length])
    path = ", then ".join(pick_distinct(rng, _EDITS, edits))
    wording = pick(
        rng,
        [
            "Take the word '{word}' and {path}. What is the result?",
            'Apply these edits to "{word}", in this order: {path}. Write only the final string.',
            "I have the text {word}. Please {path}. What do I get?",
            "A text editor opens a file that says {word}. The user tells it to {path}. What is there now?",
        ],
    )
    return Draft(wording.format(word=word, path=path), edits, len(word))


# (comparison, the same the other way round, what the first of the order is called)
_ORDERS = (
    ("is taller than", "is shorter than", "tallest"),
    ("is older than", "is younger than", "oldest"),
    ("finished the race before", "finished the race after", "first to finish"),
    ("lives on a higher floor than", "lives on a lower floor than", "one on the highest floor"),
    ("has more books than", "has fewer books than", "owner of the most books"),
)


def logical_deduction(rng: np.random.Generator, level: float) -> Draft:
    """Who comes first, last or at some place, given pairwise comparisons in random order."""
    comparisons, reversals = graded(rng, level, 2, 7), graded(rng, level, 0, 4)
    people = pick_distinct(rng, _NAMES, comparisons + 1)
    more, less, first = pick(rng, _ORDERS)
    facts = [
        f"{b} {less} {a}" if i < reversals else f"{a} {more} {b}"
        for i, (a, b) in enumerate(itertools.pairwise(people))
    ]
    facts = pick_distinct(rng, facts, len(facts))
    place = int(rng.integers(2, len(people) + 1))
    question = pick(
        rng,
        [
            f"Who is the {first}?",
            f"List all {len(people)} people, beginning with the {first}.",
            f"If they line up beginning with the {first}, who stands at place {place}?",
        ],
    )
    wording = pick(
        rng,
        [
            "{facts}. {question}",
            "Here is what we know: {facts}. {question}",
            "Read the clues. {facts}. {question} Explain your reasoning in one sentence.",
        ],
    )
    text = wording.format(facts=". ".join(facts), question=question)
    return Draft(text, comparisons, min(reversals, comparisons))


def table_reading(rng: np.random.Generator, level: float) -> Draft:
    """Looking up, adding or comparing cells of a table."""
    steps, rows, columns = graded(rng, level, 1, 4), graded(rng, level, 3, 9), graded(rng, level, 2, 5)
    subject, all_columns = pick(
        rng,
        [
            ("goals", ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")),
            ("cakes sold", ("January", "February", "March", "April", "May")),
            ("visitors", ("north gate", "south gate", "east gate", "west gate", "main hall")),
        ],
    )
    heads, names = list(all_columns[:columns]), pick_distinct(rng, _NAMES, rows)
    cells = rng.integers(1, 100, size=(rows, columns))
    separator = pick(rng, [" | ", ", ", "; "])
    lines = [separator.join(["name", *heads])]
    lines += [separator.join([name, *map(str, row)]) for name, row in zip(names, cells.tolist(), strict=True)]
    one, other = names[0], names[1]
    if steps == 1:
        question = f"what is the number of {subject} for {one} under {heads[-1]}?"
    elif steps == 2:
        question = f"who has the most {subject} under {heads[0]}?"
    elif steps == 3:
        question = f"how many {subject} do {one} and {other} have in total over {enumerate_in_words(heads)}?"
    else:
        question = f"by how much do the averages of {heads[0]} and {heads[1]} differ ({subject})?"
    wording = pick(
        rng,
        [
            "According to the table below, {question}\n\n{table}",
            "{table}\n\nUsing these numbers of {subject}, {question}",
            "Someone kept this record of {subject}:\n\n{table}\n\nLooking at it, {question}",
        ],
    )
    text = wording.format(question=question, table="\n".join(lines), subject=subject)
    return Draft(text, steps, rows * columns)
