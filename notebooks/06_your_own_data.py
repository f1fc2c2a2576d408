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
# # 6. Your own data, step by step
#
# From three tables to a model that you may trust: check the tables, look at the data, check the prior *before* the fit, fit, check again. The
# tables here are made up, so that the notebook runs as it stands; put yours in their place.

# %%
# %matplotlib inline
from pathlib import Path

import numpy as np
import pandas as pd

from bayes_irt_router.data.simulation import simulate

OWN = Path("../runs/own-data")
OWN.mkdir(parents=True, exist_ok=True)

# Made up: 160 questions, 8 LLMs, a tenth of the answers missing, no table of splits.
made_up = simulate(np.random.default_rng(11), queries=160, llms=8, observed=0.9).dataset
cells = made_up["score"].to_series().dropna().rename("score").reset_index()
tokens = (
    made_up[["input_tokens", "output_tokens"]].to_dataframe()[["input_tokens", "output_tokens"]].reset_index()
)
cells.merge(tokens, on=["query", "llm"]).rename(columns={"query": "query_id"}).to_csv(
    OWN / "responses.csv", index=False
)
pd.DataFrame(
    {"query_id": made_up["query"].values, "text": made_up["text"].values, "task": made_up["task"].values}
).to_csv(OWN / "queries.csv", index=False)
facts = ("llm", "family", "input_price_per_million", "output_price_per_million")
pd.DataFrame({name: made_up[name].values for name in facts}).to_csv(OWN / "llms.csv", index=False)

# %% [markdown]
# ## 1. The tables
#
# `responses` says who answered what how well, `queries` holds the texts, `llms` the prices. Columns that are missing cost you something: without
# prices no routing by cost, without tasks no tables by task.

# %%
pd.read_csv(OWN / "responses.csv").head(4)

# %%
pd.read_csv(OWN / "llms.csv").head(4)

# %% [markdown]
# Reading checks everything, and tells all problems at once. Let us break a copy of the table in three ways:

# %%
from bayes_irt_router.data.canonical import read_dataset
from bayes_irt_router.errors import InputError

broken = pd.read_csv(OWN / "responses.csv")
broken.loc[2, "score"] = 100  # a percentage
broken.loc[5, "query_id"] = "no-such-query"
broken = pd.concat([broken, broken.iloc[[7]]])  # an exact duplicate
broken.to_csv(OWN / "broken.csv", index=False)
try:
    read_dataset(responses=OWN / "broken.csv", queries=OWN / "queries.csv", llms=OWN / "llms.csv")
except InputError as error:
    print("\n".join(f"- {problem}" for problem in error.problems))

# %%
data = read_dataset(OWN)
print(dict(data.sizes))

# %% [markdown]
# ## 2. Look at the data
#
# Questions by how many LLMs are right, LLMs by how often they are. Look for columns or blocks of one colour: an LLM that is always wrong may be a broken
# harness, a task where nobody is ever right may have a wrong answer key. No model repairs that.

# %%
from matplotlib.colors import ListedColormap

from bayes_irt_router.report.plots.intervals import COLOURS, LINES, new_figure

score = data["score"].transpose("llm", "query")
score = score[:, np.argsort(-score.mean("llm").values)][np.argsort(-score.mean("query").values)]
figure = new_figure(9, 2.8)
axes = figure.subplots()
axes.imshow(
    score.fillna(0.5),
    cmap=ListedColormap(["0.25", "white", COLOURS[4]]),
    vmin=0,
    vmax=1,
    aspect="auto",
    interpolation="nearest",
)
axes.set_yticks(
    range(score.sizes["llm"]),
    [
        f"{name} ({100 * mean:.0f} %)"
        for name, mean in zip(score["llm"].values, score.mean("query").values, strict=True)
    ],
)
axes.set_xlabel("questions, the easiest on the left")
axes.set_title("Right (light), wrong (dark), no answer (white)", fontsize=9)
figure

# %% [markdown]
# Keep a part to judge with. Whole questions are held out, drawn within tasks, so that no question is on both sides.

# %%
from bayes_irt_router.data.canonical import select_split

rank = (
    pd.Series(np.random.default_rng(0).random(data.sizes["query"]))
    .groupby(data["task"].values)
    .rank(pct=True)
)
data = data.assign_coords(split=("query", np.where(rank > 0.75, "test", "train").astype(object)))
train, test = select_split(data, "train"), select_split(data, "test")
print(f"{train.sizes['query']} questions to fit, {test.sizes['query']} to judge")

# %% [markdown]
# ## 3. Check the prior
#
# A prior is an opinion about data that have not been seen. To find out which, let the model make up answers before it has seen any, and ask
# whether they look like answers that LLMs might give. Two summaries matter: how able the LLMs are, and how much questions differ.
#
# The default is compared with two bad opinions: that nothing tells questions apart, and that everything does.

# %%
import pymc as pm

from bayes_irt_router.data.encoder import Encoder
from bayes_irt_router.data.feature_map import fit_feature_map
from bayes_irt_router.data.featurize import featurize
from bayes_irt_router.irt.mirt import MIRT
from bayes_irt_router.irt.priors import MIRTPriors

featured = featurize(train, Encoder())
mapped = fit_feature_map(featured, landmarks=24).apply(featured)  # `fit` does this itself

opinions = {
    "default": MIRTPriors(),
    "far too narrow": MIRTPriors(
        difficulty_mean=0.1,
        difficulty_kernel=0.05,
        difficulty_residual=0.05,
        difficulty_surface=0.01,
        discrimination_mean=0.05,
    ),
    "far too wide": MIRTPriors(
        difficulty_mean=15, difficulty_kernel=10, difficulty_residual=10, discrimination_mean=10
    ),
}
made = {
    name: pm.draw(
        MIRT(traits=2, priors=priors).build(mapped)["score"], 150, random_seed=0, mode="FAST_COMPILE"
    )
    for name, priors in opinions.items()
}
made["default"].shape  # draws, LLMs, questions

# %%
figure = new_figure(9, 3.6)
panels = figure.subplots(1, 2)
answered = mapped["trials"].transpose("llm", "query").values > 0
for axes, over, what in (
    (panels[0], 2, "accuracy of an LLM"),
    (panels[1], 1, "share of LLMs that are right on a question"),
):
    for number, (name, drawn) in enumerate(made.items()):
        share = np.nanmean(np.where(answered, drawn, np.nan), axis=over).ravel()
        height, edges = np.histogram(share, np.linspace(0, 1, 10), density=True)
        axes.stairs(
            height,
            100 * edges,
            color=COLOURS[number],
            linestyle=LINES[number],
            linewidth=1.8,
            label=f"prior: {name}",
        )
    axes.set_xlabel(f"{what}, %")
    axes.set_ylabel("density of made-up data")
panels[0].legend(frameon=False, fontsize=8)
figure.suptitle("What each prior finds plausible, before any answer is seen (150 draws each)", fontsize=9)
figure

# %% [markdown]
# The narrow prior says that every LLM is right half the time and all questions are alike: it rules out what we want to find. The wide one says that
# a question is answered by all or by none. That is an opinion, and a strong one, though it was meant to be none.
# The default finds weak and strong LLMs plausible, and easy and hard questions.
#
# Change a scale if you know better (`birt fit --prior difficulty_residual=2`), and draw this picture again.
#
# ## 4. Fit
#
# Eight LLMs tell two traits apart, not more.

# %%
from bayes_irt_router.inference.fitting import fit
from bayes_irt_router.inference.nuts import NUTS

posterior = fit(
    MIRT(traits=2), featured, NUTS(draws=800, tune=300, max_tree_depth=6), landmarks=24, progress=False
)
print(posterior.gate.verdict)

# %% [markdown]
# If the gate complains, it says of what. More draws cure a small effective sample size, a higher `target_accept` divergent draws, fewer traits an r-hat
# that stays. Then compare prior and posterior once more:

# %%
from bayes_irt_router.report.plots.prior_and_posterior import prior_and_posterior

prior_and_posterior(posterior)

# %% [markdown]
# With 112 questions the data say a lot about the means, something about residuals, and next to nothing about SDs of the specific trait: there the
# posterior is the prior. That is fine as long as you know it.
#
# ## 5. Check the posterior
#
# Does the fitted model make up answers like those it has not seen? Of eight LLMs on each task, about one in nine should fall outside.

# %%
from bayes_irt_router.evaluation.predictions import predict_model
from bayes_irt_router.report.plots.accuracy_check import accuracy_check

unseen = featurize(test, Encoder())
accuracy_check(predict_model(posterior, unseen, np.random.default_rng(0)), unseen, np.random.default_rng(0))

# %% [markdown]
# Nearly everything is inside, and that says little: with three questions a task the bars reach nearly from 0 to 100. A check that cannot fail is none. Hold out
# more questions, or look at each LLM's accuracy over all tasks (`unseen.drop_vars("task")`).
#
# And does it predict better than what is simpler? On 48 questions a difference must be large to be more than noise, which is why it comes with
# an interval (positive: the model is better).

# %%
from bayes_irt_router.evaluation.baselines.local_means import LLMMean, NearestNeighbours
from bayes_irt_router.evaluation.baselines.logistic import LogisticRegression
from bayes_irt_router.evaluation.compare import compare
from bayes_irt_router.routing.router import Router

router = Router(posterior, Encoder())
simple = (LLMMean(), NearestNeighbours("features"), LogisticRegression("features"))
compare(router, train, test, baselines=simple, progress=False).table()[
    ["log_loss", "minus model's (95 %)", "AUC", "ECE", "slope"]
].round(3)

# %% [markdown]
# Here nothing beats the LLM means by more than noise: 112 questions are too few to learn what makes a question hard. That is worth knowing before money is
# spent. The model's intervals say so, too, and a careful policy abstains; the cure is more questions (notebook 1 had twice as many, and it showed).
#
# ## 6. Then
#
# - `birt report --model MODEL --data DIR --split test --output report.html` writes all pictures on one page.
# - Fit to everything once you trust it: `birt fit --data DIR --output MODEL`, without `--split`.
# - Intervals too wide? More questions help the questions' side; few LLMs limit how well traits can be told apart.
# - Log `query`, answer and score of routed prompts. They are next month's data, and the drift check wants them, too.
