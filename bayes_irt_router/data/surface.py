r"""Surface features: what can be counted in a prompt without understanding it.

Sentence embeddings blur what makes a question hard for a language model: how long it is, how many numbers it
holds, how deeply its code is nested. These features count such things. Each is one number per text, finite
for any text (empty and huge ones too), and deterministic.

Scale: a count $n$ is given as $\log(1 + n)$, so that a prompt ten times longer is a step away and not a leap;
a share lies in [0, 1]. Standardising is left to the feature map, which knows the training data.

To add a feature, write a `SurfaceFeature` and pass `(*SURFACE_FEATURES, mine)`; to take only some, use
`features_named`. All patterns are compiled once and take a time that grows with the text's length, not with
its square: there is no nested repetition, and none without a bound before something that can fail everywhere.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import log1p, log10

import numpy as np
from jaxtyping import Float

from bayes_irt_router.data.surface_vocabulary import (
    ALGEBRA_WORDS,
    CHANCE_WORDS,
    COMPARATIVE_WORDS,
    GEOMETRY_WORDS,
    INSTRUCTIONS,
    LOGICAL_WORDS,
    MONEY_WORDS,
    NUMBER_THEORY_WORDS,
    NUMBER_WORDS,
    PRONOUNS,
    QUESTION_WORDS,
    SCIENCE_WORDS,
    TIME_WORDS,
    UNIT_WORDS,
)
from bayes_irt_router.errors import InputError


@dataclass(frozen=True)
class SurfaceFeature:
    """One named number that is computed from the text alone.

    Args:
        name: short identifier; the coordinate of the feature in a dataset.
        description: what it counts, and on which scale, in one sentence.
        compute: from the text to a finite number; pure and cheap.
    """

    name: str
    description: str
    compute: Callable[[str], float]


LARGEST_EXPONENT = 12.0
LONGEST_WORD = 30.0

_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_NUMBER = re.compile(r"[0-9]+(?:,[0-9]{3})*(?:\.[0-9]+)?")
_SENTENCE_END = re.compile(r"[.!?](?=\s|\Z)")
_BRACKET = re.compile(r"[()\[\]{}]")
_STRING_LITERAL = re.compile(r'"[^"\n]*"' + r"|(?<!\w)'[^'\n]*'(?!\w)")
_COLLECTION_LITERAL = re.compile(r"\[[^\[\]{}]*\]|\{[^\[\]{}]*\}")
_CURRENCY = re.compile(r"[$€£¥₹] ?[0-9]|\\\$")


# All features of one text are computed in a row: a few remembered splits spare one split per feature.
@lru_cache(maxsize=4)
def _words(text: str) -> tuple[str, ...]:
    return tuple(_WORD.findall(text))


@lru_cache(maxsize=4)
def _lower_words(text: str) -> tuple[str, ...]:
    return tuple(_WORD.findall(text.lower()))


def _pattern(name: str, description: str, pattern: str, flags: re.RegexFlag = re.NOFLAG) -> SurfaceFeature:
    """A feature log(1 + number of matches of the pattern)."""
    find_all = re.compile(pattern, flags).findall
    return SurfaceFeature(name, f"log(1 + {description})", lambda text: log1p(len(find_all(text))))


def _vocabulary(name: str, description: str, words: frozenset[str]) -> SurfaceFeature:
    """A feature log(1 + number of words, in lower case, that are in the list)."""
    is_listed = words.__contains__
    return SurfaceFeature(
        name, f"log(1 + {description})", lambda text: log1p(sum(map(is_listed, _lower_words(text))))
    )


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _mean_word_length(text: str) -> float:
    words = _words(text)
    return min(_share(sum(map(len, words)), len(words)), LONGEST_WORD)


def _distinct_word_share(text: str) -> float:
    words = _lower_words(text)
    return _share(len(set(words)), len(words))


def _capitalised_share(text: str) -> float:
    words = _words(text)
    return _share(sum(word[0].isupper() for word in words), len(words))


def _largest_number(text: str) -> float:
    """log10(1 + largest number), capped; numbers too long for a float are told by their digits."""
    largest = 0.0
    for number in _NUMBER.findall(text):
        whole = number.partition(".")[0].replace(",", "").lstrip("0")
        if len(whole) > LARGEST_EXPONENT:
            return LARGEST_EXPONENT
        largest = max(largest, float(whole or 0))
    return min(log10(1.0 + largest), LARGEST_EXPONENT)


def _bracket_depth(text: str) -> float:
    depth = deepest = 0
    for bracket in _BRACKET.findall(text):
        if bracket in "([{":
            depth += 1
            deepest = max(deepest, depth)
        elif depth:
            depth -= 1
    return log1p(deepest)


def _longest_literal(text: str) -> float:
    literals = (*_STRING_LITERAL.findall(text), *_COLLECTION_LITERAL.findall(text))
    return log1p(max((len(literal) - 2 for literal in literals), default=0))


SURFACE_FEATURES: tuple[SurfaceFeature, ...] = (
    # Size and wording.
    SurfaceFeature("characters", "log(1 + characters)", lambda text: log1p(len(text))),
    SurfaceFeature("words", "log(1 + words)", lambda text: log1p(len(_words(text)))),
    SurfaceFeature("lines", "log(1 + line breaks)", lambda text: log1p(text.count("\n"))),
    _pattern("sentences", "sentence ends: . ! ? before a space or the end", _SENTENCE_END.pattern),
    SurfaceFeature(
        "commas", "log(1 + commas and semicolons)", lambda text: log1p(text.count(",") + text.count(";"))
    ),
    SurfaceFeature("mean_word_length", "mean letters per word, at most 30", _mean_word_length),
    SurfaceFeature("distinct_word_share", "distinct words / words (type-token ratio)", _distinct_word_share),
    _pattern("long_words", "words of ten letters or more", r"[^\W\d_]{10,}"),
    SurfaceFeature("capitalised_share", "share of words with a capital first letter", _capitalised_share),
    SurfaceFeature(
        "non_ascii_share",
        "share of characters outside ASCII",
        lambda text: 0.0 if text.isascii() else 1.0 - len(text.encode("ascii", "ignore")) / len(text),
    ),
    # Numbers.
    _pattern("digits", "digits 0-9", r"[0-9]"),
    SurfaceFeature(
        "distinct_numbers",
        "log(1 + distinct numbers written in digits)",
        lambda text: log1p(len(set(_NUMBER.findall(text)))),
    ),
    SurfaceFeature("largest_number", "log10(1 + largest number in digits), at most 12", _largest_number),
    _pattern(
        "fractional_numbers",
        r"decimals, fractions and percentages: 2.5, 3/4, \frac, ½, %",
        r"[0-9]\.[0-9]|[0-9] ?/ ?[0-9]|\\[dt]?frac|[¼-¾⅐-⅞]|%|\bper ?cent",
    ),
    _vocabulary("number_words", "numbers in words, such as three, dozen, half, twice", NUMBER_WORDS),
    # Mathematics.
    _pattern(
        "arithmetic_operators",
        "signs of plus, minus, times, division and powers",
        r"\*\*|[+*×÷^²³⁴-⁹]|(?<=[\s0-9a-z)])[-−](?=[\s0-9(])|[-−/](?=[0-9(])|(?<=\s)/(?=\s)",
    ),
    _pattern(
        "comparisons", "signs =, <, >, ≤, ≥, ≠ and their LaTeX names", r"[=<>≤≥≠]|\\(?:leq?|geq?|neq?)\b"
    ),
    _pattern("latex_commands", r"backslash commands, such as \sqrt", r"\\[A-Za-z]+"),
    _pattern(
        "inline_mathematics",
        r"formulas between dollar signs or in \( \) and \[ \]",
        r"\$(?!\s)[^$\n]{1,300}(?<!\s)\$(?![0-9])|\\[(\[]",
    ),
    _pattern(
        "variables", "letters that stand alone, but a and I", r"(?<![A-Za-z'’])[b-zB-HJ-Z](?![A-Za-z'’])"
    ),
    _vocabulary(
        "algebra_words",
        "words of algebra and analysis, such as polynomial, function, sin",
        ALGEBRA_WORDS,
    ),
    _vocabulary(
        "number_theory_words",
        "words of number theory, such as prime, divisible, remainder",
        NUMBER_THEORY_WORDS,
    ),
    _vocabulary("geometry_words", "words of geometry, such as triangle, angle, area", GEOMETRY_WORDS),
    _vocabulary(
        "chance_words",
        "words of counting and chance, such as probability, ways, dice",
        CHANCE_WORDS,
    ),
    _vocabulary(
        "science_words",
        "words of the natural sciences, such as energy, cell, molecule",
        SCIENCE_WORDS,
    ),
    # Quantities of everyday life.
    SurfaceFeature(
        "money",
        "log(1 + currency amounts and words of trade)",
        lambda text: log1p(
            len(_CURRENCY.findall(text)) + sum(map(MONEY_WORDS.__contains__, _lower_words(text)))
        ),
    ),
    _vocabulary("time_words", "words of time, such as hour, daily, Monday, ago", TIME_WORDS),
    _vocabulary("unit_words", "units of measurement, such as km, feet, litres, degrees", UNIT_WORDS),
    _vocabulary(
        "comparative_words",
        "words that compare quantities, such as more, fewer, times, ratio, total",
        COMPARATIVE_WORDS,
    ),
    _vocabulary(
        "logical_words",
        "words that bind or negate, such as all, only, exactly, if, not, except",
        LOGICAL_WORDS,
    ),
    _vocabulary("pronouns", "personal pronouns", PRONOUNS),
    # Program code.
    _pattern(
        "code_keywords",
        "words of programming: def, return, assert, lambda, import, None, ...",
        r"\bdef \w|\b(?:return|assert|lambda|elif|None|True|False|null)\b|\bimport \w|\bfrom \w+ import\b"
        r"|\bprint\(|\bfunction\b ?\w*\(|\bSELECT\b",
    ),
    _pattern("code_symbols", "signs of code: ->, ==, !=, +=, braces, backticks, ;", r"->|[=!+*-]=|[{}`;]|//"),
    _pattern("function_calls", "names directly before a bracket: f(", r"[A-Za-z0-9_]\("),
    _pattern("method_calls", "calls on an object: .split(", r"\.[A-Za-z_]\w*\("),
    _pattern(
        "control_flow",
        "loops, comprehensions and branches: for x in, while ...:, lines that start with if, else, try",
        r"\bfor \(?\w+(?:, ?\w+)*\)? in\b|\bwhile\b[^\n:]{1,200}:|\b(?:for|while|if) ?\("
        r"|^[ \t]*(?:if|elif|else|try|except|case)\b[^\n]{0,200}[:{]",
        re.MULTILINE,
    ),
    SurfaceFeature("bracket_depth", "log(1 + deepest nesting of brackets)", _bracket_depth),
    SurfaceFeature(
        "longest_literal",
        "log(1 + characters of the longest text in quotation marks or list in brackets)",
        _longest_literal,
    ),
    # What is asked, and how carefully.
    SurfaceFeature(
        "lower_case_start",
        "1 if the first sign is a lower-case letter",
        lambda text: float(text.lstrip()[:1].islower()),
    ),
    SurfaceFeature(
        "open_end",
        "1 if the last sign is a letter or a digit, as in a sentence to complete or a hasty question",
        lambda text: float(text.rstrip()[-1:].isalnum()),
    ),
    _pattern("question_marks", "question marks", r"[?？]"),
    _vocabulary("question_words", "words who, whom, whose, which, what, where, when, why", QUESTION_WORDS),
    _pattern(
        "quantity_questions",
        "how many, how much, how long, ...",
        r"\bhow (?:many|much|long|far|old|tall|often)\b",
        re.IGNORECASE,
    ),
    _vocabulary("instructions", "verbs that set a task, such as find, compute, write, explain", INSTRUCTIONS),
    _pattern("answer_options", "answer options: A) B. (C)", r"(?<!\S)\(?[A-J][).:](?=\s)"),
)


def features_named(names: Iterable[str]) -> tuple[SurfaceFeature, ...]:
    """The features of `SURFACE_FEATURES` with these names, in the order of the names.

    Raises:
        InputError: for each name that is unknown or given twice.

    >>> [feature.name for feature in features_named(["digits", "words"])]
    ['digits', 'words']
    """
    names = tuple(names)
    known = {feature.name: feature for feature in SURFACE_FEATURES}
    problems = [
        f"There is no surface feature '{name}'; choose among {', '.join(known)}."
        for name in names
        if name not in known
    ]
    problems += [
        f"The surface feature '{name}' is given {names.count(name)} times; name it once."
        for name in dict.fromkeys(names)
        if names.count(name) > 1
    ]
    if problems:
        raise InputError(problems)
    return tuple(known[name] for name in names)


def surface_matrix(
    texts: Sequence[str], features: Sequence[SurfaceFeature] = SURFACE_FEATURES
) -> Float[np.ndarray, "query surface_feature"]:
    """Each feature of each text: `matrix[i, k] = features[k].compute(texts[i])`.

    Args:
        texts: the prompts; any strings, empty ones too.
        features: which features, in the order of the columns.

    Returns:
        float64, all finite; not standardised.

    >>> surface_matrix(["", "Is 7 a prime?"], features_named(["digits", "question_marks"])).round(2).tolist()
    [[0.0, 0.0], [0.69, 0.69]]
    """
    matrix = np.empty((len(texts), len(features)))
    for row, text in enumerate(texts):
        matrix[row] = [feature.compute(text) for feature in features]
    return matrix
