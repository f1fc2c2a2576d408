"""What each protocol holds out, and that nothing of it is in training."""

import numpy as np
import pytest

from bayes_irt_router.errors import InputError
from bayes_irt_router.evaluation.protocols import PROTOCOLS, fold_count, make_fold
from bayes_irt_router.evaluation.splits import make_splits


@pytest.fixture(scope="module")
def data(bank):
    return bank(queries=100)


@pytest.fixture(scope="module")
def splits(data):
    return make_splits(data, seed=0)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_train_and_test_share_no_query_and_know_the_same_llms(data, splits, protocol):
    for index in range(fold_count(splits, protocol)):
        fold = make_fold(data, splits, protocol, index)
        assert not set(fold.train["query"].values) & set(fold.test["query"].values)
        assert fold.train["llm"].values.tolist() == fold.test["llm"].values.tolist()
        assert (fold.train["trials"].values > 0).any(axis=0).all()
        assert (fold.train["trials"].values > 0).any(axis=1).all()
        assert fold.name == f"{protocol}-{index}"


def test_queries_are_tested_once(data, splits):
    tested = [name for k in range(5) for name in make_fold(data, splits, "queries", k).test["query"].values]
    assert sorted(tested) == sorted(data["query"].values.tolist())


def test_a_task_is_left_out_whole(data, splits):
    for index, task in enumerate(splits.tasks):
        fold = make_fold(data, splits, "tasks", index)
        assert set(fold.test["task"].values) == {task}
        assert task not in fold.train["task"].values
        assert fold.held == (task,)


def test_a_block_is_an_llm_on_a_task_it_has_not_answered_and_each_is_tested_once(data, splits):
    tested = []
    for index in range(fold_count(splits, "blocks")):
        fold = make_fold(data, splits, "blocks", index)
        blocks = {part: answered_blocks(getattr(fold, part)) for part in ("train", "test")}
        assert blocks["test"]
        assert not blocks["train"] & blocks["test"]
        # Others have answered these tasks, and the LLMs others: nothing else is held out.
        assert {task for _, task in blocks["test"]} <= {task for _, task in blocks["train"]}
        assert {llm for llm, _ in blocks["test"]} <= {llm for llm, _ in blocks["train"]}
        assert set(fold.test["query"].values) <= set(splits.queries[index])
        assert np.isnan(fold.test["score"].values[fold.test["trials"].values == 0]).all()
        tested += sorted(blocks["test"])
    assert len(tested) == len(set(tested))
    assert set(tested) <= answered_blocks(
        data
    )  # not all: some blocks have no answer in the fold that hides them
    assert {llm for llm, _ in tested} == set(data["llm"].values)
    assert {task for _, task in tested} == set(data["task"].values)


def test_what_an_llm_has_answered_alone_is_not_hidden(data, splits):
    tasks, llm = sorted(set(data["task"].values)), data["llm"].values[0]
    only = (data["llm"] != llm) | (data["task"] == tasks[0])
    trials = data["trials"].where(only, 0)
    few = data.assign(trials=trials, score=data["score"].where(trials > 0))
    for index in range(fold_count(splits, "blocks")):
        fold = make_fold(few, splits, "blocks", index)
        assert llm not in {name for name, _ in answered_blocks(fold.test)}
        assert llm in fold.train["llm"].values


def answered_blocks(data):
    query, llm = np.nonzero(data["trials"].values > 0)
    return set(zip(data["llm"].values[llm], data["task"].values[query], strict=True))


def test_llms_are_left_out_of_both_parts(data, splits):
    fold = make_fold(data, splits, "llms", 1)
    assert fold.held == splits.llms[1]
    assert not set(fold.held) & set(fold.train["llm"].values)
    assert set(fold.test["query"].values) <= set(splits.queries[0])


def test_shuffled_answers_are_those_of_the_query_fold(data, splits):
    plain, shuffled = (make_fold(data, splits, protocol, 2) for protocol in ("queries", "shuffled"))
    for part in ("train", "test"):
        before, after = getattr(plain, part), getattr(shuffled, part)
        assert before["query"].values.tolist() == after["query"].values.tolist()
        np.testing.assert_allclose(before["score"].mean("query"), after["score"].mean("query"))
        assert (before["score"].fillna(2) != after["score"].fillna(2)).any()


def test_an_llm_with_answers_to_the_left_out_task_alone_is_left_out(data, splits):
    task = splits.tasks[0]
    score, trials = data["score"].copy(deep=True), data["trials"].copy(deep=True)
    others = data["task"].values != task
    score[others, 0], trials[others, 0] = np.nan, 0
    fold = make_fold(data.assign(score=score, trials=trials), splits, "tasks", 0)
    assert data["llm"].values[0] not in fold.train["llm"].values
    assert any(str(data["llm"].values[0]) in note for note in fold.notes)


def test_a_training_query_with_a_test_querys_text_is_left_out(data, splits):
    texts = data["text"].values.copy()
    tested = np.isin(data["query"].values.astype(str), splits.queries[1])
    texts[np.flatnonzero(~tested)[0]] = f" {texts[np.flatnonzero(tested)[0]].upper()}"
    fold = make_fold(data.assign_coords(text=("query", texts)), splits, "queries", 1)
    assert fold.train.sizes["query"] == (~tested).sum() - 1
    assert any("left out" in note for note in fold.notes)


def test_unknown_folds_are_refused(data, splits):
    with pytest.raises(InputError, match="from 0 to 4"):
        make_fold(data, splits, "queries", 5)
