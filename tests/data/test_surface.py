import time

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bayes_irt_router.data.surface import SURFACE_FEATURES, SurfaceFeature, features_named, surface_matrix
from bayes_irt_router.errors import InputError

# Any code point, half surrogate pairs too, mixed with the signs that the features look for.
TEXTS = st.one_of(
    st.text(st.characters(), max_size=200),
    st.lists(
        st.sampled_from(
            [
                "(",
                "[",
                "{",
                ")",
                '"',
                "'",
                "$",
                "\\frac",
                "12.5",
                "0",
                " ",
                "\n",
                "for x in",
                "if",
                ":",
                "word",
                "A)",
                "?",
            ]
        ),
        max_size=60,
    ).map("".join),
)


def value(name, text):
    return float(surface_matrix([text], features_named([name]))[0, 0])


@given(TEXTS)
@example("")
@example(" \n\t ")
@example("9" * 5000)
@example("\ud800")
def test_every_feature_is_finite_not_negative_and_deterministic(text):
    matrix = surface_matrix([text, "in between", text])
    assert np.isfinite(matrix).all()
    assert (matrix >= 0).all()
    np.testing.assert_array_equal(matrix[0], matrix[2])


@given(st.lists(TEXTS, max_size=4))
def test_each_row_depends_on_its_own_text_only(texts):
    matrix = surface_matrix(texts)
    assert matrix.shape == (len(texts), len(SURFACE_FEATURES))
    for row, text in zip(matrix, texts, strict=True):
        np.testing.assert_array_equal(row, surface_matrix([text])[0])


def test_each_feature_has_a_name_of_its_own_and_a_description():
    names = [feature.name for feature in SURFACE_FEATURES]
    assert len(set(names)) == len(names)
    assert all(name.isidentifier() for name in names)
    assert all(len(feature.description) > 10 for feature in SURFACE_FEATURES)
    assert 30 <= len(names) <= 45


def best_seconds(text):
    times = []
    for _ in range(3):
        start = time.process_time()  # not the clock on the wall: other programs run beside the tests
        surface_matrix([text])
        times.append(time.process_time() - start)
    return min(times)


HOSTILE = ["(", "'", '"', "$", "[a", "\n ", "1,", ".a", "for a, ", "if ", "while ", "\\", "a.", " ", "a"]


@pytest.mark.parametrize("pattern", HOSTILE)
def test_features_take_linear_time_on_hostile_repetitions(pattern):
    # 16 times the text takes 16 times as long when linear and 256 times when quadratic; 64 lies between.
    assert best_seconds(pattern * 80_000) < 64 * best_seconds(pattern * 5_000)


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("characters", "short", "a much longer text"),
        ("words", "one", "one and two"),
        ("lines", "a b", "a\nb"),
        ("sentences", "One.", "One. Two! Three?"),
        ("mean_word_length", "a bc", "extraordinary lengthiness"),
        ("distinct_word_share", "same same same", "all words differ"),
        ("long_words", "tiny words", "extraordinary measurement"),
        ("capitalised_share", "all is low", "Every Word High"),
        ("non_ascii_share", "cafe", "café"),
        ("commas", "a b c", "a, b, c"),
        ("digits", "one", "11"),
        ("distinct_numbers", "7 7 7", "7 8 9"),
        ("largest_number", "99 and 3", "1,000 and 3"),
        ("fractional_numbers", "3 of 4", "3/4"),
        ("fractional_numbers", "25", "2.5"),
        ("number_words", "a cat", "twenty cats"),
        ("arithmetic_operators", "a well-known fact", "3 + 4 - 2"),
        ("comparisons", "x is 3", "x = 3"),
        ("latex_commands", "sqrt(x)", r"\sqrt{x}"),
        ("inline_mathematics", "It costs $5 for 3 and $7 for 4.", "Let $x+1$ be even."),
        ("variables", "I saw a cat", "x and y"),
        ("geometry_words", "a cat", "a triangle"),
        ("money", "a cat", "a cat for $5"),
        ("code_keywords", "a definition", "def f():"),
        ("function_calls", "f of x (a number)", "f(x)"),
        ("method_calls", "f(x)", "x.split()"),
        ("control_flow", "wait for the bus in town", "for x in xs:"),
        ("control_flow", "ask if it rains", "if x > 3:\n    pass"),
        ("bracket_depth", "(a)(b)", "((a))"),
        ("longest_literal", "f('ab')", "f('abcdef')"),
        ("longest_literal", "don't isn't", "['a', 'b']"),
        ("lower_case_start", "Who is it", "who is it"),
        ("open_end", "Who is it?", "who is it"),
        ("question_marks", "Tell me.", "Who?"),
        ("quantity_questions", "How is it?", "How many are there?"),
        ("answer_options", "Plan A works", "A) yes\nB) no"),
    ],
)
def test_a_text_with_more_of_it_scores_higher(name, low, high):
    assert value(name, low) < value(name, high)


def test_counts_are_on_the_log_scale():
    assert value("digits", "12345") == pytest.approx(np.log(6))
    assert value("largest_number", "from 5 to 1,234") == pytest.approx(np.log10(1235))


def test_unknown_and_repeated_names_are_all_reported():
    with pytest.raises(InputError) as caught:
        features_named(["digits", "smell", "digits", "colour"])
    assert len(caught.value.problems) == 3
    assert "smell" in str(caught.value)
    assert "colour" in str(caught.value)


def test_a_feature_of_ones_own_stands_beside_the_given_ones():
    hashes = SurfaceFeature("hashes", "number of # signs", lambda text: float(text.count("#")))
    matrix = surface_matrix(["# a ##"], (*features_named(["words"]), hashes))
    assert matrix[0, 1] == 3
