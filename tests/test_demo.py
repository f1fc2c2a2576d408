"""The demo as `make demo` runs it; `test_cli.py` runs its steps around a fit that is already there."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from bayes_irt_router.demo import run_demo
from bayes_irt_router.inference.storage import load


@pytest.mark.slow
def test_the_demo_converges_and_finds_the_truth(tmp_path: Path):
    console = Console(file=io.StringIO(), width=120)
    found = run_demo(tmp_path, seed=0, queries=600, console=console)
    model = load(tmp_path / "model")
    assert model.gate.passed, model.gate.verdict
    assert np.corrcoef(found.table["true"], found.table["mean"])[0, 1] > 0.95
    assert found.ability_correlation > 0.8
    # Seeds 0, 1, 2 gave 0.78 to 0.82. Knowing only how good each LLM is gives 0.6; knowing all that the text decides, 0.92.
    assert found.correlation > 0.7
    # With 20 intervals of 89 %, were they independent, fewer than 13 hold the truth once in 2,000 demos.
    assert found.coverage >= 13 / 20
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "data",
        "evaluation.json",
        "model",
        "routes.json",
    ]
    evaluation = json.loads((tmp_path / "evaluation.json").read_text(encoding="utf-8"))
    assert evaluation["prediction"]["model"]["auc"] > 0.7
