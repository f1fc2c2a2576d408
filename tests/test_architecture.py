"""The house stands: imports run one way, routing needs no sampler, nothing executes text as code.

Everything is read from the syntax trees of the package, so no module has to be imported; the one claim about
a running interpreter is checked in one.
"""

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "bayes_irt_router"

# A part may import itself and every part of a lower rank; parts of one rank do not know each other.
RANKS = {
    "errors": 0,  # everyone may raise them, they know no one
    "data": 1,
    "irt": 2,
    "inference": 3,
    "routing": 4,
    "calibration": 4,
    "evaluation": 5,
    "report": 6,
    "serving": 6,
    "demo": 7,
    "cli": 8,
    "": 9,  # the package's own __init__.py
}
SAMPLERS = {"pymc", "numpyro", "nutpie", "blackjax"}
# Where the model is written and where it is sampled.
PYMC_MODULES = {
    "irt.mirt",
    "irt.population",
    "inference.nuts",
    "inference.fitting",
    "inference.many_data_sets",
    "inference.placement_reference",
    "inference.simulation_calibration",
}
LONGEST_MODULE = 350


@dataclass(frozen=True)
class Import:
    """One imported module; `when` is `import`, `call` (inside a function) or `typing` (checkers only)."""

    target: str
    line: int
    when: str


def module_name(path: Path, root: Path = ROOT) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def is_type_checking(test: ast.expr) -> bool:
    return ast.unparse(test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def imports_of(tree: ast.Module, module: str, is_package: bool, known: set[str]) -> Iterator[Import]:
    """Every import in a module; `from package import name` is the module `package.name` if that is one."""

    def visit(node: ast.AST, when: str) -> Iterator[Import]:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, node.lineno, when)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = module.split(".")[
                    : None if is_package and node.level == 1 else is_package - node.level
                ]
                base = ".".join([*above, *([base] if base else [])])
            for alias in node.names:
                full = f"{base}.{alias.name}"
                yield Import(full if full in known else base, node.lineno, when)
        elif isinstance(node, ast.If) and is_type_checking(node.test):
            for child in node.body:
                yield from visit(child, "typing")
            for child in node.orelse:
                yield from visit(child, when)
        else:
            inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            for child in ast.iter_child_nodes(node):
                yield from visit(child, "call" if inside and when == "import" else when)

    return visit(tree, "import")


PATHS = {module_name(path): path for path in sorted((ROOT / PACKAGE).rglob("*.py"))}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in PATHS.items()}
IMPORTS = {
    name: list(imports_of(tree, name, PATHS[name].name == "__init__.py", set(PATHS)))
    for name, tree in TREES.items()
}


def inner(module: str) -> str:
    """The name inside the package: `irt.mirt` for `bayes_irt_router.irt.mirt`."""
    return module.removeprefix(PACKAGE).removeprefix(".")


def part(module: str) -> str:
    return inner(module).split(".")[0]


def is_ours(module: str) -> bool:
    return module.split(".")[0] == PACKAGE


def reached_on_import(start: str) -> set[str]:
    """Modules that importing `start` imports, as far as our code says; foreign ones by their first name."""
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        module = waiting.pop()
        if module in seen:
            continue
        seen.add(module)
        if not is_ours(module):
            continue
        # Python runs the __init__.py of every package on the way down.
        parents = module.split(".")[:-1]
        waiting.extend(".".join(parents[: depth + 1]) for depth in range(len(parents)))
        for found in IMPORTS.get(module, ()):
            if found.when == "import":
                waiting.append(found.target if is_ours(found.target) else found.target.split(".")[0])
    return seen


def forbidden_code(tree: ast.Module) -> list[str]:
    """What would execute text or unpickle: imports, calls and arguments, each with its line."""
    modules = {"pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
    calls = {"eval", "exec", "os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput"}
    methods = {"read_pickle", "to_pickle"}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [
                f"{node.lineno}: {alias.name}" for alias in node.names if alias.name.split(".")[0] in modules
            ]
        elif isinstance(node, ast.ImportFrom):
            names = {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
            if (node.module or "").split(".")[0] in modules or names & calls:
                found.append(f"{node.lineno}: {node.module}")
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called in calls or called.split(".")[-1] in methods:
                found.append(f"{node.lineno}: {called}()")
            for keyword in node.keywords:
                if keyword.arg in ("shell", "allow_pickle") and ast.unparse(keyword.value) != "False":
                    found.append(f"{node.lineno}: {keyword.arg}=")
    return found


@pytest.mark.parametrize("module", PATHS)
def test_imports_run_one_way(module: str):
    own = part(module)
    against = [
        f"line {found.line}: {found.target}"
        for found in IMPORTS[module]
        # Every module runs the package's __init__.py, so naming it (for the version, say) is no new arrow.
        if is_ours(found.target)
        and part(found.target) not in ("", own)
        and RANKS[part(found.target)] >= RANKS[own]
    ]
    assert against == []


@pytest.mark.parametrize("module", [name for name in PATHS if part(name) in ("routing", "serving")])
def test_routing_and_serving_need_no_sampler(module: str):
    assert {found.target.split(".")[0] for found in IMPORTS[module]} & SAMPLERS == set()
    assert reached_on_import(module) & SAMPLERS == set()


@pytest.mark.skipif(f"{PACKAGE}.routing.router" not in PATHS, reason="there is no router yet")
def test_importing_the_router_loads_no_sampler():
    program = f"import sys, {PACKAGE}.routing.router; print(sorted({SAMPLERS} & sys.modules.keys()))"
    answer = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"


def test_pymc_stays_where_the_model_is_written_and_sampled():
    users = {
        inner(module)
        for module, found in IMPORTS.items()
        if any(one.when != "typing" and one.target.split(".")[0] == "pymc" for one in found)
    }
    assert users <= PYMC_MODULES


def test_every_library_imported_is_declared():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [
        *project["dependencies"],
        *(line for extra in project["optional-dependencies"].values() for line in extra),
    ]
    declared = {canonicalize_name(Requirement(line).name) for line in lines}
    distributions = packages_distributions()
    undeclared = {
        f"{module}: {library}"
        for module, found in IMPORTS.items()
        for library in {one.target.split(".")[0] for one in found}
        if library != PACKAGE
        and library not in sys.stdlib_module_names
        and not declared & {canonicalize_name(name) for name in distributions.get(library, [library])}
    }
    assert undeclared == set()


@pytest.mark.parametrize("module", PATHS)
def test_modules_stay_short(module: str):
    assert len(PATHS[module].read_text(encoding="utf-8").splitlines()) <= LONGEST_MODULE


def test_no_room_for_odds_and_ends():
    names = [path for folder in (PACKAGE, "tests") for path in (ROOT / folder).rglob("*.py")]
    assert [str(path) for path in names if path.stem.strip("_") in ("utils", "helpers", "misc")] == []


@pytest.mark.parametrize("module", PATHS)
def test_nothing_executes_text_or_unpickles(module: str):
    assert forbidden_code(TREES[module]) == []


# The checks above pass on an empty house as well, so here is what they must find.


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "def f():\n    from joblib import load",
        "from os import system",
        "eval('1')",
        "import os; os.system('ls')",
        "import subprocess; subprocess.run('ls', shell=True)",
        "np.load('a', allow_pickle=True)",
        "pd.read_pickle('a')",
    ],
)
def test_forbidden_code_is_found(code: str):
    assert len(forbidden_code(ast.parse(code))) == 1


def test_innocent_code_is_not():
    code = (
        "frame.eval('a')\nmodel.eval()\nsubprocess.run(['ls'], shell=False)\nimport os\nos.replace('a', 'b')"
    )
    assert forbidden_code(ast.parse(code)) == []


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("import a.b", Import("a.b", 1, "import")),
        ("from a import b", Import("a.b", 1, "import")),
        ("from a import c", Import("a", 1, "import")),
        ("from . import b", Import("a.b", 1, "import")),
        ("from .b import c", Import("a.b", 1, "import")),
        ("try:\n    import x\nexcept ImportError:\n    pass", Import("x", 2, "import")),
        ("def f():\n    import x", Import("x", 2, "call")),
        ("if TYPE_CHECKING:\n    import x", Import("x", 2, "typing")),
    ],
)
def test_imports_are_read(code: str, expected: Import):
    assert list(imports_of(ast.parse(code), "a.m", False, {"a", "a.b", "a.m"})) == [expected]


def test_relative_imports_of_a_package_start_at_itself():
    tree = ast.parse("from . import b\nfrom .. import z")
    assert [one.target for one in imports_of(tree, "p.a", True, {"p.a.b", "p.z"})] == ["p.a.b", "p.z"]
