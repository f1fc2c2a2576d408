"""Folds: each query once, alike in task, same texts together, the same from the same seed."""

from collections import Counter

import numpy as np
import pytest

from bayes_irt_router.errors import InputError
from bayes_irt_router.evaluation.splits import make_splits, read_splits, write_splits


@pytest.fixture(scope="module")
def data(bank):
    return bank(queries=120, llms=14)


@pytest.fixture(scope="module")
def splits(data):
    return make_splits(data, seed=0)


def test_each_query_and_each_llm_is_in_one_fold(data, splits):
    for folds, dim in ((splits.queries, "query"), (splits.llms, "llm")):
        names = [name for fold in folds for name in fold]
        assert sorted(names) == sorted(data[dim].values.tolist())
    assert (len(splits.queries), len(splits.llms)) == (5, 6)
    assert set(splits.tasks) == set(data["task"].values.tolist())


def test_the_shipped_test_split_is_the_first_fold(data, splits):
    assert set(splits.queries[0]) == set(data["query"].values[data["split"].values == "test"].tolist())


def test_other_folds_are_alike_in_task_and_size(data, splits):
    task = dict(zip(data["query"].values, data["task"].values, strict=True))
    counts = [Counter(task[name] for name in fold) for fold in splits.queries[1:]]
    for name in splits.tasks:
        sizes = [count[name] for count in counts]
        assert max(sizes) - min(sizes) <= 1
    sizes = [len(fold) for fold in splits.queries[1:]]
    assert max(sizes) - min(sizes) <= 1


def test_same_texts_are_in_the_same_fold(data):
    texts = data["text"].values.copy()
    train = np.flatnonzero(data["split"].values == "train")
    test = np.flatnonzero(data["split"].values == "test")
    texts[train[::7]] = [f"  One\n{'text'.upper()} " if k % 2 else "one text" for k in range(len(train[::7]))]
    texts[train[1]] = texts[test[0]].upper()
    folds = make_splits(data.assign_coords(text=("query", texts)), seed=3).queries
    same = set(data["query"].values[train[::7]].tolist())
    assert sum(bool(same & set(fold)) for fold in folds) == 1
    assert data["query"].values[train[1]] in folds[0]


def test_llm_folds_are_alike_in_mean_score_and_answers(data):
    score, trials = data["score"].copy(deep=True), data["trials"].copy(deep=True)
    score[:], trials[:] = np.linspace(0.1, 0.9, 14), 1
    score[40:, ::2], trials[40:, ::2] = np.nan, 0  # every other LLM has a third of the answers
    folds = make_splits(data.assign(score=score, trials=trials), seed=0, llm_folds=3).llms
    mean, answers = score.mean("query").to_series(), trials.sum("query").to_series()
    by_rank = [mean.iloc[part].mean() for part in np.array_split(np.arange(14), 3)]
    assert np.ptp([mean[list(fold)].mean() for fold in folds]) < 0.5 * np.ptp(by_rank)
    few = [int((answers[list(fold)] == 40).sum()) for fold in folds]
    assert max(few) - min(few) <= 1


def test_few_llms_are_left_out_one_by_one(bank):
    assert all(len(fold) == 1 for fold in make_splits(bank(llms=6), seed=0).llms)


def test_seed_decides_and_order_does_not(data, splits):
    turned = data.isel(query=slice(None, None, -1), llm=slice(None, None, -1))
    assert make_splits(turned, seed=0) == splits
    assert make_splits(data, seed=1).queries != splits.queries


def test_files_hold_what_was_written(data, splits, tmp_path):
    path = tmp_path / "splits.json"
    write_splits(path, {"one": splits, "another": make_splits(data, seed=1)}, seed=0)
    assert read_splits(path, "one") == splits
    assert not any(str(text) in path.read_text() for text in data["text"].values)
    with pytest.raises(InputError, match="another, one"):
        read_splits(path, "third")
    path.write_text("{}")
    with pytest.raises(InputError, match="does not hold folds"):
        read_splits(path, "one")


def test_other_data_and_impossible_numbers_are_refused(data, splits):
    with pytest.raises(InputError, match="other queries or LLMs"):
        splits.check(data.isel(query=slice(50)))
    with pytest.raises(InputError) as error:
        make_splits(data, seed=0, folds=1, llm_folds=99)
    assert len(error.value.problems) == 2
