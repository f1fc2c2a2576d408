"""What a person sees of a malformed source: sentences and exit code 2, nothing written, never a traceback."""

import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from bayes_irt_router.cli import app
from bayes_irt_router.data.readers.catalogue import FORMATS

SLOW_SETUP = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
# What goes wrong with files on their way: cut, doubled, joined with others, saved in another encoding, or of another kind altogether.
DAMAGES = {
    "empty": lambda content: b"",
    "blank": lambda content: b"\n \n\n",
    "cut": lambda content: content[: len(content) // 2],
    "doubled": lambda content: content + content,
    "first line only": lambda content: content.split(b"\n")[0] + b"\n",
    "UTF-16": lambda content: content.decode("latin-1").encode("utf-16"),
    "byte order mark": lambda content: b"\xef\xbb\xbf" + content,
    "zeros": lambda content: bytes(len(content)),
    "no line ends": lambda content: content.replace(b"\n", b""),
    "old line ends": lambda content: content.replace(b"\n", b"\r"),
    "nested deeply": lambda content: b"[" * 100_000 + b"]" * 100_000,
    "NaN": lambda content: content.replace(b"1.0", b"NaN").replace(b'"score": 1', b'"score": NaN'),
    "infinite": lambda content: content.replace(b"1.0", b"1e999").replace(b": 1,", b": -Infinity,"),
    "a number": lambda content: b"7\n",
    "a list": lambda content: b"[]\n",
    "an object": lambda content: b"{}\n",
    "a page": lambda content: b"<!doctype html><p>404</p>\n",
}


def converted(source: Path, output: Path, *options: str | Path) -> int:
    """Exit code of `birt convert`; fails on anything that a user could not read as a sentence."""
    words = ["convert", source, "--output", output, *options]
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    lines = result.stderr.splitlines()
    assert [line for line in lines if not line.startswith(("error: ", "warning: "))] == []
    told = [line for line in lines if line.startswith("error: ")]
    assert result.exit_code == (2 if told else 0)
    assert [line for line in told if not line.endswith(".") or len(line) > 2000] == []
    assert output.exists() == (not told)
    return result.exit_code


def options_of(example: str, folder: Path, examples) -> list[str | Path]:
    """What the example needs to be read: texts, for the format without."""
    return ["--queries", examples.queries(folder)] if example == "py-irt" else []


def the_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_told(example, examples, tmp_path, damage):
    source, options = examples.make(example, tmp_path / "a"), options_of(example, tmp_path, examples)
    path = the_files(tmp_path / "a")[0]
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    name = "inspect" if example == "inspect-archive" else example
    converted(source, tmp_path / "out", "--format", name, *options)


def test_a_source_read_as_another_format_is_told(example, examples, tmp_path):
    source, options = examples.make(example, tmp_path / "a"), options_of(example, tmp_path, examples)
    own = "inspect" if example == "inspect-archive" else example
    codes = {
        one.name: converted(source, tmp_path / one.name, "--format", one.name, *options) for one in FORMATS
    }
    assert codes[own] == 0


@pytest.mark.parametrize("format_", [one.name for one in FORMATS])
def test_a_source_that_is_not_there_or_empty_is_told(format_, tmp_path):
    (tmp_path / "folder").mkdir()
    for source in (tmp_path / "none", tmp_path / "none.csv", tmp_path / "none.jsonl", tmp_path / "folder"):
        assert converted(source, tmp_path / "out", "--format", format_) == 2


@settings(max_examples=6, suppress_health_check=SLOW_SETUP)
@given(data=st.data())
def test_any_damage_to_any_file_is_told(example, examples, tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("any")
    source, options = examples.make(example, folder / "a"), options_of(example, folder, examples)
    path = data.draw(st.sampled_from(the_files(folder / "a")))
    content = path.read_bytes()
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(content)))
        length = data.draw(st.integers(0, 12))
        piece = data.draw(
            st.binary(max_size=4)
            | st.sampled_from([b"null", b'"', b"{", b"]", b",", b"\n", b"-1", b"1e400", b"\\ud800"])
        )
        content = content[:start] + piece + content[start + length :]
    path.write_bytes(content)
    converted(source, folder / "out", *options)
    shutil.rmtree(folder)
