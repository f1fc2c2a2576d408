"""Labels of queries become a relevance prior, and a table that cannot is refused with all that is wrong."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bayes_irt_router.data.files import write_table
from bayes_irt_router.errors import InputError
from bayes_irt_router.irt import relevance_table
from bayes_irt_router.irt.relevance_table import from_labelled_queries, read_relevance

ABILITIES = ("sums", "facts", "prose")


def written(path: Path, *rows: tuple[object, ...], columns: str = "query_id ability weight") -> Path:
    write_table(path, pd.DataFrame(rows, columns=columns.split()))
    return path


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".jsonl"])
def test_a_table_gives_the_proportions_of_each_query(tmp_path: Path, suffix: str):
    path = written(
        tmp_path / f"labels{suffix}", ("q1", "sums", 3.0), ("q2", "facts", 2.0), ("q1", "prose", 1.0)
    )
    labels = read_relevance(path, ABILITIES)
    assert labels.query == ("q1", "q2")
    np.testing.assert_allclose(labels.weight, [[0.75, 0.0, 0.25], [0.0, 1.0, 0.0]])


def test_queries_with_the_same_labels_are_a_cluster_and_pull_their_neighbours(tmp_path: Path):
    rows = [("q1", "sums"), ("q2", "sums"), ("q3", "facts"), ("of another split", "prose")]
    labels = read_relevance(written(tmp_path / "labels.csv", *rows, columns="query_id ability"), ABILITIES)
    embedding = np.array([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0], [0.95, 0.3]])
    prior, labelled = from_labelled_queries(labels, ["q1", "q2", "q3", "unlabelled"], embedding)
    assert labelled == 3
    np.testing.assert_allclose(prior.anchor, [[0.0, 1.0], np.array([1.8, 0.6]) / np.hypot(1.8, 0.6)])
    found = np.exp(prior.log_relevance(embedding))
    np.testing.assert_allclose(found.sum(axis=1), 1.0, rtol=1e-5)
    assert found[0].argmax() == found[3].argmax() == 0  # the unlabelled one lies between q1 and q2
    assert found[2].argmax() == 1
    assert found[:, 2].max() < 0.01  # nobody asks for what only a query of another split asks for


def test_clusters_may_be_named(tmp_path: Path):
    rows = [("q1", "sums", "a"), ("q2", "facts", "a"), ("q3", "facts", "b")]
    path = written(tmp_path / "labels.csv", *rows, columns="query_id ability cluster")
    prior, _ = from_labelled_queries(read_relevance(path, ABILITIES), ["q1", "q2", "q3"], np.eye(3))
    np.testing.assert_allclose(prior.assignment, [[0.5, 0.5, 0.0], [0.0, 1.0, 0.0]])


def test_all_that_is_wrong_with_a_table_is_told_at_once(tmp_path: Path):
    path = tmp_path / "labels.csv"
    path.write_text(
        "query_id,ability,weight\nq1,sums,1\nq1,sums,2\n,sums,1\nq2,magic,1\nq3,sums,-1\nq4,sums,much\nq5,,1\n",
        encoding="utf-8",
    )
    with pytest.raises(InputError) as error:
        read_relevance(path, ABILITIES)
    for row, part in (
        (2, "more than once"),
        (3, "query_id is empty"),
        (4, "no ability 'magic'"),
        (5, "weight is -1"),
        (6, "weight is much"),
        (7, "ability is empty"),
    ):
        assert any(f"data row {row}: " in one and part in one for one in error.value.problems), row
    assert len(error.value.problems) == 6


def test_a_query_of_two_clusters_and_missing_columns_are_refused(tmp_path: Path):
    rows = [("q1", "sums", "a"), ("q1", "facts", "b")]
    with pytest.raises(InputError, match="more than one cluster"):
        read_relevance(written(tmp_path / "a.csv", *rows, columns="query_id ability cluster"), ABILITIES)
    with pytest.raises(InputError, match="no column query_id and no column ability"):
        read_relevance(written(tmp_path / "b.csv", ("q1",), columns="query"), ABILITIES)


def test_labels_of_other_queries_and_too_many_clusters_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    labels = read_relevance(written(tmp_path / "l.csv", ("q1", "sums", 1), ("q2", "facts", 1)), ABILITIES)
    with pytest.raises(InputError, match="None of the 2 queries"):
        from_labelled_queries(labels, ["other"], np.eye(1))
    monkeypatch.setattr(relevance_table, "MOST_CLUSTERS", 1)
    with pytest.raises(InputError, match="2 clusters"):
        from_labelled_queries(labels, ["q1", "q2"], np.eye(2))
