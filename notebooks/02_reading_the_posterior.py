# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 2. Reading the posterior
#
# A posterior is a large table of draws. This notebook shows how to tell whether the draws are good, what the parameters mean and what they do
# not mean, and what the model has learned about LLMs and questions. It opens the model that notebook 1 saved, so run that one first.
#
# If you know PyMC: the model is an ordinary `pm.Model`, the draws are an ordinary `xarray.DataTree` with ArviZ's groups. If you do not:
# each parameter is represented by a thousand plausible values, and everything else is averaging over these.

# %%
# %matplotlib inline
from pathlib import Path

import numpy as np

from bayes_irt_router.data.simulation import read_truth
from bayes_irt_router.inference.storage import load

TUTORIAL = Path("../runs/tutorial")
posterior = load(TUTORIAL / "model")
draws = posterior.draws
print(dict(draws.sizes))
list(draws.data_vars)

# %% [markdown]
# ## Are the draws good?
#
# Four chains started at different places. If each has found the whole posterior, they agree. The gate measures that on quantities that matter:
# predicted cells, every LLM's mean, the hyperparameters, and products of loadings that do not depend on coordinates.

# %%
print(posterior.gate.verdict)
posterior.gate.summary().round(3)

# %% [markdown]
# *r-hat* compares the spread between chains with that within them; 1.01 is the limit. *ESS*, the effective sample size, says how many independent
# draws they are worth; 400 is the least.
#
# How can 1,000 draws be worth more than 1,000? The gate judged all that were sampled, four chains of 1,400 in notebook 1, before the posterior was
# thinned. Of these the file keeps 1,000, evenly spaced: neighbours in a chain resemble each other, so little is lost, and predictions are quicker. Where
# the ESS is below 1,000 the kept draws are worth about as much as all; where it is above they are worth at most 1,000, and the mean of a quantity
# is still known to about $1 / \sqrt{1000}$, 3 %, of its posterior SD.
#
# The means over LLMs and the predicted cells mix easily. The SDs of residuals are slowest: they
# are informed only indirectly.
#
# The same as a picture. Each line is a chain; where all stay near zero, no chain dwells in a region of its own.

# %%
from bayes_irt_router.report.plots.rank_plots import rank_plots

rank_plots(posterior)

# %% [markdown]
# ## What did the data teach?
#
# Dashed: what was believed before. Filled: what is believed now. Where the two look alike, the data said little, and you should know why you
# chose that prior.

# %%
from bayes_irt_router.report.plots.prior_and_posterior import prior_and_posterior

prior_and_posterior(posterior)

# %% [markdown]
# ## Identification: what the numbers can mean
#
# The likelihood sees abilities and discriminations only as the product $\mathbf{a}_i^\top \boldsymbol\theta_j$. Turn all abilities by an orthogonal
# matrix, turn the discriminations by the same one, and every prediction is what it was:

# %%
from bayes_irt_router.irt.response import p_correct

one = draws.isel(chain=0, draw=0)
ability, discrimination = one["ability"].values, one["discrimination"].values
angle = np.pi / 5
turn = np.eye(3)
turn[1:, 1:] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
before = p_correct(ability, discrimination, one["difficulty"].values)
after = p_correct(ability @ turn, discrimination @ turn, one["difficulty"].values)
print(f"Largest change of a prediction: {np.abs(before - after).max():.1e}")
print(f"Largest change of an ability:   {np.abs(ability - ability @ turn).max():.1f} SDs")

# %% [markdown]
# So a "trait" has no meaning until somebody fixes the coordinates. Here it is done by construction. In every draw the fitted LLMs have mean
# ability 0, SD 1, and no correlation between traits:

# %%
theta = draws["ability"].transpose("chain", "draw", "llm", "trait").values
print("mean:       ", np.abs(theta.mean(axis=2)).max().round(5), "at most, in any draw")
print("SD:         ", theta.std(axis=2).min().round(4), "to", theta.std(axis=2).max().round(4))
print("correlation:", np.abs((theta[..., 0] * theta[..., 1]).mean(axis=2)).max().round(5), "at most")

# %% [markdown]
# Only the first, general trait has a positive mean discrimination: being better at it helps nearly everywhere. The specific traits are
# contrasts; nothing tells their rotations apart, so after sampling each draw is turned to agree with the mean of all draws.
#
# Two rules follow. An ability of 1.5 means "1.5 standard deviations above the mean *of these LLMs*". And abilities of two fits must not be
# compared; predictions may.
#
# ## The LLMs
#
# The truth of these simulated LLMs is known. On the general trait, in the same units:

# %%
from bayes_irt_router.report.plots.intervals import COLOURS, new_figure

true = read_truth(TUTORIAL / "data")["ability"].sel(llm=posterior.llm).isel(trait=0).values
true = (true - true.mean()) / true.std()
general = theta[..., 0].reshape(-1, theta.shape[2])
lower, upper = np.quantile(general, [0.055, 0.945], axis=0)

figure = new_figure(6, 4.6)
axes = figure.subplots()
axes.plot([-2.5, 2.5], [-2.5, 2.5], color="0.7", linewidth=0.9)
specialist = np.isin(posterior.llm, ["tarnwick-2-coder-7b", "quindle-lexicon"])
for number, (which, label) in enumerate(
    [(~specialist, "generalists"), (specialist, "specialists (code, knowledge)")]
):
    axes.vlines(true[which], lower[which], upper[which], color=COLOURS[number])
    axes.plot(true[which], general.mean(axis=0)[which], "oD"[number], color=COLOURS[number], label=label)
axes.legend(frameon=False, fontsize=8)
axes.set_xlabel("true general ability, SDs of these LLMs")
axes.set_ylabel("posterior, SDs of these LLMs")
axes.set_title("General ability: posterior mean and 89 % equal-tailed interval", fontsize=9)
figure

# %% [markdown]
# The order of the generalists is found, as far as the intervals say. The two specialists, the diamonds, are above the line. That is no failure
# of the fit: in the simulation their strength sits on a trait of its own, for code or for knowledge; the model books a part of it on the general trait,
# because being good at it helped in several tasks. Coordinates again. Predictions do not care.
#
# ## What a trait means
#
# A trait is what loads on it. Each dot is a fitted question: how hard it is, and how strongly it tells LLMs apart on each trait.

# %%
from bayes_irt_router.report.plots.discrimination_map import discrimination_map

discrimination_map(posterior)

# %% [markdown]
# The mean loading by task says the same in numbers. Read a specific trait as the contrast between the tasks with the highest and the lowest
# loadings, and give it a name only then.

# %%
loading = (
    draws["discrimination"]
    .mean(("chain", "draw"))
    .assign_coords(task=("query", posterior.tree["queries"]["task"].values))
)
loading.groupby("task").mean().transpose("task", "trait").to_pandas().round(2)

# %% [markdown]
# ## The questions
#
# An item characteristic curve shows how the chance of a right answer rises with the general ability. Steep curves tell LLMs apart near their
# middle; flat ones hardly do. Dots are the LLMs themselves: those far off the curve owe it to a specific trait.

# %%
from bayes_irt_router.report.plots.item_characteristic_curves import item_characteristic_curves

item_characteristic_curves(posterior)

# %% [markdown]
# What makes a question hard? Difficulty is regressed on what can be read off the text. Features that go together share their effect, so single
# intervals may be wide where the sum is known well.

# %%
from bayes_irt_router.report.plots.difficulty_weights import difficulty_weights

difficulty_weights(posterior)

# %%
from bayes_irt_router.report.plots.difficulty_by_task import difficulty_by_task

difficulty_by_task(posterior)

# %% [markdown]
# Finally, *information*: at which abilities do a task's questions tell LLMs apart? A benchmark on which all curves peak at the left is of no use
# for choosing among strong LLMs.

# %%
from bayes_irt_router.report.plots.information_functions import information_functions

information_functions(posterior)

# %% [markdown]
# ## With ArviZ
#
# Everything of ArviZ works on `posterior.tree`. A summary of the hyperparameters:

# %%
import arviz as az

az.summary(posterior.tree, var_names=["difficulty_mean", "discrimination_mean", "difficulty_residual_sd"])

# %% [markdown]
# ## To try
#
# - Which LLM has the widest interval on a specific trait, and why?
# - Fit again with `MIRT(traits=2)`. Which predictions change?
# - Leave one LLM out of the fit. All abilities change. Do the predictions?
