"""The demo: a tiny one that must run through, and the real one that must be right."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from bayes_irt_router.data.simulation import simulate, write_simulation
from bayes_irt_router.demo import run_demo
from bayes_irt_router.inference.nuts import NUTS
from bayes_irt_router.inference.posterior import Posterior
from bayes_irt_router.inference.storage import load, save

WRITTEN = ["data", "evaluation.json", "model", "routes.json"]


def test_a_demo_replaces_an_earlier_one_and_nothing_else(tmp_path: Path, small_fit: Posterior):
    write_simulation(simulate(np.random.default_rng(9), queries=32, llms=4), tmp_path / "data")
    save(small_fit, tmp_path / "model")
    (tmp_path / "routes.json").write_text("old", encoding="utf-8")
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    console = Console(file=io.StringIO(), width=120)
    sampler = NUTS(draws=20, tune=20, chains=2, max_tree_depth=4)

    found = run_demo(tmp_path, seed=0, queries=64, console=console, sampler=sampler)

    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*WRITTEN, "notes.txt"])
    model = load(tmp_path / "model")
    assert model.record["data"]["llms"] == 20
    assert (found.table["lower"] <= found.table["upper"]).all()
    assert set(found.table["llm"]) == set(model.llm)
    assert len(json.loads((tmp_path / "routes.json").read_text(encoding="utf-8"))["decisions"]) == 4
    assert "model" in json.loads((tmp_path / "evaluation.json").read_text(encoding="utf-8"))["prediction"]
    shown = console.file.getvalue()
    for step in ("1. Simulated", "2. Convergence", "3. Posterior and truth", "4. Prediction", "5. Routes"):
        assert step in shown
    assert f"--model {tmp_path / 'model'}" in shown.replace("\n", "")


@pytest.mark.slow
def test_the_demo_converges_and_finds_the_truth(tmp_path: Path):
    console = Console(file=io.StringIO(), width=120)
    found = run_demo(tmp_path, seed=0, queries=600, console=console)
    model = load(tmp_path / "model")
    assert model.gate.passed, model.gate.verdict
    assert found.correlation > 0.8
    assert found.ability_correlation > 0.8
    # With 20 intervals of 89 %, were they independent, fewer than 13 hold the truth once in 2,000 demos.
    assert found.coverage >= 13 / 20
    assert sorted(path.name for path in tmp_path.iterdir()) == WRITTEN
    evaluation = json.loads((tmp_path / "evaluation.json").read_text(encoding="utf-8"))
    assert evaluation["prediction"]["model"]["auc"] > 0.7
