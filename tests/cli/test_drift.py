"""`birt drift` as a person meets it."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import Result
from typer.testing import CliRunner

from bayes_irt_router.calibration.answers import Answer
from bayes_irt_router.calibration.drift import check_drift
from bayes_irt_router.calibration.items import ItemBank
from bayes_irt_router.cli import app
from bayes_irt_router.inference.storage import save


def birt(*arguments: object) -> Result:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.fixture(scope="module")
def model(small_fit, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "my model"
    save(replace(small_fit, gate=replace(small_fit.gate, complaints=())), folder)
    return folder


@pytest.fixture(scope="module")
def scores(small_fit) -> dict[str, list[float]]:
    """Of each LLM: the likelier answer to every query, and the unlikelier one."""
    draws = small_fit.draws
    logit = (draws["discrimination"] * draws["ability"]).sum("trait") - draws["difficulty"]
    right = (logit.mean(("chain", "draw")) > 0).transpose("llm", "query").values.astype(float)
    return {llm: row.tolist() for llm, row in zip(small_fit.llm, right, strict=True)}


def table(path: Path, small_fit, scores: list[float], llm: str) -> Path:
    queries = small_fit.draws["query"].values.astype(str)
    pd.DataFrame({"query_id": queries, "llm": llm, "score": scores}).to_csv(path, index=False)
    return path


def test_an_llm_that_answers_as_before_and_one_that_does_not(model, small_fit, scores, tmp_path):
    llm = small_fit.llm[0]
    same = table(tmp_path / "same.csv", small_fit, scores[llm], llm)
    result = birt("drift", "--model", model, "--llm", llm, "--answers", same)
    assert result.exit_code == 0, result.output
    assert f"{llm} shows no change" in result.stdout
    assert "calibrate" not in result.stdout
    changed = table(tmp_path / "changed.csv", small_fit, [1 - score for score in scores[llm]], llm)
    result = birt("drift", "--model", model, "--llm", llm, "--answers", changed)
    assert f"{llm} has changed" in result.stdout
    assert f"birt calibrate --model '{model}' --llm {llm} --answers {changed} --output DIR" in result.stdout
    texts = tmp_path / "texts.csv"
    pd.DataFrame({"query_id": ["mine"], "text": [small_fit.texts[0]]}).to_csv(texts, index=False)
    result = birt("drift", "--model", model, "--llm", llm, "--answers", changed, "--queries", texts)
    assert f"--answers {changed} --queries {texts} --output DIR" in result.stdout


def test_the_json_is_what_python_finds(model, small_fit, scores, tmp_path):
    llm = small_fit.llm[1]
    path = table(tmp_path / "answers.csv", small_fit, scores[llm], llm)
    options = ["--seed", "3", "--false-alarms", "0.05", "--output", tmp_path / "drift.json", "--json"]
    result = birt("drift", "--model", model, "--llm", llm, "--answers", path, *options)
    told = json.loads(result.stdout)
    assert json.loads((tmp_path / "drift.json").read_text(encoding="utf-8")) == told
    queries = small_fit.draws["query"].values.astype(str)
    given = [Answer(query, score) for query, score in zip(queries, scores[llm], strict=True)]
    found = check_drift(
        ItemBank.of(small_fit), llm, given, np.random.default_rng(3), false_alarms=0.05
    ).to_dict()
    assert told.keys() == found.keys()
    assert told["log_bayes_factor"] == pytest.approx(found["log_bayes_factor"], abs=1e-6)
    assert (told["answers"], told["false_alarms"], told["schema_version"]) == (48, 0.05, 1)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], ["No LLM is named", "no answers to check"]),
        (["--llm", "nobody", "--answers", "plain.csv"], ["does not know"]),
        (["--llm", "KNOWN", "--answers", "missing.csv"], ["missing.csv does not exist"]),
        (["--llm", "KNOWN", "--answers", "plain.csv", "--false-alarms", "1"], ["false alarms"]),
        (["--llm", "KNOWN", "--answers", "new.csv"], ["does not know the queries"]),
    ],
)
def test_what_is_wrong_is_said(model, small_fit, arguments, expected, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("plain.csv").write_text("query_id,score\nsim-00000,1\n", encoding="utf-8")
    Path("new.csv").write_text("query_id,score\nnowhere,1\n", encoding="utf-8")
    arguments = [small_fit.llm[0] if argument == "KNOWN" else argument for argument in arguments]
    result = birt("drift", "--model", model, *arguments)
    assert result.exit_code == 2, result.output
    assert all(problem in result.stderr for problem in expected)
