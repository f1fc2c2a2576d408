import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bayes_irt_router.data.files import (
    atomic_directory,
    atomic_path,
    find_table,
    read_table,
    tables_named,
    write_json,
    write_table,
)
from bayes_irt_router.errors import InputError

SUFFIXES = ["parquet", "csv", "jsonl"]
AWKWARD = [
    "007",
    "NA",
    "null",
    "nan",
    "1e3",
    "2024-07-01",
    "true",
    'a "b", c',
    "x\r\ny\nz",
    "\u00e9\u4e16",
    "  ",
]


class BuildFailed(Exception):
    pass


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_texts_that_look_like_something_else_survive(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"table.{suffix}"
    write_table(path, pd.DataFrame({"query_id": AWKWARD, "score": 0.1}))
    assert read_table(path)["query_id"].tolist() == AWKWARD


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_missing_cells_and_exact_numbers_survive(tmp_path: Path, suffix: str) -> None:
    numbers = [0.1 + 0.2, 1 / 3, 5e-324, 1e300, np.nan]
    path = tmp_path / f"table.{suffix}"
    write_table(path, pd.DataFrame({"name": ["a", "b", None, "d", "e"], "number": numbers}))
    back = read_table(path)
    assert back["name"].isna().tolist() == [False, False, True, False, False]
    np.testing.assert_array_equal(pd.to_numeric(back["number"]).to_numpy(), numbers)


def test_csv_cells_stay_text_and_empty_cells_are_missing(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(
        b'\xef\xbb\xbfquery_id,llm,score\r\n007,NA,1.0\r\n"0,8",,0\r\n'
    )  # as spreadsheets save it
    table = read_table(path)
    assert table.columns.tolist() == ["query_id", "llm", "score"]
    assert table["query_id"].tolist() == ["007", "0,8"]
    assert table["llm"].isna().tolist() == [False, True]
    assert table["score"].tolist() == ["1.0", "0"]


def test_a_csv_cell_longer_than_a_megabyte_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "queries.csv"
    long = "line one\nline, two\n" * 100_000
    write_table(path, pd.DataFrame({"query_id": ["a", "b"], "text": [long, "short"]}))
    assert read_table(path)["text"].tolist() == [long, "short"]


def test_json_lines_keep_types_and_skip_blank_lines(tmp_path: Path) -> None:
    path = tmp_path / "table.jsonl"
    path.write_text('{"query_id": "007", "score": 0.5}\n\n{"query_id": "8", "score": 1}\n', encoding="utf-8")
    table = read_table(path)
    assert table["query_id"].tolist() == ["007", "8"]
    assert table["score"].tolist() == [0.5, 1.0]


def test_parquet_from_pandas_keeps_named_and_drops_unnamed_indexes(tmp_path: Path) -> None:
    frame = pd.DataFrame({"query_id": ["a", "b", "c"], "score": [0.0, 1.0, 0.5]})
    frame.set_index("query_id").to_parquet(tmp_path / "named.parquet")
    frame[frame["score"] > 0].to_parquet(tmp_path / "unnamed.parquet")
    assert read_table(tmp_path / "named.parquet")["query_id"].tolist() == ["a", "b", "c"]
    assert read_table(tmp_path / "unnamed.parquet").columns.tolist() == ["query_id", "score"]


def test_parquet_ignores_folder_names_and_decodes_categories(tmp_path: Path) -> None:
    folder = tmp_path / "split=train"
    folder.mkdir()
    pd.DataFrame({"llm": pd.Categorical(["a", "b", "a"])}).to_parquet(folder / "table.parquet")
    table = read_table(folder / "table.parquet")
    assert table.columns.tolist() == ["llm"]
    assert not isinstance(table["llm"].dtype, pd.CategoricalDtype)
    assert table["llm"].tolist() == ["a", "b", "a"]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("t.parquet", b"", "cannot be read as Parquet"),
        ("t.parquet", b"PAR1 but then nothing that makes sense PAR1", "cannot be read as Parquet"),
        ("t.csv", b"", "cannot be read as CSV"),
        ("t.csv", b"a,b\n1,\xff\n", "not UTF-8"),
        ("t.csv", b"a,b\n1,2\n3,4,5\n6\n", "data row 2: 3 cells where the header has 2"),
        ("t.csv", b'a,b\n1,"2\n3,4\n', "odd number of quotation marks"),
        ("t.csv", b"a,a\n1,2\n", "more than one column named a"),
        ("t.jsonl", b'{"a": 1}\n{"a": \n', "line 2: not valid JSON"),
        ("t.jsonl", b'{"a": 1}\n[1]\n', "line 2: not a JSON object"),
        ("t.jsonl", b'{"a": "\xff"}\n', "not UTF-8"),
        ("t.jsonl", b'{"a": "\\ud800"}\n', "line 1: not valid JSON"),
        ("t.jsonl", b"[" * 200_000, "line 1: not valid JSON"),
        ("t.xlsx", b"anything", "does not end in .parquet, .csv, .jsonl"),
    ],
)
def test_damaged_files_are_named(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_table(path)
    assert reason in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_truncated_parquet_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    write_table(path, pd.DataFrame({"a": range(1000)}))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match="cannot be read as Parquet"):
        read_table(path)


def test_all_broken_lines_are_reported_at_once_but_not_without_end(tmp_path: Path) -> None:
    for path, content in [(tmp_path / "t.jsonl", "no\n" * 50), (tmp_path / "t.csv", "a,b\n" + "1\n" * 50)]:
        path.write_text(content, encoding="utf-8")
        with pytest.raises(InputError) as caught:
            read_table(path)
        assert len(caught.value.problems) == 21
        assert "30 more" in caught.value.problems[-1]


def test_missing_files_and_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        read_table(tmp_path / "t.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(InputError, match="is a folder"):
        read_table(tmp_path / "folder.csv")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_find_table_finds_each_format(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"responses.{suffix}").touch()
    (tmp_path / "queries.csv").touch()
    assert find_table(tmp_path, "responses") == tmp_path / f"responses.{suffix}"


def test_find_table_refuses_none_and_several(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"holds none of responses\.parquet, responses\.csv, responses\.jsonl"
    ):
        find_table(tmp_path, "responses")
    assert tables_named(tmp_path, "responses") == []
    (tmp_path / "responses.csv").touch()
    (tmp_path / "responses.parquet").touch()
    with pytest.raises(InputError, match=r"responses\.parquet, responses\.csv"):
        find_table(tmp_path, "responses")
    with pytest.raises(InputError, match="is not a folder"):
        find_table(tmp_path / "nowhere", "responses")


def test_atomic_path_shows_the_old_content_until_the_end(tmp_path: Path) -> None:
    target = tmp_path / "model.json"
    target.write_text("old", encoding="utf-8")
    with atomic_path(target) as temporary:
        assert temporary.parent == target.parent
        assert temporary.suffix == target.suffix
        temporary.write_text("new", encoding="utf-8")
        assert target.read_text(encoding="utf-8") == "old"
    assert target.read_text(encoding="utf-8") == "new"
    assert names(tmp_path) == ["model.json"]


def half_written_file(target: Path) -> None:
    with atomic_path(target) as temporary:
        temporary.write_text("half", encoding="utf-8")
        raise BuildFailed


def half_written_folder(target: Path) -> None:
    with atomic_directory(target, replaces="model.json") as temporary:
        (temporary / "model.json").write_text("half", encoding="utf-8")
        raise BuildFailed


def folder_with_a_late_rival(target: Path) -> None:
    with atomic_directory(target, replaces="model.json") as temporary:
        (temporary / "model.json").touch()
        target.mkdir(exist_ok=True)
        (target / "chapter.tex").touch()  # somebody was faster


def test_atomic_path_leaves_nothing_behind_on_failure(tmp_path: Path) -> None:
    target = tmp_path / "model.json"
    target.write_text("old", encoding="utf-8")
    with pytest.raises(BuildFailed):
        half_written_file(target)
    assert target.read_text(encoding="utf-8") == "old"
    assert names(tmp_path) == ["model.json"]


def test_folders_made_for_a_failed_write_are_removed(tmp_path: Path) -> None:
    with pytest.raises(BuildFailed):
        half_written_file(tmp_path / "a" / "b" / "c.json")
    with pytest.raises(BuildFailed):
        half_written_folder(tmp_path / "a" / "b" / "c")
    assert names(tmp_path) == []


def test_a_write_follows_a_link(tmp_path: Path) -> None:
    (tmp_path / "real.json").write_text("1", encoding="utf-8")
    (tmp_path / "link.json").symlink_to(tmp_path / "real.json")
    write_json(tmp_path / "link.json", 2)
    assert (tmp_path / "link.json").is_symlink()
    assert json.loads((tmp_path / "real.json").read_text(encoding="utf-8")) == 2


def test_written_files_have_the_usual_permissions(tmp_path: Path) -> None:
    (tmp_path / "usual").touch()
    write_json(tmp_path / "written.json", {})
    assert os.stat(tmp_path / "written.json").st_mode == os.stat(tmp_path / "usual").st_mode


def test_places_that_cannot_be_written_to_are_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        write_json(tmp_path / "file" / "x.json", {})
    with pytest.raises(InputError, match="is a folder"):
        write_json(tmp_path, {})
    with pytest.raises(InputError, match="is a file"), atomic_directory(tmp_path / "file", replaces="m.json"):
        pass
    assert names(tmp_path) == ["file"]


def test_atomic_directory_swaps_a_folder_of_its_kind(tmp_path: Path) -> None:
    target = tmp_path / "model"
    for content in ["one", "two"]:
        with atomic_directory(target, replaces="model.json") as temporary:
            (temporary / "model.json").write_text(content, encoding="utf-8")
            (temporary / f"{content}.nc").touch()
            if content == "two":
                assert names(target) == ["model.json", "one.nc"]
            else:
                assert not target.exists()
    assert names(tmp_path) == ["model"]
    assert names(target) == ["model.json", "two.nc"]
    assert (target / "model.json").read_text(encoding="utf-8") == "two"


def test_atomic_directory_keeps_the_old_folder_on_failure(tmp_path: Path) -> None:
    target = tmp_path / "model"
    target.mkdir()
    (target / "model.json").write_text("old", encoding="utf-8")
    with pytest.raises(BuildFailed):
        half_written_folder(target)
    assert names(tmp_path) == ["model"]
    assert (target / "model.json").read_text(encoding="utf-8") == "old"


def test_atomic_directory_puts_the_old_folder_back_when_the_swap_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "model"
    target.mkdir()
    (target / "model.json").write_text("old", encoding="utf-8")
    rename = os.rename
    calls = []

    def failing_second(source: Path, destination: Path) -> None:
        calls.append(source)
        if len(calls) == 2:
            raise OSError("no space left")
        rename(source, destination)

    monkeypatch.setattr(os, "rename", failing_second)
    with (
        pytest.raises(OSError, match="no space left"),
        atomic_directory(target, replaces="model.json") as temporary,
    ):
        (temporary / "model.json").touch()
    assert names(tmp_path) == ["model"]
    assert (target / "model.json").read_text(encoding="utf-8") == "old"


def test_atomic_directory_never_deletes_a_folder_of_another_kind(tmp_path: Path) -> None:
    target = tmp_path / "thesis"
    target.mkdir()
    (target / "chapter.tex").touch()
    with pytest.raises(InputError, match=r"no model\.json"):
        half_written_folder(target)  # refused before anything is built
    assert names(tmp_path) == ["thesis"]
    assert names(target) == ["chapter.tex"]


def test_atomic_directory_looks_again_before_it_deletes(tmp_path: Path) -> None:
    target = tmp_path / "model"
    with pytest.raises(InputError, match=r"no model\.json"):
        folder_with_a_late_rival(target)
    assert names(tmp_path) == ["model"]
    assert names(target) == ["chapter.tex"]


def test_atomic_directory_accepts_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    with atomic_directory(tmp_path / "model", replaces="model.json") as temporary:
        (temporary / "inner").mkdir()
        (temporary / "inner" / "x").touch()
    assert names(tmp_path / "model") == ["inner"]
    assert names(tmp_path) == ["model"]


def test_write_json_is_strict_and_complete_or_absent(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", {"a": [1, "\u00e9"], "b": None})
    assert json.loads((tmp_path / "x.json").read_text(encoding="utf-8")) == {"a": [1, "\u00e9"], "b": None}
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "x.json", float("nan"))
    assert json.loads((tmp_path / "x.json").read_text(encoding="utf-8")) == {"a": [1, "\u00e9"], "b": None}


def test_write_table_refuses_an_unknown_format(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not end in"):
        write_table(tmp_path / "x.xlsx", pd.DataFrame({"a": [1]}))
    assert names(tmp_path) == []
