import json

import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

from bayes_irt_router.data import prompt_files
from bayes_irt_router.data.prompt_files import count_prompts, read_prompts, row_writer
from bayes_irt_router.errors import InputError

PROMPTS = ["What is 2 + 2?", 'She said "no",\nthen left.', "Käthe?"]
TYPES = {"index": pa.int64(), "llm": pa.string()}


def write(path, prompts):
    frame = pd.DataFrame({"n": range(len(prompts)), "prompt": prompts})
    if path.suffix == ".csv":
        frame.to_csv(path, index=False)
    elif path.suffix == ".parquet":
        frame.to_parquet(path)
    elif path.suffix == ".jsonl":
        frame.to_json(path, orient="records", lines=True)
    else:
        path.write_text("\n\n".join(" ".join(prompt.split()) for prompt in prompts), encoding="utf-8")


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".jsonl", ".txt"])
def test_prompts_are_read_in_order(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    write(path, PROMPTS)
    expected = [" ".join(p.split()) for p in PROMPTS] if suffix == ".txt" else PROMPTS
    assert list(read_prompts(path)) == expected
    assert count_prompts(path) == 3


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".txt"])
def test_reading_does_not_wait_for_the_end(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    write(path, PROMPTS * 20_000)
    with path.open("ab") as file:
        file.write(b"\xff\xff\n")  # not UTF-8: whoever reads everything first stumbles over it
    prompts = read_prompts(path)
    assert next(prompts) == PROMPTS[0]
    prompts.close()
    with pytest.raises(InputError, match="UTF-8"):
        count_prompts(path)


def test_parquet_is_read_in_groups_of_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(prompt_files, "ROWS", 2)
    write(tmp_path / "a.parquet", PROMPTS * 5)
    assert list(read_prompts(tmp_path / "a.parquet")) == PROMPTS * 5


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.csv", "text\n", "holds no prompt"),
        ("a.csv", "other\nx\n", "no column text or prompt"),
        ("a.csv", "n,text\n1,x\n2\n", "data row 2: 1 cells where the header has 2"),
        ("a.csv", 'text\n"open\n', "cannot be read"),
        ("a.csv", 'n,text\n1,x\n2,\n3," "\n', "data row 2"),
        ("a.jsonl", '{"text": "x"}\n{"text": 3}\n', "data row 2"),
        ("a.jsonl", '{"text": "x"}\nnonsense\n', "line 2: not valid JSON"),
        ("a.jsonl", "[1]\n", "line 1: not a JSON object"),
        ("a.parquet", "nonsense", "cannot be read"),
        ("a.md", "x", "does not end in .txt"),
        ("a.txt", "\n \n", "holds no prompt"),
    ],
)
def test_what_is_wrong_is_told(tmp_path, name, content, expected):
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(InputError) as error:
        count_prompts(tmp_path / name)
    assert expected in str(error.value)


def test_all_empty_rows_are_told_up_to_a_limit(tmp_path):
    write(tmp_path / "a.parquet", ["x", None] * 30)
    with pytest.raises(InputError) as error:
        count_prompts(tmp_path / "a.parquet")
    assert len(error.value.problems) == 21
    assert "10 more rows" in error.value.problems[-1]


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".jsonl"])
def test_rows_appear_all_at_once(tmp_path, suffix, monkeypatch):
    monkeypatch.setattr(prompt_files, "ROWS", 2)
    path = tmp_path / f"out{suffix}"
    with row_writer(path, TYPES) as append:
        for k in range(5):
            append({"index": k, "llm": None if k == 3 else 'a,"b'})
            assert not path.exists()
    if suffix == ".parquet":
        rows = pyarrow.parquet.read_table(path).to_pylist()
    elif suffix == ".csv":
        rows = pd.read_csv(path).astype(object).where(lambda x: x.notna(), None).to_dict("records")
    else:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert rows == [{"index": k, "llm": None if k == 3 else 'a,"b'} for k in range(5)]


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".jsonl"])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, suffix):
    path = tmp_path / f"out{suffix}"
    path.write_text("old")

    def fail():
        with row_writer(path, TYPES) as append:
            append({"index": 1, "llm": "a"})
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()
    assert path.read_text() == "old"
    assert [one.name for one in tmp_path.iterdir()] == [path.name]
