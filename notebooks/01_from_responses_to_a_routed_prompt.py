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
# # 1. From responses to a routed prompt
#
# We start with a table of who answered what correctly, and end with a prompt that goes to the right LLM, together with how sure that is.
# On the way we fit a Bayesian model; you need to have heard of posteriors, but not of item response theory.
#
# All data here are simulated: the LLMs do not exist, and the truth behind their answers is known. That lets us check what we find.

# %%
# %matplotlib inline
from pathlib import Path

import numpy as np
import pandas as pd

from bayes_irt_router.data.canonical import read_dataset, select_llms, select_split
from bayes_irt_router.data.simulation import read_truth, simulate, write_simulation

TUTORIAL = Path("../runs/tutorial")

# %% [markdown]
# ## The data
#
# Thirteen LLMs answer 600 questions of sixteen tasks. We fit to 40 % of the questions and keep the rest to see whether what we predicted came true.
# (With real data you would fit to most of them.) One LLM, `velmora-2-base`, is put aside: it will be the new one in notebook 4.

# %%
simulation = simulate(np.random.default_rng(1), queries=600, llms=13, observed=1.0)
split = np.where(np.random.default_rng(2).random(600) < 0.4, "train", "test").astype(object)
simulation.dataset["split"] = ("query", split)
write_simulation(simulation, TUTORIAL / "data")

data = read_dataset(TUTORIAL / "data")
NEW = "velmora-2-base"
known = [name for name in data["llm"].values if name != NEW]
train, test = (select_llms(select_split(data, part), known) for part in ("train", "test"))
print(f"{train.sizes['query']} questions to fit, {test.sizes['query']} to judge, {train.sizes['llm']} LLMs")

# %% [markdown]
# In memory the data are one `xarray.Dataset`: scores by query and LLM, the questions' texts and tasks, the LLMs' prices. This is what the
# model sees; nobody tells it what an LLM is good at.

# %%
for query in (0, 3, 5):
    print(f"[{train['task'].values[query]}] {train['text'].values[query]}\n")
train["score"].isel(query=slice(0, 6), llm=slice(0, 5)).to_pandas().astype(int)

# %% [markdown]
# How often is each LLM right, task by task? There is structure in it: one cheap LLM is as good as the dearest on code, another one on
# knowledge. A router that sees this can save money without losing answers.

# %%
by_task = train["score"].groupby("task").mean().transpose("llm", "task").to_pandas()
price = pd.Series(
    train["output_price_per_million"].values, index=train["llm"].values, name="USD per million output tokens"
)
by_task.assign(all=train["score"].mean("query").values).join(price).sort_values("all", ascending=False).round(
    2
)

# %% [markdown]
# ## The model
#
# Item response theory was made for exams: the chance of a right answer depends on how able the test-taker is and how hard the question is.
# Here LLM $j$ answers question $i$ correctly with probability
#
# $$p_{ij} = \operatorname{sigmoid}\left(\mathbf{a}_i^\top \boldsymbol\theta_j - b_i + \sum_t P(t \mid x_i)\, v_{jt}\right)$$
#
# where $\boldsymbol\theta_j$ are the LLM's abilities (one number for each of three traits), $b_i$ is the question's difficulty, and $\mathbf{a}_i$
# says how strongly each trait matters for it. The last term holds what three traits cannot: $v_{jt}$ is what the LLM is better at on task $t$ than its
# traits say (a *testlet effect*, small unless the answers ask for more), and $P(t \mid x_i)$ is the probability, read from the text $x_i$, that the
# question is of that task. New questions have no answers yet, so difficulty and discrimination are regressed on the text: a sentence embedding,
# features such as length, digits or code, and the same probabilities of the tasks.
#
# Everything gets a prior and is sampled by NUTS. First the embedding, then the fit; it takes about a minute.

# %%
from bayes_irt_router.data.encoder import Encoder
from bayes_irt_router.data.featurize import featurize
from bayes_irt_router.inference.fitting import fit
from bayes_irt_router.inference.nuts import NUTS
from bayes_irt_router.inference.storage import save
from bayes_irt_router.irt.mirt import MIRT

posterior = fit(
    MIRT(traits=3),
    featurize(train, Encoder()),
    NUTS(
        draws=1400, tune=300, target_accept=0.8, max_tree_depth=6
    ),  # small, for a tutorial; NUTS() is the default
    landmarks=32,
    keep_texts=True,
    progress=False,
)
print(posterior.gate.verdict)

# %% [markdown]
# The *convergence gate* asks whether the draws are good enough to act on. So few draws pass it narrowly or miss it narrowly, by an r-hat of
# 1.01 to 1.03 for a hyperparameter; for a tutorial we keep the model, for a router we would draw more. (Notebook 2 looks behind the gate.)

# %%
save(posterior, TUTORIAL / "model")

# %% [markdown]
# ## What the LLMs can do
#
# Each row is an LLM, each panel a trait. The general trait is a ranking with intervals. The specific traits are contrasts; their titles name
# the tasks at either end. The code specialist stands out; the other one does not, as far as the intervals tell.

# %%
from bayes_irt_router.report.plots.ability_forest import ability_forest

ability_forest(posterior)

# %% [markdown]
# And where is each LLM the best, cost aside? The numbers are probabilities: where two LLMs are close, they share them.

# %%
from bayes_irt_router.report.plots.best_llm_map import best_llm_map

best_llm_map(posterior)

# %% [markdown]
# ## Route a prompt
#
# The router predicts, for a prompt that it has never seen, each LLM's probability of being right, with an interval, and what the answer will
# cost. Then it takes the highest expected utility
#
# $$U_j = \alpha \, \mathrm{E}[p_j] - (1 - \alpha) \, \mathrm{E}[C_j]$$
#
# with the cost $C$ in units of the dearest LLM's mean cost. With $\alpha = 1$ only correctness counts.

# %%
from bayes_irt_router.routing.router import Router

router = Router.load(TUTORIAL / "model")
prompts = [
    "What is 48 * 17 - 205?",
    "What does this code print?\n\n```python\nvalues = [3, 1, 2]\nprint(max(values) * len(values))\n```",
    "Which city is the capital of Mongolia?\nA) Ulaanbaatar\nB) Astana\nC) Thimphu\nAnswer with one letter.",
]
rows = []
for alpha in (1.0, 0.8, 0.4):
    for prompt, decision in zip(prompts, router.route(prompts, alpha=alpha), strict=True):
        chosen = decision.candidates[0]
        p = chosen.p_correct
        rows.append(
            {
                "alpha": alpha,
                "prompt": prompt[:28],
                "LLM": decision.llm,
                "P(correct)": round(p.mean, 2),
                "89 % interval": f"{p.lower:.2f} to {p.upper:.2f}",
                "cost, USD": f"{chosen.cost_usd:.5f}",
                "P(best)": round(chosen.p_best, 2),
            }
        )
pd.DataFrame(rows)

# %% [markdown]
# As cost counts more, prompts move to cheaper LLMs. At alpha 0.8 each of the three has left the dearest LLM: a few points of expected correctness are
# given up, and the answers cost a thirtieth or less. The code question goes to the cheap code specialist.
#
# Each decision says why it was taken, in a sentence and, if asked, in a picture: candidates with intervals on the left; on the right, which
# features of the text make the question hard.

# %%
from bayes_irt_router.report.plots.decision_explanation import decision_explanation

(decision,) = router.route(prompts[1:2], alpha=0.8, explain=True)
print(decision.reason)
decision_explanation(decision)

# %% [markdown]
# ## Is it any good?
#
# We kept more than half of the questions. Prediction first: log loss beside that of the LLM means would be the usual table; here we know the
# truth, so we can do better and compare predicted probabilities with the true ones.

# %%
from bayes_irt_router.evaluation.evaluate import evaluate
from bayes_irt_router.routing.prediction import predict

truth = read_truth(TUTORIAL / "data")["p_correct"].sel(query=test["query"].values, llm=posterior.llm)
predicted = predict(posterior, router.featurize(test), np.random.default_rng(0))["p_correct"].mean(
    ("chain", "draw")
)
correlation = np.corrcoef(truth.values.ravel(), predicted.values.ravel())[0, 1]
print(f"True and predicted P(correct) of {truth.size:,} pairs correlate at {correlation:.2f}.")

evaluation = evaluate(router, test, progress=False)
scores = evaluation.prediction["model"]
pd.Series(
    {name: round(scores[name], 3) for name in ("log_loss", "auc", "ece", "calibration_slope")}
).to_frame("on unseen questions")

# %% [markdown]
# Then routing, beside choices that need no model. *Reward* is accuracy less cost, weighed by alpha, on answers that the router had not seen. The
# static mixture sends a fixed share of all questions to each of some LLMs at the router's cost; a router that does not beat it has learned nothing
# about questions. The oracle knows the answers and is a ceiling.

# %%
_, routing = evaluation.tables()[1]
routing.pivot(index="choice", columns="alpha", values="reward").round(1)

# %% [markdown]
# ## Where next
#
# - [Notebook 2](02_reading_the_posterior.ipynb): what is in the posterior, and what a trait means.
# - [Notebook 3](03_how_sure_is_the_router.ipynb): uncertainty, policies, and whether promises are kept.
# - [Notebook 4](04_calibrating_a_new_llm.ipynb): a new LLM after twenty questions.
# - [Notebook 6](06_your_own_data.ipynb): your own data.
#
# On the command line the same is `birt fit --data DIR --split train --output MODEL` and `birt route "..." --model MODEL`.
