"""The how-to pages do what they say: their Python runs, top to bottom, and their commands exist.

The pages share one folder, as a reader who follows them would: `fit` makes the model that later pages route with. The
pages on adding a prior, a policy and a format are strangers' tasks: nothing but the page is used.
"""

import doctest
import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main

from bayes_irt_router.cli import app
from bayes_irt_router.routing.policy_catalogue import POLICIES

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
# In the order in which they can be followed; the page with the model comes first.
WORKED = (
    "fit",
    "your-data",
    "route",
    "policies",
    "new-llm",
    "drift",
    "evaluate",
    "add-a-prior",
    "add-a-policy",
    "read-a-new-format",
)


def blocks(page: Path, language: str) -> Iterator[tuple[int, str]]:
    """Line number and text of the fenced blocks in a language."""
    text = page.read_text(encoding="utf-8")
    for found in re.finditer(rf"^```{language}\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL):
        yield text[: found.start(1)].count("\n"), found.group(1)


def name(page: Path) -> str:
    return page.relative_to(DOCS).with_suffix("").as_posix()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a reader works; the model of the page `fit` is in it."""
    made = tmp_path_factory.mktemp("reader")
    follow(DOCS / "how-to" / "fit.md", made)
    return made


def follow(page: Path, folder: Path) -> None:
    """Run a page's Python blocks as one program, with the page's own line numbers."""
    before = Path.cwd()
    program = {"__name__": page.stem}
    os.chdir(folder)
    try:
        for line, text in blocks(page, "python"):
            # Compiled, not evaluated: it is a file of this repository.
            exec(compile("\n" * line + text, str(page), "exec"), program)
    finally:
        os.chdir(before)


def test_every_page_with_a_program_is_worked_here():
    programs = {page.stem for page in PAGES if any(blocks(page, "python"))}
    assert programs == set(WORKED)


@pytest.mark.parametrize(
    "page",
    # It fits a model of its own, which takes most of its time to compile.
    [pytest.param(page, marks=pytest.mark.slow) if page == "add-a-prior" else page for page in WORKED[1:]],
)
def test_a_page_does_what_it_says(page, folder):
    assert (folder / "my-model" / "model.json").is_file()
    follow(DOCS / "how-to" / f"{page}.md", folder)


@pytest.mark.parametrize("page", [page for page in PAGES if ">>> " in page.read_text("utf-8")], ids=name)
def test_examples_show_what_they_print(page):
    found = doctest.testfile(str(page), module_relative=False, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert found.attempted > 0
    assert found.failed == 0


def commands(page: Path) -> Iterator[list[str]]:
    for _, text in blocks(page, "bash"):
        for line in text.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words[:1] == ["birt"] and len(words) > 1 and not words[1].startswith("-"):
                yield words[1:]


def test_commands_have_the_options_that_pages_give_them():
    known = typer.main.get_command(app).commands
    options = {
        command: {option for parameter in one.params for option in parameter.opts}
        for command, one in known.items()
    }
    found = [(name(page), words) for page in PAGES for words in commands(page)]
    assert len(found) > 20
    for page, (command, *rest) in found:
        assert command in options, f"{page}: birt {command}"
        given = {word for word in rest if word.startswith("--")}
        assert given <= options[command], f"{page}: birt {command} {sorted(given - options[command])}"
        if "--policy" in rest:
            assert rest[rest.index("--policy") + 1] in POLICIES, page
