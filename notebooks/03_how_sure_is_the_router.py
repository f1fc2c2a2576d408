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
# # 3. How sure is the router?
#
# A router that only names an LLM asks to be believed. This one also says how sure it is, of what, and what it promises. Here we look at the
# kinds of uncertainty, at policies that use them, and, because the data are simulated and the truth is known, at whether the promises were kept.
#
# It opens the model that notebook 1 saved.

# %%
# %matplotlib inline
from pathlib import Path

import numpy as np
import pandas as pd

from bayes_irt_router.data.canonical import read_dataset, select_llms, select_split
from bayes_irt_router.data.simulation import read_truth
from bayes_irt_router.report.plots.intervals import COLOURS, LINES, new_figure
from bayes_irt_router.routing.router import Request, Router

TUTORIAL = Path("../runs/tutorial")
router = Router.load(TUTORIAL / "model")
llms = router.posterior.llm
test = select_llms(select_split(read_dataset(TUTORIAL / "data"), "test"), llms)
queries = router.featurize(test)
truth = read_truth(TUTORIAL / "data")["p_correct"].sel(query=test["query"].values, llm=llms).values

# %% [markdown]
# ## Two kinds of not knowing
#
# Take one question. How likely is it that an LLM answers it correctly? There are two reasons not to know:
#
# - the *parameters* are uncertain: how able is the LLM, how does text make questions hard? More data would settle it;
# - the *question* itself may be harder or easier than its text shows. Only answers to this very question would tell.
#
# `p_correct` has the second averaged out; its spread is the first alone. `p_correct_conditional` holds both.

# %%
prompt = (
    "A bag holds 4 red and 6 blue marbles. Two are drawn without putting the first one back. What is the probability that both "
    "are red? Answer with a fraction."
)
prediction = router.predict([prompt]).isel(query=0)
chosen = "ostrel-72b"

figure = new_figure(7, 3.4)
axes = figure.subplots()
bins = np.linspace(0, 1, 41)
for number, (name, label) in enumerate(
    [
        ("p_correct", "parameters only (p_correct)"),
        ("p_correct_conditional", "and the question (p_correct_conditional)"),
    ]
):
    values = prediction[name].sel(llm=chosen).values.ravel()
    axes.hist(
        values,
        bins,
        density=True,
        histtype="step",
        linewidth=1.8,
        color=COLOURS[number],
        linestyle=LINES[number],
        label=label,
    )
axes.set_xlabel(f"P(correct) of {chosen} on the marble question")
axes.set_ylabel("posterior density")
axes.set_xlim(0, 1)
axes.set_title(f"{prediction.sizes['chain'] * prediction.sizes['draw']:,} draws each", fontsize=9)
axes.legend(frameon=False, fontsize=8)
figure

# %% [markdown]
# Both have the same mean. An interval of 89 % reported with a decision is of the first kind.
#
# ## Unfamiliar prompts
#
# The model was fitted to short exam questions. *Familiarity* says how much these can tell about a prompt, from 0 to 1. On an unfamiliar one more is
# unknown about the question, so that `p_correct_conditional` spreads out. The interval of `p_correct` need not widen: what is unknown about the
# question is averaged out of it. So look at the familiarity; a limit on it sends the rest to a fallback.

# %%
others = [
    "What is 48 * 17 - 205?",
    "A shop sells 17 boxes of 24 pencils. 38 pencils are broken. How many can be used?",
    "Write a sonnet about a lighthouse in which every line ends in the name of a metal.",
    "Kun je me uitleggen hoe een hefboom werkt?",
]
found = router.predict(others)
p = found["p_correct"].sel(llm=chosen)
lower, upper = p.quantile([0.055, 0.945], ("chain", "draw")).values
pd.DataFrame(
    {
        "prompt": [text[:40] for text in others],
        "familiarity": found["familiarity"].values.round(2),
        f"P(correct) of {chosen}": p.mean(("chain", "draw")).values.round(2),
        "89 % interval": [f"{a:.2f} to {b:.2f}" for a, b in zip(lower, upper, strict=True)],
    }
)

# %%
for text, decision in zip(
    others, router.route(others, alpha=0.8, fallback="velmora-3-ultra", min_familiarity=0.5), strict=True
):
    print(f"{text[:40]:40}  {decision.reason[:104]} ...")

# %% [markdown]
# ## Who is the best? The draws are joint
#
# Overlapping intervals do not mean that nobody knows who is better. If the question is harder than it looks, it is harder for everybody: the draws of two
# LLMs go together. Comparing them within draws, as P(best) does, keeps that; comparing intervals throws it away.

# %%
pair = ["velmora-3-ultra", "ostrel-72b"]
joint = prediction["p_correct_conditional"].sel(llm=pair).values.reshape(-1, 2)
figure = new_figure(4.6, 4.4)
axes = figure.subplots()
axes.plot(joint[:, 1], joint[:, 0], "o", markersize=2.5, color=COLOURS[0], alpha=0.4)
axes.plot([0, 1], [0, 1], color="0.3", linestyle="--", linewidth=1)
axes.set_xlabel(f"P(correct) of {pair[1]}")
axes.set_ylabel(f"P(correct) of {pair[0]}")
axes.set_title(
    f"Joint draws; above the dashed line {pair[0]} is better:\n{(joint[:, 0] > joint[:, 1]).mean():.0%} of them",
    fontsize=9,
)
axes.set_aspect("equal")
figure

# %% [markdown]
# ## Policies: what is promised
#
# Expected utility needs means only. Other rules use the rest of the distribution:

# %%
from bayes_irt_router.routing.correctness_policies import ChanceConstrained, MinSuccess
from bayes_irt_router.routing.utility_policies import (
    Equivalence,
    ExpectedUtility,
    LowerBound,
    ProbabilityOfImprovement,
)

policies = [
    ExpectedUtility(),
    MinSuccess(target=0.8),
    ChanceConstrained(target=0.8, delta=0.1),
    ProbabilityOfImprovement("quindle-pro", tau=0.9),
    LowerBound(quantile=0.1),
    Equivalence(rope=0.05, certainty=0.8),
]
for policy in policies:
    (decision,) = router.route([prompt], alpha=0.8, policy=policy)
    why = decision.reason.split(": ")[0] if decision.llm else decision.reason
    print(f"{policy.name}\n    {why}")

# %% [markdown]
# ## Policies: what was kept
#
# `min_success` promises an average: of the questions it routes, a share of at least `target` is answered correctly. We route the 350 or so questions
# that the model has not seen. The truth of the chosen LLMs is known here, so no luck of single answers blurs the comparison.

# %%
posed = router.pose(queries, Request(alpha=0.8, seed=0)).problem
every = np.arange(len(truth))


def kept(policy):
    """What a policy promised on average, and what was true, of the questions that it answered."""
    choice = policy.choose(posed).llm
    answered = choice >= 0
    at = np.maximum(choice, 0)
    return answered, truth[every, at], posed.mean_p[every, at], posed.mean_cost[every, at]


rows = []
for target in (0.6, 0.7, 0.8, 0.9):
    answered, true, promised, cost = kept(MinSuccess(target))
    rows.append(
        {
            "target": target,
            "answered": f"{answered.mean():.0%}",
            "promised, mean": promised[answered].mean().round(3),
            "true, mean": true[answered].mean().round(3),
            "USD an answer": f"{cost[answered].mean():.5f}",
        }
    )
pd.DataFrame(rows)

# %% [markdown]
# `chance_constrained` promises something about each question: with probability $1 - \delta$, the rate of right answers to questions like this one is at
# least the target. The probability is over the parameters. So of its choices, at most about $\delta$ should have a lower rate. The true probability
# below includes the question's own residual, which this promise averages out; so we look at how the true mean compares, and at how much it
# abstains.

# %%
targets = np.linspace(0.5, 0.95, 19)
figure = new_figure(9, 3.6)
left, right = figure.subplots(1, 2)
for number, (label, make) in enumerate(
    [
        ("min_success", MinSuccess),
        ("chance_constrained, delta 0.1", lambda target: ChanceConstrained(target, 0.1)),
    ]
):
    results = [kept(make(float(target))) for target in targets]
    share = np.array([answered.mean() for answered, *_ in results])
    mean = np.array(
        [true[answered].mean() if answered.sum() > 10 else np.nan for answered, true, *_ in results]
    )
    left.plot(100 * targets, 100 * mean, color=COLOURS[number], linestyle=LINES[number], label=label)
    right.plot(100 * targets, 100 * share, color=COLOURS[number], linestyle=LINES[number], label=label)
left.plot([50, 95], [50, 95], color="0.6", linewidth=0.9, label="the target itself")
left.set_ylabel("true mean P(correct) of the choices, %")
right.set_ylabel("questions that are answered, %")
for axes in (left, right):
    axes.set_xlabel("target, %")
    axes.legend(frameon=False, fontsize=8)
figure.suptitle(f"{len(truth)} unseen questions; lines end where fewer than eleven are answered", fontsize=9)
figure

# %% [markdown]
# Both keep above the diagonal: the promise holds. The careful rule pays for its certainty twice, in dearer LLMs and in questions that it hands
# back. Which of the two you want is a question of what a wrong answer costs you; no amount of statistics decides it.
#
# ## Accuracy against cost
#
# All policies over their settings, with the bands that the posterior predicts and the points that were observed. Where points leave their band more
# often than a band of 89 % should, the model is too sure.

# %%
from bayes_irt_router.evaluation.frontier import frontier
from bayes_irt_router.evaluation.policy_outcomes import Setting
from bayes_irt_router.report.plots.accuracy_cost_frontier import accuracy_cost_frontier

settings = [Setting(ExpectedUtility(), alpha) for alpha in (0.2, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99)]
settings += [Setting(MinSuccess(target), 0.5) for target in (0.5, 0.6, 0.7, 0.8, 0.85, 0.9)]
settings += [Setting(ChanceConstrained(target), 0.5) for target in (0.5, 0.6, 0.7, 0.8)]
accuracy_cost_frontier(frontier(router, test, settings=settings, progress=False))

# %% [markdown]
# ## Are the probabilities right at all?
#
# Everything above rests on calibrated probabilities. The bars hold what the model itself would produce, with the answers to one question going together.

# %%
from bayes_irt_router.evaluation.judged import judge, training_facts
from bayes_irt_router.evaluation.predictions import predict_model
from bayes_irt_router.report.plots.reliability_diagram import reliability_diagram

predicted = predict_model(router.posterior, queries, np.random.default_rng(0))
judged, _ = judge(test, training_facts(router.posterior, queries), {"model": predicted}, (0.8,), seed=0)
reliability_diagram(judged)

# %% [markdown]
# And the accuracy of each LLM, task by task, beside what the model would produce. If the model is right, somewhat fewer than 11 % of the dots are
# outside: with 18 to 28 questions accuracy moves in steps, and an 89 % interval that ends on steps holds more than 89 %.

# %%
from bayes_irt_router.report.plots.accuracy_check import accuracy_check

accuracy_check(predicted, queries, np.random.default_rng(0))

# %% [markdown]
# ## To try
#
# - Halve the training data in notebook 1. Which intervals grow, and how much more does `chance_constrained` abstain?
# - Set `delta=0.5`. Which rule does `chance_constrained` become?
# - Write a rule of your own: the page "Add a policy" of the documentation shows how.
