"""`birt calibrate` as a person meets it."""

import json
import shlex
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from click.testing import Result
from typer.testing import CliRunner

from bayes_irt_router.cli import app
from bayes_irt_router.cli.calibrate import journal_path
from bayes_irt_router.inference.storage import CALIBRATION, load, save

ASK = """
import json, sys
asked = json.load(sys.stdin)
assert set(asked) == {"schema_version", "llm", "query_id", "task", "text"}
if len(sys.argv) > 1 and len(open(sys.argv[1]).read()) >= 3:
    sys.exit("no more credit")
if len(sys.argv) > 1:
    open(sys.argv[1], "a").write("x")
json.dump({"score": len(asked["text"]) % 2, "output_tokens": 20}, sys.stdout)
"""


def birt(*arguments: object, stdin: str | None = None) -> Result:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], input=stdin)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def errors(result: Result) -> str:
    assert result.exit_code == 2, result.output
    return "\n".join(line for line in result.stderr.splitlines() if line.startswith("error: "))


@pytest.fixture(scope="module")
def model(small_fit, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "model"
    save(replace(small_fit, gate=replace(small_fit.gate, complaints=())), folder)
    return folder


@pytest.fixture
def command(tmp_path: Path) -> str:
    (tmp_path / "ask.py").write_text(ASK, encoding="utf-8")
    return shlex.join([sys.executable, str(tmp_path / "ask.py")])


def calibrate(model: Path, *arguments: object, stdin: str | None = None) -> Result:
    return birt("calibrate", "--model", model, "--llm", "fresh", *arguments, stdin=stdin)


def test_answers_from_a_file_make_a_model_with_one_more_llm(model: Path, small_fit, tmp_path: Path):
    names = [str(name) for name in small_fit.draws["query"].values[:10]]
    rows = [
        {"query_id": n, "llm": llm, "score": i % 2} for i, n in enumerate(names) for llm in ("fresh", "other")
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "answers.csv", index=False)
    info = {"family": "f", "input_price_per_million": 1, "output_price_per_million": 2}
    (tmp_path / "info.json").write_text(json.dumps(info), encoding="utf-8")
    output = tmp_path / "out"
    given = ["--answers", tmp_path / "answers.csv", "--llm-info", tmp_path / "info.json", "--output", output]
    result = calibrate(model, *given, "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert (told["schema_version"], told["placement"]["answers"], told["placement"]["mode"]) == (
        1,
        10,
        "joint",
    )
    assert json.loads((output / CALIBRATION).read_text(encoding="utf-8")) == told
    again = load(output)
    assert again.llm == [*small_fit.llm, "fresh"]
    assert birt("info", "--model", output).exit_code == 0
    updated = calibrate(output, *given[:-1], tmp_path / "updated", "--json")
    assert "the posterior of fresh" in json.loads(updated.stdout)["placement"]["prior"]
    assert load(tmp_path / "updated").llm == again.llm


def test_a_program_is_asked_and_a_failed_run_goes_on(model: Path, command: str, tmp_path: Path):
    output, credit = tmp_path / "out", tmp_path / "credit.txt"
    credit.write_text("", encoding="utf-8")
    stops = ["--command", f"{command} {shlex.quote(str(credit))}", "--output", output, "--budget", 5]
    assert "no more credit" in errors(calibrate(model, *stops))
    journal = journal_path(output)
    assert len(journal.read_text(encoding="utf-8").splitlines()) == 1 + 3
    assert not output.exists()
    credit.write_text("", encoding="utf-8")
    result = calibrate(model, *stops)
    assert result.exit_code == 0, result.output
    assert "3 answers are in" in result.stderr
    assert "interval" in result.stderr
    whole = calibrate(model, "--command", command, "--output", tmp_path / "whole", "--budget", 5)
    assert whole.exit_code == 0
    assert journal.read_text("utf-8") == journal_path(tmp_path / "whole").read_text("utf-8")
    assert (output / CALIBRATION).read_text("utf-8") == (tmp_path / "whole" / CALIBRATION).read_text("utf-8")


def test_the_model_that_is_read_is_never_the_one_that_is_written(model: Path, command: str, tmp_path: Path):
    """Else the answers of the journal, which the model has taken, would be taken again by the same line."""
    (tmp_path / "link").symlink_to(model)
    for output in (model, model / ".." / model.name, tmp_path / "link"):
        assert "would be lost" in errors(
            calibrate(model, "--command", command, "--budget", 2, "--output", output)
        )
    first = calibrate(model, "--command", command, "--budget", 2, "--output", tmp_path / "one")
    assert first.exit_code == 0
    journal = journal_path(tmp_path / "one").read_text("utf-8")
    journal_path(tmp_path / "two").write_text(journal, encoding="utf-8")
    again = calibrate(tmp_path / "one", "--command", command, "--budget", 2, "--output", tmp_path / "two")
    assert "another LLM, or of the model" in errors(again)
    assert journal_path(tmp_path / "two").read_text("utf-8") == journal


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ('print(\'{"score": 1, "trials": Infinity}\')', "trials"),
        ('print(\'{"score": 1, "trials": 1.7}\')', "trials"),
        ("print('{\"score\": 1' + '0' * 400 + '}')", "cannot be used"),
        ("print('[' * 100000)", "cannot be used"),
        ("import sys; sys.stdout.buffer.write(b'\\xff{')", "cannot be used"),
        ("import sys; sys.stderr.buffer.write(b'caf\\xe9'); sys.exit(3)", "exit code 3: caf"),
    ],
)
def test_what_a_program_says_wrongly_is_told(model: Path, program: str, expected: str, tmp_path: Path):
    line = shlex.join([sys.executable, "-c", program])
    assert expected in errors(calibrate(model, "--command", line, "--output", tmp_path / "o", "--budget", 1))


def test_a_program_skips_what_it_cannot_answer(model: Path, tmp_path: Path):
    program = (
        "import json, sys; asked = json.load(sys.stdin); "
        "print(json.dumps({'score': None if len(asked['text']) % 3 == 0 else 1}))"
    )
    line = shlex.join([sys.executable, "-c", program])
    result = calibrate(model, "--command", line, "--output", tmp_path / "o", "--budget", 6)
    assert result.exit_code == 0, result.output
    lines = [json.loads(one) for one in journal_path(tmp_path / "o").read_text("utf-8").splitlines()[1:]]
    assert [len(one) for one in lines if "skipped" in one]
    assert sum("score" in one for one in lines) == 6


def test_a_journal_is_a_file_of_answers(model: Path, command: str, tmp_path: Path):
    """What was paid for is good for any later model of the LLM."""
    first = calibrate(model, "--command", command, "--budget", 4, "--output", tmp_path / "one")
    assert first.exit_code == 0, first.output
    journal = journal_path(tmp_path / "one")
    again = calibrate(model, "--answers", journal, "--output", tmp_path / "two", "--json")
    assert again.exit_code == 0, again.output
    assert json.loads(again.stdout)["placement"]["answers"] == 4
    other = birt(
        "calibrate", "--model", model, "--llm", "x", "--answers", journal, "--output", tmp_path / "three"
    )
    assert "journal of 4 answers of 'fresh'" in errors(other)


def test_what_a_program_says_on_standard_error_costs_no_answer(model: Path, tmp_path: Path):
    program = "import sys; sys.stderr.buffer.write(b'caf\\xe9'); print('{\"score\": 1, \"trials\": 2.0}')"
    line = shlex.join([sys.executable, "-c", program])
    result = calibrate(model, "--command", line, "--output", tmp_path / "o", "--budget", 1, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["placement"]["trials"] == 2


def test_a_person_is_asked(model: Path, tmp_path: Path):
    output = tmp_path / "out"
    result = calibrate(model, "--interactive", "--output", output, stdin="1\nmaybe\n0.5\ns\nq\n")
    assert result.exit_code == 0, result.output
    assert "'maybe' is not a score" in result.stderr
    lines = [json.loads(line) for line in journal_path(output).read_text("utf-8").splitlines()]
    assert [line.get("score") for line in lines[1:]] == [1.0, 0.5, None]
    assert "there were no more answers" in " ".join(result.stdout.split())


def test_without_an_answer_the_prior_is_kept(model: Path, small_fit, tmp_path: Path):
    output = tmp_path / "out"
    result = calibrate(model, "--interactive", "--budget", 0, "--output", output, "--json", stdin="")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert (told["placement"]["mode"], told["placement"]["answers"]) == ("prior", 0)
    assert told["accuracy"] == told["accuracy_before"]
    assert load(output).llm == [*small_fit.llm, "fresh"]


def test_a_plan_asks_nothing_and_says_what_to_expect(model: Path, tmp_path: Path):
    result = calibrate(model, "--plan", "10", "--json")
    told = json.loads(result.stdout)
    assert len({query["query_id"] for query in told["queries"]}) == 10
    assert [row["answers"] for row in told["expected"]] == [0, 10, 20]
    assert told["expected"][1]["sd"] < told["expected"][0]["sd"]
    assert "expected 89% interval" in calibrate(model, "--plan", "2").stdout


def test_texts_and_new_queries_come_from_a_file(small_fit, bank, tmp_path: Path):
    bare = tmp_path / "bare"
    record = {**small_fit.record, "encoder": {"name": "none", "revision": "none"}}
    save(replace(small_fit, texts=None, record=record), bare)
    stops = ["--interactive", "--output", tmp_path / "out", "--budget", 1]
    assert "--queries FILE" in errors(calibrate(bare, *stops))
    texts = pd.DataFrame(
        {"query_id": small_fit.draws["query"].values[:4].astype(str), "text": small_fit.texts[:4]}
    )
    texts.to_csv(tmp_path / "queries.csv", index=False)
    result = calibrate(bare, *stops, "--queries", tmp_path / "queries.csv", stdin="1\n")
    assert result.exit_code == 0, result.output
    texts.assign(text="another text").to_csv(tmp_path / "wrong.csv", index=False)
    assert "another text" in errors(calibrate(bare, *stops, "--queries", tmp_path / "wrong.csv"))


def test_a_model_that_ships_places_an_llm_by_queries_of_ones_own(tmp_path: Path):
    shipped, queries, count = Path(__file__).parents[2] / "models" / "zeroeval", tmp_path / "queries.csv", 16
    table = pd.DataFrame(
        {
            "query_id": [f"own-{i}" for i in range(count)],
            "text": [f"Anna has {i + 2} baskets of {3 * i + 4} plums. How many plums?" for i in range(count)],
            "task": ["plums" if i % 2 else "baskets" for i in range(count)],
        }
    )
    table.to_csv(queries, index=False)
    told = {}
    for name, score in (("right", 1.0), ("wrong", 0.0)):
        answers = tmp_path / f"{name}.csv"
        pd.DataFrame({"query_id": table["query_id"][:8], "score": score}).to_csv(answers, index=False)
        given = ("--answers", answers, "--output", tmp_path / name)
        assert "fitted queries" in errors(calibrate(shipped, *given))
        result = calibrate(shipped, "--queries", queries, *given, "--json")
        assert result.exit_code == 0, result.output
        told[name] = json.loads(result.stdout)
    before = told["right"]["accuracy_before"]["overall"]["mean"]
    wrong, right = (told[name]["accuracy"]["overall"]["mean"] for name in ("wrong", "right"))
    assert wrong < before < right
    assert set(told["right"]["accuracy"]["tasks"]) == {"plums", "baskets"}
    assert "fresh" in load(tmp_path / "right").llm
    plan = calibrate(shipped, "--queries", queries, "--plan", 5, "--json")
    assert plan.exit_code == 0, plan.output
    assert len(json.loads(plan.stdout)["queries"]) == 5


def test_all_that_is_wrong_with_the_options_is_said_at_once_before_the_model_is_read(tmp_path: Path):
    told = errors(
        calibrate(
            tmp_path / "no-model",
            *("--interactive", "--target", "fame", "--selector", "best", "--level", "2", "--alpha", "-1"),
        )
    )
    for expected in ("--output DIR", "no target 'fame'", "no selector 'best'", "level is", "alpha is"):
        assert expected in told


def test_a_program_without_a_limit_is_warned_of(model: Path, command: str, tmp_path: Path):
    credit = tmp_path / "credit.txt"
    credit.write_text("xx", encoding="utf-8")
    stops = ["--command", f"{command} {shlex.quote(str(credit))}", "--output", tmp_path / "out"]
    assert "warning: No limit is given, so 48 queries will be asked" in calibrate(model, *stops).stderr
    assert "No limit" not in calibrate(model, *stops, "--budget", 1).stderr


def test_an_answer_to_a_fitted_text_under_another_name_counts(model: Path, small_fit, tmp_path: Path):
    name, text = str(small_fit.draws["query"].values[0]), small_fit.texts[0]
    pd.DataFrame({"query_id": ["mine"], "text": [text]}).to_csv(tmp_path / "queries.csv", index=False)
    found = []
    for asked in ("mine", name):
        path = tmp_path / f"{asked}.csv"
        pd.DataFrame({"query_id": [asked], "score": [1]}).to_csv(path, index=False)
        options = ["--queries", tmp_path / "queries.csv", "--output", tmp_path / f"out-{asked}", "--json"]
        result = calibrate(model, "--answers", path, *options)
        assert result.exit_code == 0, result.output
        found.append(json.loads(result.stdout))
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--output", "o"], "where answers come from"),
        (["--interactive"], "--output DIR"),
        (["--interactive", "--command", "x", "--output", "o"], "choose one of them"),
        (["--plan", "3", "--interactive"], "asks nothing"),
        (["--interactive", "--output", "o", "--target", "fame"], "no target"),
        (["--interactive", "--output", "o", "--selector", "best"], "no selector"),
        (["--interactive", "--output", "o", "--level", "2"], "level is"),
        (["--interactive", "--output", "o", "--widening", "1"], "--predecessor"),
        (["--interactive", "--output", "o", "--predecessor", "nobody"], "does not know"),
        (["--interactive", "--output", "o", "--budget-usd", "1"], "--budget-usd needs"),
        (["--interactive", "--output", "o", "--target", "regret"], "prices"),
        (["--interactive", "--output", "o", "--target-sd", "-1"], "target_sd"),
        (["--interactive", "--output", "o", "--target", "task:none"], "no task 'none'"),
        (["--interactive", "--output", "o", "--target", "regret", "--target-sd", "1"], "--target-regret"),
        (["--interactive", "--output", "o", "--alpha", "2"], "alpha is 2"),
        (
            ["--answers", "sound.csv", "--output", "o", "--budget", "1", "--target-sd", "1"],
            "--budget and --target-sd",
        ),
        (["--answers", "empty.csv", "--output", "o"], "empty.csv"),
        (["--plan", "3", "--target-regret", "0.1"], "--target-regret"),
        (["--command", "'", "--output", "o"], "quotation marks"),
        (["--command", "no-such-program-here", "--output", "o"], "cannot be started"),
        (["--command", f"{shlex.quote(sys.executable)} -c 'print(3)'", "--output", "o"], "cannot be used"),
        (["--answers", "missing.csv", "--output", "o"], "missing.csv does not exist"),
        (["--answers", "bad.csv", "--output", "o"], "outside [0, 1]"),
        (["--answers", "unknown.csv", "--output", "o"], "does not know the queries"),
        (["--answers", "other.csv", "--output", "o"], "no answer of 'fresh'"),
        (["--plan", "2", "--llm-info", "list.json"], "not a JSON object"),
        (["--plan", "2", "--llm-info", "price.json"], "is negative"),
    ],
)
def test_what_is_wrong_is_said_and_no_model_is_written(
    model: Path, arguments: list[str], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    Path("sound.csv").write_text("query_id,score\nsim-00000,1\n", encoding="utf-8")
    Path("empty.csv").write_text("query_id,score\n", encoding="utf-8")
    Path("bad.csv").write_text("query_id,score\nsim-00000,3\n", encoding="utf-8")
    Path("unknown.csv").write_text("query_id,score\nnowhere,1\n", encoding="utf-8")
    Path("other.csv").write_text("query_id,score,llm\nsim-00000,1,x\n", encoding="utf-8")
    Path("list.json").write_text("[]", encoding="utf-8")
    Path("price.json").write_text('{"input_price_per_million": -1}', encoding="utf-8")
    assert expected in errors(calibrate(model, *arguments, stdin=""))
    assert not Path("o").exists()
