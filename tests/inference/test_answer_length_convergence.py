"""What is said of the answer-length model's chains."""

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from bayes_irt_router.inference.answer_length_convergence import (
    AnswerLengthConvergence,
    answer_length_convergence,
    largest_r_hat_and_smallest_ess,
)
from bayes_irt_router.inference.posterior import ANSWER_LENGTH
from bayes_irt_router.report.model_summary import model_json


def chains(apart=0.0):
    rng = np.random.default_rng(0)
    drawn = {
        "intercept": rng.standard_normal((2, 200, 3)),
        "noise_sd": rng.standard_normal((2, 200, 3)),
        "residual_sd": rng.standard_normal((2, 200)),
    }
    drawn["noise_sd"][1, :, 2] += apart  # one parameter of one LLM
    return drawn


def test_one_parameter_whose_chains_disagree_is_enough():
    good, bad = largest_r_hat_and_smallest_ess(chains()), largest_r_hat_and_smallest_ess(chains(apart=3.0))
    assert AnswerLengthConvergence(*good, 400).passed
    assert good[1] > 100
    told = AnswerLengthConvergence(*bad, 400)
    assert not told.passed
    assert bad[1] < 20
    assert "NOT converged" in told.verdict
    assert f"{bad[0]:.3f}" in told.verdict


def test_a_fitted_model_tells_and_so_does_one_without_the_numbers(small_fit):
    told = answer_length_convergence(small_fit)
    lengths = small_fit.answer_length
    assert told == AnswerLengthConvergence(
        float(lengths["r_hat"]), float(lengths["ess"]), lengths.sizes["draw"]
    )
    content = model_json(small_fit)["answer_length"]
    assert content["r_hat"] == pytest.approx(told.r_hat)
    assert content["ess"] == pytest.approx(told.ess)
    assert content["verdict"] == told.verdict

    groups = {name: node.to_dataset() for name, node in small_fit.tree.children.items()}
    groups[ANSWER_LENGTH] = lengths.drop_vars(["r_hat", "ess"])
    older = replace(small_fit, tree=xr.DataTree.from_dict(groups))
    assert "unknown" in answer_length_convergence(older).verdict
    del groups[ANSWER_LENGTH]
    assert answer_length_convergence(replace(small_fit, tree=xr.DataTree.from_dict(groups))) is None
