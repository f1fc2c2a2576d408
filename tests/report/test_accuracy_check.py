"""The posterior predictive check of accuracies, from three tasks to more than a page has room for."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.text import Text

from bayes_irt_router.report.plots.accuracy_check import accuracy_check, checked, named, worst_cells

LEVEL = 0.89
SIZES = [(3, 9), (3, 53), (14, 9), (14, 53), (40, 9), (40, 53)]


@pytest.mark.parametrize(("tasks", "llms"), SIZES)
def test_rows_and_columns_have_room_for_their_names(tasks, llms, constant_prediction):
    """Both sides stay below what a page or a screen shows, and no two names of a side overlap."""
    figure = accuracy_check(*constant_prediction(tasks, llms, 8), np.random.default_rng(0))
    assert max(figure.get_size_inches()) < 16
    figure.draw_without_rendering()
    for axes in [axes for axes in figure.axes if axes.get_visible() and axes.axison]:
        boxes = [label.get_window_extent() for label in axes.get_yticklabels() if label.get_text()]
        gaps = np.diff(sorted(box.y0 for box in boxes))  # none beside the first panel of a row
        assert all(gaps > 0.8 * min([box.height for box in boxes], default=0))
        columns = sorted(label.get_window_extent().x1 for label in axes.get_xticklabels())
        assert all(np.diff(columns) > 0.8 * 7 / 72 * figure.dpi)  # the height of a name of 7 points


def test_the_cell_that_the_model_cannot_explain_is_the_worst_and_is_named(constant_prediction):
    check = checked(*constant_prediction(40, 9, 10), np.random.default_rng(0), LEVEL)
    worst = worst_cells(check)
    task, llm = worst[0]
    assert (check.task[task], check.llm[llm]) == ("task_00", "$vendor/llm-00$")
    assert check.z[task, llm] < -3
    assert len(worst) == 8
    assert all(check.missed[cell] for cell in worst)
    figure = accuracy_check(*constant_prediction(40, 9, 10), np.random.default_rng(0), level=LEVEL)
    told = [text.get_text() for text in figure.findobj(Text)]
    assert any(
        text.startswith("1  ") and "llm-00" in text and "on task_00: 0 % observed" in text for text in told
    )
    inside = check.known & ~check.missed
    assert any(f"{inside.sum()} of {40 * 9 - 1} are inside" in text for text in told)


def test_every_miss_of_the_map_is_a_triangle_or_a_number(constant_prediction):
    data = constant_prediction(40, 9, 10)
    check = checked(*data, np.random.default_rng(0), LEVEL)
    axes = accuracy_check(*data, np.random.default_rng(0), level=LEVEL).axes[0]
    up, down = (len(one.get_offsets()) for one in axes.collections)
    numbered = worst_cells(check)
    assert [text.get_text() for text in axes.texts] == [str(k + 1) for k in range(len(numbered))]
    assert up + down + len(numbered) == check.missed.sum()
    assert up == (check.missed & (check.z > 0)).sum() - sum(check.z[cell] > 0 for cell in numbered)


def test_a_cell_without_answers_is_neither_inside_nor_outside(constant_prediction):
    check = checked(*constant_prediction(3, 4, 10), np.random.default_rng(0), LEVEL)
    where = (0, check.llm.index("$vendor/llm-01$"))
    assert not check.known[where]
    assert not check.missed[where]
    assert np.isnan(check.z[where])
    assert check.known.sum() == 3 * 4 - 1


def test_a_prediction_that_never_varies_has_a_finite_z(constant_prediction):
    predicted, data = constant_prediction(3, 4, 10)
    predicted.conditional[:] = 0.0
    check = checked(predicted, data, np.random.default_rng(0), LEVEL)
    where = (0, check.llm.index("$vendor/llm-00$"))
    assert check.z[where] == 0
    assert np.isfinite(check.z[check.known]).all()
    assert (check.z[check.missed] > 3).all()
    assert check.missed.any()


def test_nothing_outside_is_said(constant_prediction):
    predicted, data = constant_prediction(3, 4, 10)
    rest = slice(10, None)  # without the task of the LLM that is always wrong
    later = replace(predicted, mean=predicted.mean[rest], conditional=predicted.conditional[:, rest])
    check = checked(later, data.isel(query=rest), np.random.default_rng(0), 0.9999)
    assert worst_cells(check) == []
    assert named(check, []) == "No cell is outside its interval."
