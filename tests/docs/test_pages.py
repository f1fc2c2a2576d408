"""The how-to pages do what they say: their Python runs, top to bottom, and their commands exist, as do those of the README and
of the notebooks; what stands after `>>>` prints what the page says.

The pages share one folder, as a reader who follows them would: `fit` makes the model that later pages route with. The
pages on adding a prior, a policy and a format are strangers' tasks: nothing but the page is used.
"""

import doctest
import os
import re
import shlex
import tomllib
from collections.abc import Collection, Iterator
from pathlib import Path

import pytest
import typer
import typer.main

from bayes_irt_router.cli import app
from bayes_irt_router.routing.policy_catalogue import POLICIES

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
# Wherever somebody may read a command.
TOLD = [
    *PAGES,
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "ARCHITECTURE.md", "models/README.md")),
    *sorted((ROOT / "benchmarks").rglob("*.md")),
    *sorted((ROOT / "notebooks").glob("*.py")),
]
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
    return page.relative_to(ROOT).with_suffix("").as_posix()


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


EXAMPLES = [page for page in PAGES if any(blocks(page, "pycon"))]


@pytest.mark.parametrize("page", EXAMPLES, ids=name)
def test_examples_print_what_the_page_says(page):
    """A page's examples are one session."""
    runner = doctest.DocTestRunner(verbose=False, optionflags=doctest.NORMALIZE_WHITESPACE)
    session: dict[str, object] = {}
    told: list[str] = []
    for line, text in blocks(page, "pycon"):
        examples = doctest.DocTestParser().get_doctest(text, session, name(page), str(page), line)
        assert examples.examples
        runner.run(examples, out=told.append, clear_globs=False)
        session = examples.globs
    assert not told, "".join(told)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_no_example_is_left_untested(page):
    inside = "".join(text for _, text in blocks(page, "pycon"))
    assert page.read_text("utf-8").count(">>> ") == inside.count(">>> ")


def commands(text: str) -> Iterator[list[str]]:
    """The words after each `birt`, in blocks of any language and between backticks."""
    fences = re.findall(r"^```[^\n]*\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    lines = [line for fence in fences for line in fence.replace("\\\n", " ").splitlines()]
    rest = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    lines += [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", rest)]
    for line in lines:
        if found := re.search(r"(?:^|[\s/])birt ([a-z].*)", line.removeprefix("# ")):
            yield shlex.split(found.group(1).replace("'", ""), comments=True)


def options(command: typer.core.TyperCommand) -> set[str]:
    return {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}


def problems(words: list[str], policies: Collection[str] = POLICIES) -> list[str]:
    """What `birt WORDS` asks for and the program has not."""
    command, spent = typer.main.get_command(app), ["birt"]
    while hasattr(command, "commands") and words and not words[0].startswith("-"):
        first, *words = words
        if first not in command.commands:
            return [f"{' '.join(spent)} has no command {first}"]
        command = command.commands[first]
        spent.append(first)
    given = {word.split("=")[0] for word in words if re.match(r"--[a-z]", word)}
    found = [f"{' '.join(spent)} has no {option}" for option in sorted(given - options(command) - {"--help"})]
    policy = words[words.index("--policy") + 1] if "--policy" in words else ""
    if policy.islower() and policy not in policies:  # NAME stands for any
        found.append(f"there is no policy {policy}")
    return found


def test_wrong_commands_would_be_found():
    told = "Type `birt fti --data DIR`, or\n\n```bash\nbirt fit --date DIR \\\n  --outptu X\nbirt llms retier x\n```\n"
    assert [problem for words in commands(told) for problem in problems(words)] == [
        "birt fit has no --date",
        "birt fit has no --outptu",
        "birt llms has no command retier",
        "birt has no command fti",
    ]


@pytest.mark.parametrize("page", [page for page in TOLD if "birt " in page.read_text("utf-8")], ids=name)
def test_commands_and_their_options_exist(page):
    text = page.read_text("utf-8")
    if page.suffix == ".py":  # cells of words are comments
        text = re.sub(r"^# ?", "", text, flags=re.MULTILINE)
    own = re.findall(
        r'^    name: ClassVar\[str\] = "(\w+)"', text, flags=re.MULTILINE
    )  # of a policy that the page itself adds
    assert [problem for words in commands(text) for problem in problems(words, {*POLICIES, *own})] == []


def test_options_that_pages_name_alone_are_those_of_some_command():
    def every(command: typer.core.TyperCommand) -> set[str]:
        return options(command).union(*map(every, getattr(command, "commands", {}).values()))

    known = every(typer.main.get_command(app)) | {"--help"}
    named = {
        (name(page), option)
        for page in PAGES
        for option in re.findall(r"`(--[a-z][a-z-]*)[^`]*`", page.read_text("utf-8"))
    }
    assert len(named) > 20
    assert {(page, option) for page, option in named if option not in known} == set()


def test_the_extras_are_those_that_can_be_installed():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = set(project["optional-dependencies"])
    listed = re.findall(
        r"^\| `([a-z]+)` \|", (DOCS / "how-to" / "install.md").read_text("utf-8"), flags=re.MULTILINE
    )
    assert set(listed) == extras - {"test", "lint", "dev"}
    asked = {
        extra
        for page in TOLD
        for listed in re.findall(r"(?:bayes_irt_router|\.)\[([a-z,]+)\]", page.read_text("utf-8"))
        for extra in listed.split(",")
    }
    assert asked <= extras
