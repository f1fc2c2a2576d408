"""The command line as a person meets it: what it prints where, what it writes, how it fails."""

import dataclasses
import functools
import inspect
import json
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from click.testing import Result
from typer.testing import CliRunner

from bayes_irt_router import demo
from bayes_irt_router.cli import app
from bayes_irt_router.cli.evaluate import with_assumed_tokens
from bayes_irt_router.cli.fit import fit as fit_command
from bayes_irt_router.cli.route import route as route_command
from bayes_irt_router.data.canonical import data_fingerprint, read_dataset, select_split, write_dataset
from bayes_irt_router.data.encoder import Encoder
from bayes_irt_router.data.simulation import read_truth, simulate, write_simulation
from bayes_irt_router.evaluation.baselines.local_means import LLMMean, NearestNeighbours
from bayes_irt_router.inference import fitting, shipped, storage
from bayes_irt_router.inference.nuts import NUTS
from bayes_irt_router.irt.mirt import MIRT
from bayes_irt_router.routing.router import Router

QUICK = ["--traits", "2", "--draws", "20", "--tune", "20", "--chains", "2", "--landmarks", "12"]
CANDIDATE = {"llm", "p_correct", "cost_usd", "utility", "p_best"}
COMMANDS = (
    "simulate",
    "convert",
    "collect",
    "fit",
    "stack",
    "route",
    "evaluate",
    "frontier",
    "calibrate",
    "drift",
    "llms",
    "info",
    "report",
    "diff",
    "demo",
)


def birt(*arguments: str | Path, stdin: str | bytes | None = None) -> Result:
    """Run `birt`; any exception but a plain exit would be a traceback for a user."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], input=stdin)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def errors(result: Result) -> list[str]:
    """The problems on standard error of a call that must have failed as bad input does."""
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    lines = result.stderr.splitlines()
    assert [line for line in lines if not line.startswith(("error: ", "warning: "))] == []
    return [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bench") / "data"
    result = birt("simulate", "--output", folder, "--queries", "64", "--llms", "6", "--seed", "3")
    assert result.exit_code == 0, result.output
    return folder


@pytest.fixture(scope="session")
def fit_result(bench: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """A fit through the command line, far too short to pass the gate."""
    folder = tmp_path_factory.mktemp("models") / "failed"
    options = ["--prior", "family=1.5", "--prior", "family=0.7", "--seed", "5", "--json"]
    result = birt("fit", "--data", bench, "--split", "train", "--output", folder, *QUICK, *options)
    assert result.exit_code == 0, result.output
    return folder, result


@pytest.fixture(scope="session")
def failed(fit_result: tuple[Path, Result]) -> Path:
    """A model that the gate has failed."""
    return fit_result[0]


@pytest.fixture(scope="session")
def model(failed: Path) -> Path:
    """The same with the complaints taken out of its file, so that nothing warns."""
    folder = failed.parent / "passed"
    shutil.copytree(failed, folder)
    record = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    record["gate"]["complaints"] = []
    (folder / "model.json").write_text(json.dumps(record), encoding="utf-8")
    return folder


def names(bench: Path) -> list[str]:
    return [str(name) for name in read_dataset(bench)["llm"].values]


# Help


def test_help_names_every_command_and_shows_examples():
    result = birt("--help")
    assert result.exit_code == 0
    assert all(command in result.stdout for command in COMMANDS)
    assert "birt demo --output runs/demo" in result.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help_with_an_example(command: str):
    result = birt(command, "--help")
    assert result.exit_code == 0
    assert f"birt {command} " in result.stdout.split("Examples")[1]


def test_help_imports_nothing_heavy():
    program = (
        "import sys, bayes_irt_router.cli;"
        "print(sorted({'numpy', 'pandas', 'xarray', 'pymc', 'jax', 'torch', 'sklearn'} & sys.modules.keys()))"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_defaults_are_those_of_the_python_interface():
    def defaults(function: object) -> dict[str, object]:
        return {name: p.default for name, p in inspect.signature(function).parameters.items()}

    typed = defaults(fit_command)
    sampler = dataclasses.asdict(NUTS())
    assert {name: typed[name] for name in ("draws", "tune", "chains", "target_accept")} == {
        name: sampler[name] for name in ("draws", "tune", "chains", "target_accept")
    }
    assert typed["sampler"] == sampler["backend"]
    assert (typed["traits"], typed["families"]) == (MIRT().traits, MIRT().families)
    for name in ("seed", "landmarks", "keep_texts", "assume_output_tokens"):
        assert typed[name] == defaults(fitting.fit)[name]
    for name in ("alpha", "level", "seed", "allow"):
        assert defaults(route_command)[name] == defaults(Router.route)[name]


# Simulate


def test_simulate_writes_a_benchmark_that_the_reader_takes(bench: Path):
    data = read_dataset(bench)
    assert (data.sizes["query"], data.sizes["llm"]) == (64, 6)
    assert (bench / "truth.nc").is_file()


def test_simulate_does_not_replace_real_data(tmp_path: Path):
    (tmp_path / "responses.csv").write_text("query_id,llm,score\nq,a,1\n", encoding="utf-8")
    problems = errors(birt("simulate", "--output", tmp_path))
    assert "responses.csv" in problems[0]
    assert [path.name for path in tmp_path.iterdir()] == ["responses.csv"]


def test_simulate_names_all_that_is_wrong_and_writes_nothing(tmp_path: Path):
    problems = errors(birt("simulate", "--output", tmp_path / "x", "--queries", "1", "--llms", "99"))
    assert len(problems) == 2
    assert list(tmp_path.iterdir()) == []


# Fit


def test_fit_tells_the_model_as_json_and_nothing_else_on_standard_output(fit_result: tuple[Path, Result]):
    folder, result = fit_result
    told = json.loads(result.stdout)
    assert told["schema_version"] == 1
    assert (told["kind"], told["seed"], told["model"]["traits"]) == ("mirt", 5, 2)
    assert told["model"]["priors"]["family"] == 0.7
    assert told["data"]["splits"] == ["train"]
    assert storage.load(folder).record["data"] == told["data"]


def test_a_fit_that_fails_the_gate_is_saved_marked_and_warned_of(fit_result: tuple[Path, Result]):
    folder, result = fit_result
    assert "warning: The draws fail the convergence gate" in result.stderr
    assert json.loads(result.stdout)["gate"]["passed"] is False
    assert not storage.load(folder).gate.passed


def test_fit_tells_all_wrong_settings_at_once_before_it_reads_data(tmp_path: Path):
    options = [
        "--prior",
        "famly=1",
        "--prior",
        "family=x",
        "--prior",
        "family",
        "--traits",
        "0",
        "--draws",
        "0",
    ]
    result = birt(
        "fit", "--data", tmp_path / "nowhere", "--output", tmp_path / "m", "--covariate", "size", *options
    )
    text = "\n".join(errors(result))
    for wrong in ("'famly'", "'x'", "NAME=VALUE", "traits is 0", "covariate size", "draws is 0"):
        assert wrong in text
    assert "nowhere" not in text
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        (["--data", "D", "--responses", "r.csv", "--llms", "l.csv"], "--responses, --llms"),
        ([], "--data DIR"),
        (["--responses", "r.csv"], "--queries"),
        (["--data", "D"], "D is not a folder"),
        (["--responses", "r.csv", "--queries", "q.csv"], "q.csv does not exist"),
    ],
)
def test_fit_wants_a_folder_or_files(
    sources: list[str], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    assert expected in "\n".join(errors(birt("fit", *sources, "--output", "m", *QUICK)))
    assert list(tmp_path.iterdir()) == []


def test_bad_data_are_told_with_file_and_row_and_leave_nothing_behind(tmp_path: Path):
    data, output = tmp_path / "data", tmp_path / "models" / "m"
    data.mkdir()
    rows = ["query_id,llm,score", "q1,a,1.5", "q1,b,1", "q1,b,1", "q2,c,0"]
    (data / "responses.csv").write_text("\n".join(rows), encoding="utf-8")
    (data / "queries.csv").write_text("query_id,text\nq1,Why?\nq2,\n", encoding="utf-8")
    (data / "llms.csv").write_text("llm\na\nb\n", encoding="utf-8")
    problems = errors(birt("fit", "--data", data, "--output", output))
    assert len(problems) >= 4  # score, duplicate row, unknown LLM, empty text
    assert all(".csv" in problem for problem in problems)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_a_foreign_output_folder_is_refused_before_anything_is_fitted(
    bench: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def too_late(*_: object, **__: object) -> None:
        raise AssertionError("fitted before the output folder was looked at")

    monkeypatch.setattr(fitting, "fit", too_late)
    (tmp_path / "thesis.txt").write_text("years of work", encoding="utf-8")
    problems = errors(birt("fit", "--data", bench, "--output", tmp_path, *QUICK))
    assert "no model.json" in problems[0]
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_fit_that_cannot_be_saved_says_so(
    bench: Path, failed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    posterior = storage.load(failed)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(fitting, "fit", lambda *_, **__: posterior)
    monkeypatch.setattr(storage, "save", full)
    problems = errors(birt("fit", "--data", bench, "--output", tmp_path / "m", *QUICK))
    assert "was fitted, but it could not be saved" in problems[0]
    assert "No space left" in problems[0]


def test_warnings_are_lines_on_standard_error(tmp_path: Path):
    (tmp_path / "responses.csv").write_text("query_id,llm,score\nq1,a,1\n", encoding="utf-8")
    (tmp_path / "queries.csv").write_text("query_id,text\nq1,Why?\nq2,How?\n", encoding="utf-8")
    result = birt("fit", "--data", tmp_path, "--split", "test", "--output", tmp_path / "m")
    assert "warning: Dropped 1 of 2 queries" in result.stderr
    assert len(errors(result)) == 1  # no such split
    assert warnings.showwarning.__module__ == "warnings"  # put back


# Route


def test_route_json_has_the_documented_shape(model: Path, bench: Path):
    prompts = ["What is 17 * 23?", "Name the capital of Peru."]
    result = birt("route", *prompts, "--model", model, "--alpha", "0.5", "--level", "0.5", "--json")
    told = json.loads(result.stdout)
    assert set(told) == {"schema_version", "policy", "options", "alpha", "decisions"}
    assert (told["schema_version"], told["policy"], told["alpha"]) == (1, "expected_utility", 0.5)
    assert [decision["index"] for decision in told["decisions"]] == [0, 1]
    for decision in told["decisions"]:
        assert set(decision) == {"index", "llm", "reason", "familiarity", "candidates"}
        assert {candidate["llm"] for candidate in decision["candidates"]} == set(names(bench))
        assert decision["llm"] == max(decision["candidates"], key=lambda c: c["utility"])["llm"]
        assert sum(candidate["p_best"] for candidate in decision["candidates"]) == pytest.approx(1)
        for candidate in decision["candidates"]:
            assert set(candidate) == CANDIDATE
            p = candidate["p_correct"]
            assert set(p) == {"mean", "lower", "upper", "level"}
            assert p["level"] == 0.5
    assert result.stderr == ""


def test_route_shows_the_choice_and_the_reason(model: Path):
    result = birt("route", "What is [17] * 23?", "--model", model)
    chosen = json.loads(birt("route", "What is [17] * 23?", "--model", model, "--json").stdout)["decisions"][
        0
    ]
    assert result.exit_code == 0
    assert "What is [17] * 23?" in result.stdout  # brackets are no markup
    assert " ".join(chosen["reason"].split()) in " ".join(result.stdout.split())


def test_route_writes_what_it_would_print(model: Path, tmp_path: Path):
    path = tmp_path / "deep" / "routes.json"
    printed = birt("route", "Why?", "--model", model, "--json", "--output", path).stdout
    assert path.read_text(encoding="utf-8") == printed
    assert [file.name for file in path.parent.iterdir()] == ["routes.json"]


def test_a_model_that_failed_the_gate_routes_with_a_warning(failed: Path, model: Path):
    result = birt("route", "Why?", "--model", failed, "--json")
    assert result.exit_code == 0
    assert result.stderr.startswith("warning: The draws FAIL the convergence gate")
    assert json.loads(result.stdout) == json.loads(birt("route", "Why?", "--model", model, "--json").stdout)


def test_allow_restricts_the_candidates(model: Path, bench: Path):
    first, second, third, *_ = names(bench)
    options = ["--allow", f"{first}, {second}", "--allow", third, "--json"]
    told = json.loads(birt("route", "Why?", "--model", model, *options).stdout)
    assert {c["llm"] for c in told["decisions"][0]["candidates"]} == {first, second, third}


def test_prompts_come_from_files_of_each_kind(model: Path, tmp_path: Path):
    prompts = ["What is 2 + 2?", "Wie geht's, Käthe?"]
    (tmp_path / "a.txt").write_text("\n".join(["", prompts[0], "   ", prompts[1], ""]), encoding="utf-8")
    pd.DataFrame({"id": [1, 2], "prompt": prompts}).to_csv(tmp_path / "b.csv", index=False)
    pd.DataFrame({"text": prompts, "prompt": ["no", "no"]}).to_parquet(tmp_path / "c.parquet")
    lines = [json.dumps({"text": prompt}) for prompt in prompts]
    (tmp_path / "d.jsonl").write_text("\n".join(lines), encoding="utf-8")
    direct = json.loads(birt("route", *prompts, "--model", model, "--json").stdout)
    for name in ("a.txt", "b.csv", "c.parquet", "d.jsonl"):
        result = birt("route", "--input", tmp_path / name, "--model", model, "--json")
        assert json.loads(result.stdout) == direct, name
    piped = birt("route", "--input", "-", "--model", model, "--json", stdin="\n".join(prompts))
    assert json.loads(piped.stdout) == direct
    both = birt("route", prompts[0], "--input", "-", "--model", model, "--json", stdin=prompts[1])
    assert json.loads(both.stdout) == direct


def test_many_prompts_share_one_table(model: Path):
    lines = [f"What is {number} + 1?" for number in range(70)]
    result = birt("route", "--input", "-", "--model", model, stdin="\n".join(lines))
    assert result.exit_code == 0
    assert all(line in result.stdout for line in lines)
    assert "interval" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["Why?", "--alpha", "1.5"], "alpha is 1.5"),
        (["Why?", "--level", "1"], "level is 1"),
        (["Why?", "--allow", "nobody"], "'nobody'"),
        (["Why?", "--allow", ","], "No candidate LLM"),
        (["Why?", " "], "Prompt 2 is empty"),
        ([], "There is no prompt"),
        (["--input", "missing.txt"], "missing.txt does not exist"),
        (["--input", "missing.csv"], "missing.csv does not exist"),
        (["--input", "notes.md"], ".txt"),
        (["--input", "empty.txt"], "empty.txt holds no prompt"),
        (["--input", "latin.txt"], "not UTF-8"),
        (["--input", "other.csv"], "no column text or prompt"),
        (["--input", "gap.csv"], "gap.csv, data row 2"),
        (["--input", "-"], "Standard input holds no prompt"),
        (["Why?", "--encoder", "no/such-encoder-anywhere"], "no/such-encoder-anywhere"),
        (["Why?", "--output", "folder"], "folder is a folder"),
        (["Why?", "--policy", "luck"], "no policy 'luck'"),
        (["Why?", "--policy", "min_success", "--option", "target=2"], "target is 2.0"),
        (["Why?", "--deny", "nobody", "--require", "images"], "declare no capabilities"),
        (["Why?", "--fallback", "nobody"], "'nobody'"),
        (["Why?", "--policy", "probability_of_improvement", "--option", "incumbent=x"], "incumbent 'x'"),
    ],
)
def test_route_says_what_is_wrong(
    arguments: list[str], expected: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    Path("empty.txt").write_text("\n \n", encoding="utf-8")
    Path("latin.txt").write_bytes("Käthe".encode("latin-1"))
    Path("other.csv").write_text("question\nWhy?\n", encoding="utf-8")
    Path("gap.csv").write_text("id,text\n1,Why?\n2,\n", encoding="utf-8")
    before = sorted(path.name for path in tmp_path.iterdir())
    arguments = [*arguments, "--json"] if "--output" in arguments else [*arguments, "--output", "out.json"]
    assert expected in "\n".join(errors(birt("route", *arguments, "--model", model)))
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_route_tells_what_is_wrong_with_policy_limits_and_alpha_together(model: Path, bench: Path):
    first = names(bench)[0]
    options = [
        "--policy",
        "min_success",
        "--option",
        "target=x",
        "--allow",
        first,
        "--deny",
        first,
        "--alpha",
        "2",
    ]
    problems = errors(birt("route", "Why?", "--model", model, *options))
    assert len(problems) == 3
    for words in ("'x'", "both allowed and denied", "alpha is 2"):
        assert words in "\n".join(problems)


def test_route_tells_what_is_wrong_with_prompts_prices_and_the_rest_together(model: Path, tmp_path: Path):
    (tmp_path / "prices.csv").write_text("llm\na\n", encoding="utf-8")
    options = ["--alpha", "2", "--policy", "luck", "--allow", "nobody", "--prices", tmp_path / "prices.csv"]
    problems = errors(birt("route", "Why?", " ", "--model", model, "--output", tmp_path, *options))
    for words in ("Prompt 2", "is a folder", "alpha is 2", "'luck'", "'nobody'", "has no column"):
        assert [words in problem for problem in problems].count(True) == 1, words
    assert len(problems) == 6


def test_route_explains_in_words_and_in_json(model: Path):
    call = ["route", "What is 17 * 23?", "--model", model, "--explain"]
    told = json.loads(birt(*call, "--json").stdout)["decisions"][0]["explanation"]
    assert len(told["sentences"]) == 2
    shown = " ".join(birt(*call).stdout.split())
    for sentence in told["sentences"]:
        assert " ".join(sentence.split()) in shown
    assert all(neighbour["query"] in shown for neighbour in told["neighbours"])


def test_an_abstention_is_null_and_has_its_reason(model: Path):
    call = ["route", "Why?", "--model", model, "--policy", "chance_constrained", "--option", "target=1"]
    told = json.loads(birt(*call, "--json").stdout)
    assert (told["policy"], told["options"]) == ("chance_constrained", {"target": 1.0, "delta": 0.1})
    assert told["decisions"][0]["llm"] is None
    assert "no candidate has" in told["decisions"][0]["reason"]
    shown = birt(*call)
    assert shown.exit_code == 0
    assert "nobody" in shown.stdout


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_a_table_of_prompts_becomes_a_table_of_decisions(model: Path, tmp_path: Path, suffix: str):
    prompts = [f"What is {number} + 1?" for number in range(70)]
    pd.DataFrame({"text": prompts}).to_parquet(tmp_path / "in.parquet")
    output = tmp_path / f"out{suffix}"
    result = birt("route", "--input", tmp_path / "in.parquet", "--model", model, "--output", output)
    assert result.exit_code == 0
    assert "70 prompts are routed" in result.stdout
    whole = json.loads(birt("route", *prompts, "--model", model, "--json").stdout)["decisions"]
    if suffix == ".jsonl":
        rows = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
        assert rows == whole
        return
    rows = pd.read_csv(output) if suffix == ".csv" else pd.read_parquet(output)
    assert rows["index"].tolist() == list(range(70))
    assert rows["llm"].tolist() == [decision["llm"] for decision in whole]
    assert rows["p_correct"].tolist() == [
        decision["candidates"][0]["p_correct"]["mean"] for decision in whole
    ]


def test_frontier_writes_json_and_a_picture(model: Path, bench: Path, tmp_path: Path):
    picture, path = tmp_path / "frontier.png", tmp_path / "frontier.json"
    call = ["frontier", "--model", model, "--data", bench, "--split", "test"]
    result = birt(*call, "--output", picture, "--output", path, "--json")
    assert json.loads(result.stdout) == json.loads(path.read_text(encoding="utf-8"))
    assert picture.read_bytes().startswith(b"\x89PNG")
    told = json.loads(result.stdout)
    assert told["schema_version"] == 1
    assert {"expected_utility", "min_success", "single"} <= {point["policy"] for point in told["points"]}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--data", "nowhere"], "nowhere is not a folder"),
        ([], "--data DIR"),
        (["--data", "nowhere", "--output", "a.txt", "--output", "b.gif"], "b.gif does not end in .png"),
    ],
)
def test_frontier_says_what_is_wrong(
    arguments: list[str], expected: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    assert expected in "\n".join(errors(birt("frontier", "--model", model, *arguments)))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", [["route", "Why?"], ["evaluate", "--data", "D"], ["info"]])
def test_without_a_model_the_way_to_one_is_named(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(shipped, "_PACKAGE", tmp_path)  # where no reference model is
    assert "make demo" in errors(birt(*command))[0]
    assert "make demo" in errors(birt(*command, "--model", tmp_path / "none"))[0]


# Evaluate


def test_evaluate_json_has_the_documented_shape(model: Path, bench: Path, tmp_path: Path):
    path = tmp_path / "evaluation.json"
    result = birt(
        "evaluate", "--model", model, "--data", bench, "--split", "test", "--json", "--output", path
    )
    told = json.loads(result.stdout)
    assert json.loads(path.read_text(encoding="utf-8")) == told
    assert told["schema_version"] == 1
    assert {"log_loss", "brier", "auc", "ece"} <= set(told["prediction"]["model"])
    assert {"model", "best_single", "cheapest", "random", "oracle"} <= set(told["routing"])
    for scores in told["routing"].values():
        assert set(scores) == {"0.8", "0.5", "0.2"}
        assert all({"accuracy", "cost_usd", "reward"} <= set(score) for score in scores.values())
    for deciles in told["by_difficulty"].values():
        assert [one["decile"] for one in deciles] == list(range(1, 11))
        assert {"queries", "difficulty", "accuracy", "cost_usd", "regret", "llms"} <= set(deciles[0])


def test_evaluate_compares_with_baselines_on_the_same_split(
    model: Path, bench: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    few = (LLMMean(), NearestNeighbours())
    monkeypatch.setattr("bayes_irt_router.evaluation.compare.all_baselines", lambda: few)
    path = tmp_path / "comparison.json"
    result = birt("evaluate", "--model", model, "--data", bench, "--compare", "--output", path)
    content = json.loads(path.read_text())
    assert result.exit_code == 0
    assert set(content["prediction"]) == {"model", "llm_mean", "knn_embedding"}
    assert {"model", "knn_embedding", "best_single", "oracle"} <= set(content["routing"])
    assert set(content["routing"]["knn_embedding"]) == {"0.8", "0.5", "0.2"}
    assert set(content["comparison"]["log_loss_minus_model"]) == {"llm_mean", "knn_embedding"}
    shown = " ".join(result.stdout.split())
    assert "knn embedding" in shown
    assert all(len(line) <= 100 for line in result.stdout.splitlines())
    alone = json.loads(
        birt("evaluate", "--model", model, "--data", bench, "--split", "test", "--json").stdout
    )
    assert alone["prediction"]["model"] == content["prediction"]["model"]


def test_evaluate_refuses_a_training_split_that_is_not_there(model: Path, bench: Path):
    call = ["evaluate", "--model", model, "--data", bench, "--compare", "--train-split", "nowhere"]
    result = birt(*call)
    assert result.exit_code == 2
    assert "nowhere" in result.stderr


def test_evaluate_can_assume_output_tokens(model: Path, bench: Path, tmp_path: Path):
    write_dataset(read_dataset(bench).drop_vars("output_tokens"), tmp_path, "csv")
    call = ["evaluate", "--model", model, "--data", tmp_path, "--split", "test", "--json"]
    assert json.loads(birt(*call).stdout)["routing"] == {}
    costs = []
    for tokens in (50, 500):
        told = json.loads(birt(*call, "--assume-output-tokens", tokens).stdout)
        assert told["assumed_output_tokens"] == tokens
        costs.append(told["routing"]["best_single"]["0.8"]["cost_usd"])
    assert costs[1] > costs[0]


def test_evaluate_shows_tables(model: Path, bench: Path):
    result = birt("evaluate", "--model", model, "--data", bench, "--split", "test")
    assert result.exit_code == 0
    assert "log loss" in result.stdout
    assert "decile" not in result.stdout
    result = birt("evaluate", "--model", model, "--data", bench, "--split", "test", "--by-difficulty")
    assert result.exit_code == 0
    assert result.stdout.count("by decile of difficulty") == 3
    assert all(len(line) <= 100 for line in result.stdout.splitlines())


def test_evaluate_refuses_what_was_fitted_unless_told(model: Path, bench: Path, tmp_path: Path):
    path = tmp_path / "evaluation.json"
    call = ["evaluate", "--model", model, "--data", bench, "--split", "train", "--output", path]
    assert "--allow-seen" in errors(birt(*call))[0]
    assert not path.exists()
    assert birt(*call, "--allow-seen").exit_code == 0
    assert path.exists()


def test_assumed_tokens_fill_answers_only():
    score = (("query", "llm"), np.array([[1.0, np.nan], [0.0, 1.0]]))
    counted = (("query", "llm"), np.array([[7.0, np.nan], [np.nan, np.nan]]))
    filled = with_assumed_tokens(xr.Dataset({"score": score, "output_tokens": counted}), 5)["output_tokens"]
    np.testing.assert_array_equal(filled, [[7.0, np.nan], [5.0, 5.0]])
    alone = with_assumed_tokens(xr.Dataset({"score": score}), 5)["output_tokens"]
    np.testing.assert_array_equal(alone, [[5.0, np.nan], [5.0, 5.0]])


# Info


def test_info_tells_the_model(failed: Path, bench: Path):
    result = birt("info", "--model", failed)
    assert result.exit_code == 0
    told = " ".join(result.stdout.split())
    for expected in (
        *names(bench),
        "mirt, 2 traits",
        "difficulty_residual",
        "FAIL the convergence gate",
        "pymc",
    ):
        assert expected in told


def test_info_json_holds_record_gate_and_llms(failed: Path, bench: Path):
    told = json.loads(birt("info", "--model", failed, "--level", "0.5", "--json").stdout)
    assert told["schema_version"] == 1
    assert {"kind", "model", "data", "encoder", "versions", "cost", "gate", "llms"} <= set(told)
    assert sorted(llm["llm"] for llm in told["llms"]) == sorted(names(bench))
    abilities = [llm["ability"] for llm in told["llms"]]
    assert all(a["lower"] <= a["upper"] and a["level"] == 0.5 for a in abilities)
    assert [a["mean"] for a in abilities] == sorted((a["mean"] for a in abilities), reverse=True)


@pytest.mark.parametrize("level", ["0", "1", "nan"])
def test_info_wants_a_level_between_0_and_1(level: str, failed: Path):
    assert "level is" in errors(birt("info", "--model", failed, "--level", level))[0]


# Demo, interruption, the machine's own faults


def test_demo_does_not_replace_real_data(tmp_path: Path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "queries.csv").write_text("query_id,text\nq,Why?\n", encoding="utf-8")
    assert "queries.csv" in errors(birt("demo", "--output", tmp_path))[0]


def test_a_demo_runs_through_and_replaces_an_earlier_one_and_nothing_else(
    bench: Path, failed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    # The benchmark of `bench`, so that the fit is there already.
    monkeypatch.setattr(demo, "simulate", functools.partial(simulate, llms=6))
    monkeypatch.setattr(demo, "fit", lambda *_, **__: storage.load(failed))
    write_simulation(simulate(np.random.default_rng(9), queries=32, llms=4), tmp_path / "data")
    shutil.copytree(failed, tmp_path / "model")
    (tmp_path / "routes.json").write_text("old", encoding="utf-8")
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")

    result = birt("demo", "--output", tmp_path, "--queries", "64", "--seed", "3")

    assert result.exit_code == 0, result.output
    written = ["data", "evaluation.json", "model", "notes.txt", "routes.json"]
    assert sorted(path.name for path in tmp_path.iterdir()) == written
    assert data_fingerprint(read_dataset(tmp_path / "data")) == data_fingerprint(read_dataset(bench))
    routes = json.loads((tmp_path / "routes.json").read_text(encoding="utf-8"))
    assert [decision["index"] for decision in routes["decisions"]] == [0, 1, 2, 3]
    evaluation = json.loads((tmp_path / "evaluation.json").read_text(encoding="utf-8"))
    assert set(evaluation["routing"]["model"]) == {"0.8", "0.5", "0.2"}
    for step in ("1. Simulated", "2. Convergence", "3. Posterior and truth", "4. Prediction", "5. Routes"):
        assert step in result.stdout
    assert f"--model {tmp_path / 'model'}" in result.stdout


def test_recovery_compares_the_posterior_with_the_truth(bench: Path, failed: Path):
    posterior, truth = storage.load(failed), read_truth(bench)
    test = Router(posterior, Encoder()).featurize(select_split(read_dataset(bench), "test"))
    found = demo.recovery(posterior, test, truth, np.random.default_rng(0))
    table = found.table.set_index("llm")
    expected = truth["p_correct"].sel(query=test["query"].values).mean("query").to_series()
    pd.testing.assert_series_equal(table["true"], expected, check_names=False, check_index_type=False)
    assert (table["lower"] <= table["mean"]).all()
    assert (table["mean"] <= table["upper"]).all()
    assert found.coverage == ((table["lower"] <= table["true"]) & (table["true"] <= table["upper"])).mean()
    assert -1 <= found.correlation <= 1


def test_an_interruption_ends_with_130(failed: Path, monkeypatch: pytest.MonkeyPatch):
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(storage, "load", interrupted)
    assert birt("info", "--model", failed).exit_code == 130


def test_a_fault_of_the_machine_is_one_line_and_exit_code_1(failed: Path, monkeypatch: pytest.MonkeyPatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(storage, "load", full)
    result = birt("info", "--model", failed)
    assert result.exit_code == 1
    assert result.stderr.splitlines() == ["error: [Errno 28] No space left on device"]


def test_an_unknown_option_exits_with_2():
    assert birt("route", "Why?", "--modell", "x").exit_code == 2


# Prices and differences


def test_prices_of_a_table_replace_those_of_the_fit(model: Path, bench: Path, tmp_path: Path):
    free, *others = names(bench)
    rows = ["llm,input_price,output_price,date", f"{free},0,0,2025-05", f"{others[0]},900,900,2025-06-01"]
    (tmp_path / "prices.csv").write_text("\n".join(rows), encoding="utf-8")
    arguments = ["route", "What is 2 + 2?", "--model", model, "--json", "--alpha", "0"]
    result = birt(*arguments, "--prices", tmp_path / "prices.csv")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["decisions"][0]["llm"] == free
    assert told["prices"]["dates"] == {free: "2025-05", others[0]: "2025-06-01"}
    assert f"no price of {', '.join(others[1:])}" in result.stderr
    assert "prices" not in json.loads(birt(*arguments).stdout)
    (tmp_path / "prices.csv").write_text("llm,input_price,output_price\nx,0,0\n", encoding="utf-8")
    (problem,) = errors(birt(*arguments, "--prices", tmp_path / "prices.csv"))
    assert "none of the model's LLMs" in problem


def test_diff_shows_tables_or_json(model: Path, failed: Path, tmp_path: Path):
    result = birt("diff", failed, model)
    assert result.exit_code == 0, result.output
    assert "LLMs in both models" in result.stdout
    result = birt("diff", failed, model, "--json", "--output", tmp_path / "diff.json")
    told = json.loads(result.stdout)
    assert json.loads((tmp_path / "diff.json").read_text(encoding="utf-8")) == told
    assert told["decisions"]["changed"] == []
    (problem,) = errors(birt("diff", failed, tmp_path / "nowhere"))
    assert "no model folder" in problem


def test_other_names_of_llms_are_understood_in_limits_and_prices(model: Path, tmp_path: Path):
    posterior = storage.load(model)
    llm = posterior.llm[0]
    storage.save(
        dataclasses.replace(posterior, record=posterior.record | {"aliases": {"org/Other-Name": llm}}),
        tmp_path / "m",
    )
    line = ["route", "Why?", "--model", tmp_path / "m", "--json", "--allow", "org/Other-Name"]
    (decision,) = json.loads(birt(*line).stdout)["decisions"]
    assert decision["llm"] == llm
    (tmp_path / "prices.csv").write_text("llm,input_price,output_price,date\norg/Other-Name,1,2,2025-01\n")
    told = json.loads(birt(*line, "--prices", tmp_path / "prices.csv").stdout)
    assert told["prices"]["dates"] == {llm: "2025-01"}


def test_choices_as_a_routerarena_prediction_file(model: Path, tmp_path: Path):
    rows = [
        {"global index": "ArcMMLU_7", "prompt": "What is 2 + 2?"},
        {"global index": "X_1", "prompt": "Why?"},
    ]
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    out = tmp_path / "predictions.json"
    result = birt("route", "--input", tmp_path / "p.jsonl", "--model", model, "--routerarena", out, "--json")
    chosen = [one["llm"] for one in json.loads(result.stdout)["decisions"]]
    records = json.loads(out.read_text(encoding="utf-8"))
    assert [record["prediction"] for record in records] == chosen
    assert [{name: record[name] for name in row} for record, row in zip(records, rows, strict=True)] == rows
    birt("route", "Why?", "How?", "--model", model, "--routerarena", out)
    assert [one["global index"] for one in json.loads(out.read_text(encoding="utf-8"))] == ["0", "1"]


def test_files_of_routerarena_go_in_and_come_out(model: Path, tmp_path: Path):
    bench = [
        {"global index": "A_7", "prompt_formatted": "What is 2 + 2?", "prompt": "raw"},
        {"global index": "X_1", "prompt": "Why?"},
    ]
    (tmp_path / "router_data.json").write_text(json.dumps(bench), encoding="utf-8")
    out, again = tmp_path / "predictions.json", tmp_path / "again.json"
    line = ["--model", model, "--json", "--routerarena"]
    assert birt("route", "--input", tmp_path / "router_data.json", *line, out).exit_code == 0
    records = json.loads(out.read_text(encoding="utf-8"))
    told = [("A_7", "What is 2 + 2?", False), ("X_1", "Why?", False)]
    assert [(one["global index"], one["prompt"], one["for_optimality"]) for one in records] == told
    out.write_text(json.dumps([*records, records[0] | {"for_optimality": True}]), encoding="utf-8")
    assert birt("route", "--input", out, *line, again).exit_code == 0
    assert json.loads(again.read_text(encoding="utf-8")) == records


# The NIRT


@pytest.fixture(scope="session")
def nirt(bench: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "nirt"
    table = folder.parent / "abilities.csv"
    table.write_text("ability,description\nsums,Add numbers.\nfacts,Who wrote it?\n", encoding="utf-8")
    options = ["--abilities", table, "--networks", "1", "--passes", "2", "--landmarks", "12"]
    result = birt("fit", "--kind", "nirt", "--data", bench, "--split", "train", "--output", folder, *options)
    assert result.exit_code == 0, result.output
    return folder


def test_a_nirt_is_fitted_told_and_routed_with(nirt: Path):
    assert json.loads((nirt / "model.json").read_text(encoding="utf-8"))["kind"] == "nirt"
    assert not (nirt.parent / "nirt.training.npz").exists()  # what an interrupted training goes on from
    told = json.loads(birt("info", "--model", nirt, "--json").stdout)
    assert {row["ability"] for row in told["abilities"]} == {"sums", "facts"}
    result = birt("route", "What is 17 * 23?", "--model", nirt, "--json")
    (decision,) = json.loads(result.stdout)["decisions"]
    assert len(decision["candidates"]) == 6


@pytest.mark.parametrize(
    ("kind", "option", "value"),
    [
        ("nirt", "--traits", "2"),
        ("nirt", "--draws", "9"),
        ("mirt", "--passes", "3"),
        ("mirt", "--step-size", "0.1"),
    ],
)
def test_options_of_the_other_sort_of_model_are_refused(
    bench: Path, tmp_path: Path, kind: str, option: str, value: str
):
    result = birt("fit", "--kind", kind, "--data", bench, "--output", tmp_path / "m", option, value)
    assert errors(result) == [f"{option} means nothing with --kind {kind}; leave it out."]


@pytest.fixture
def short_nirt(bench: Path, nirt: Path, tmp_path: Path) -> list[str | Path]:
    """Arguments of a fit in a second or so; its abilities are `sums` and `facts`."""
    table = nirt.parent / "abilities.csv"
    given = ["--abilities", table, "--networks", "1", "--passes", "2", "--landmarks", "12"]
    return ["fit", "--kind", "nirt", "--data", bench, "--split", "train", "--output", tmp_path / "m", *given]


def errors_after_training(result: Result) -> list[str]:
    """The same of a call that failed when it had shown its progress."""
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    lines = result.stderr.splitlines()
    return [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]


def test_passes_are_the_most_there_are(nirt: Path):
    told = json.loads(birt("info", "--model", nirt, "--json").stdout)
    assert [row["pass"] for row in told["training"]] == [1, 2]
    assert told["sampler"]["passes"] == 2


def test_what_stands_in_the_place_of_a_checkpoint_is_kept(tmp_path: Path, short_nirt: list[str | Path]):
    place = tmp_path / "m.training.npz"
    place.write_text("measurements of a month", encoding="utf-8")
    (problem,) = errors(birt(*short_nirt))
    assert "m.training.npz is not a checkpoint" in problem
    assert place.read_text(encoding="utf-8") == "measurements of a month"
    place.unlink()
    place.mkdir()
    (problem,) = errors(birt(*short_nirt))
    assert "is a folder" in problem
    assert not (tmp_path / "m").exists()


def test_a_training_whose_model_was_not_saved_is_kept(
    tmp_path: Path, short_nirt: list[str | Path], monkeypatch: pytest.MonkeyPatch
):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr("bayes_irt_router.inference.storage.save", full)
        (problem,) = errors_after_training(birt(*short_nirt))
    assert "repeat the command" in problem
    assert (tmp_path / "m.training.npz").exists()
    (problem,) = errors(birt(*short_nirt, "--seed", "7"))
    assert "other data, settings or seed" in problem
    assert birt(*short_nirt).exit_code == 0
    assert not (tmp_path / "m.training.npz").exists()


def test_relevance_comes_from_a_table(bench: Path, tmp_path: Path, short_nirt: list[str | Path]):
    table = tmp_path / "relevance.csv"
    table.write_text("query_id,ability\nnobody,sums\nnobody,prose\n", encoding="utf-8")
    problems = errors(birt(*short_nirt, "--relevance", table, "--networks", "0", "--step-size", "0"))
    assert [part for part in ("'prose'", "networks", "step_size") if part in " ".join(problems)] == [
        "'prose'",
        "networks",
        "step_size",
    ]
    ids = pd.read_parquet(next(bench.glob("queries.parquet")))["query_id"]
    lines = [f"{name},{'sums' if k % 2 else 'facts'}" for k, name in enumerate(ids)]
    table.write_text("\n".join(["query_id,ability", *lines]) + "\n", encoding="utf-8")
    result = birt(*short_nirt, "--relevance", table)
    assert result.exit_code == 0, result.output
    assert "in 2 clusters" in result.stderr


def test_the_step_size_of_a_training_that_diverges_can_be_changed(short_nirt: list[str | Path]):
    (problem,) = errors_after_training(birt(*short_nirt, "--passes", "40", "--step-size", "1e9"))
    assert "--step-size" in problem
