"""What is known of unfamiliar queries, beside familiar ones."""

import numpy as np
import pytest
import xarray as xr

from bayes_irt_router.evaluation.familiarity_scores import by_familiarity, widening
from bayes_irt_router.evaluation.metrics import log_loss
from bayes_irt_router.evaluation.predictions import MODEL


def judged_set(names, sd, rng, score=None):
    shape = (len(names), 3)
    p = rng.uniform(0.1, 0.9, shape)
    score = (rng.random(shape) < p).astype(float) if score is None else score
    return xr.Dataset(
        {
            "p": (("predictor", "query", "llm"), np.stack([p, p])),
            "sd": (("predictor", "query", "llm"), np.stack([np.full(shape, np.nan), np.full(shape, sd)])),
            "score": (("query", "llm"), score),
            "trials": (("query", "llm"), np.where(np.isnan(score), 0, 1)),
            "familiarity": ("query", rng.random(len(names))),
        },
        coords={"predictor": ["other", MODEL], "query": names, "llm": ["a", "b", "c"]},
    )


@pytest.fixture
def sets():
    rng = np.random.default_rng(0)
    first = judged_set([f"q{i}" for i in range(30)], 0.1, rng)
    score = first["score"].values.copy()
    score[:5, 0] = np.nan
    first = judged_set([f"q{i}" for i in range(30)], 0.1, rng, score)
    return [first, judged_set([f"r{i}" for i in range(20)], 0.3, rng)]


def test_every_answer_is_in_one_part_and_parts_follow_one_another(sets):
    table = by_familiarity(sets, parts=4)
    assert table["queries"].tolist() == [13, 12, 13, 12]
    assert table["answers"].sum() == sum(int(one["trials"].sum()) for one in sets)
    assert (table["to"].values[:-1] <= table["familiarity from"].values[1:]).all()
    together = (table["log loss"] * table["answers"]).sum() / table["answers"].sum()
    p, y = (
        np.concatenate([one[name].sel(**at).values.ravel() for one in sets])
        for name, at in (("p", {"predictor": MODEL}), ("score", {}))
    )
    assert together == pytest.approx(log_loss(p[:, None], y[:, None]))


def test_without_familiarity_there_is_no_table(sets):
    assert by_familiarity([sets[0], sets[1].drop_vars("familiarity")]).empty


def test_widening_compares_the_same_cells(sets):
    rng = np.random.default_rng(1)
    left_out = judged_set([f"q{i}" for i in range(10, 30)], 0.25, rng)
    assert widening([left_out], sets) == pytest.approx(2.5, rel=1e-5)
    assert np.isnan(widening([judged_set(["z"], 0.2, rng)], sets))
    assert np.isnan(widening([left_out], [one.drop_vars("sd") for one in sets]))
