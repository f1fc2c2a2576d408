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
# # 4. Calibrating a new LLM with twenty questions
#
# A new LLM appears. Asking it all the questions of a benchmark costs money and time, and fitting again costs more. But what is unknown about
# it are a few numbers, its abilities, and a few questions tell most of them.
#
# `velmora-2-base` was put aside in notebook 1; the model has never seen an answer of it. We pretend to ask it, one question at a time, and take
# its answers from the simulated data.

# %%
# %matplotlib inline
from pathlib import Path

import numpy as np
import pandas as pd

from bayes_irt_router.calibration.answers import Answer
from bayes_irt_router.calibration.items import ItemBank
from bayes_irt_router.calibration.preparation import choose_prior, prepare
from bayes_irt_router.calibration.pricing import with_llm_cost
from bayes_irt_router.calibration.session import Stopping, next_queries, plan, state
from bayes_irt_router.data.canonical import read_dataset
from bayes_irt_router.data.cost import CostModel
from bayes_irt_router.data.simulation import read_truth
from bayes_irt_router.inference.storage import load, save

TUTORIAL = Path("../runs/tutorial")
NEW = "velmora-2-base"
posterior = load(TUTORIAL / "model")
data, truth = read_dataset(TUTORIAL / "data"), read_truth(TUTORIAL / "data")
own_score = data["score"].sel(llm=NEW)

# %% [markdown]
# ## What is known before the first answer
#
# The new LLM is taken for one like those that were fitted: its abilities come from the distribution that theirs come from. Its prices are
# known. Nothing else.
#
# The *bank* holds the questions that may be asked: those of the fit, because their difficulties are known best.

# %%
info = {"input_price_per_million": 1.0, "output_price_per_million": 3.5}
bank = ItemBank.of(posterior)
texts = dict(zip(bank.query, posterior.texts, strict=True))
cost = with_llm_cost(CostModel.from_dict(posterior.record["cost"]), NEW, info, [], {})


def setup_with(selector):
    """A calibration that learns the accuracy over the bank, and chooses its questions in one way."""
    prior = choose_prior(posterior, NEW, info)
    return prepare(bank, prior, NEW, cost, texts, Stopping(), asks=True, selector=selector, seed=0)


setup = setup_with("variance")
start = state(setup, [])
mean, lower, upper = start.interval(0.89)
print(
    f"{len(bank.query)} questions; accuracy as believed before any answer: {mean:.2f}, 89 % interval {lower:.2f} to {upper:.2f}"
)

# %% [markdown]
# ## What to expect of asking
#
# Before any money is spent, a plan: which questions, at what price, and how sure we would be afterwards.

# %%
planned = plan(setup, start, 20)
pd.DataFrame({"posterior SD of the accuracy": planned.expected, "USD so far": planned.cost}).round(
    4
).rename_axis("questions")

# %% [markdown]
# ## Ask
#
# The rule, called `variance`: ask the question whose answer is expected to shrink the variance of what we want to know the most, per dollar. Then look
# at the answer, and choose the next. For comparison, questions drawn at random.


# %%
def asked(selector, count):
    """The states after each of so many answers."""
    setup = setup_with(selector)
    states = [state(setup, [])]
    for _ in range(count):
        query = setup.bank.query[next_queries(setup, states[-1], 1)[0].position]
        answer = Answer(query, float(own_score.sel(query=query)))
        states.append(state(setup, [*states[-1].answers, answer]))
    return states


chosen, random = asked("variance", 20), asked("random", 20)
pd.DataFrame(
    [
        {
            "question": texts[one.query].split("\n")[0][:64],
            "task": str(data["task"].sel(query=one.query).values),
            "right": bool(one.score),
        }
        for one in chosen[-1].answers[:10]
    ]
)

# %%
from bayes_irt_router.report.plots.placement_progress import placement_progress

everything = float(own_score.sel(query=list(bank.query)).mean())
placement_progress(chosen, NEW, truth=everything)

# %% [markdown]
# The dashed line is what asking all questions of the bank showed. How much do chosen questions save?

# %%
from bayes_irt_router.report.plots.intervals import COLOURS, LINES, new_figure

figure = new_figure(6.5, 3.6)
axes = figure.subplots()
for number, (label, states) in enumerate([("chosen by variance", chosen), ("at random", random)]):
    sds = [100 * one.target.sd for one in states]
    axes.plot(range(len(sds)), sds, color=COLOURS[number], linestyle=LINES[number], label=label)
axes.set_ylim(0)
axes.set_xticks(range(0, 21, 5))
axes.set_xlabel("answers of the new LLM")
axes.set_ylabel("posterior SD of its accuracy, points")
axes.set_title("One run each: the next LLM's curves will wiggle elsewhere", fontsize=9)
axes.legend(frameon=False)
figure

# %% [markdown]
# Little, here: the two curves lie close together, and one run each cannot tell more. Within a task the questions of this bank are much alike in how
# strongly they tell LLMs apart, so that a random one is nearly as good as a chosen one, as long as tasks are balanced.
# Choosing pays where questions differ more. What does most of the work is the model: each answer speaks about all questions.
#
# ## Was it placed right?
#
# On the questions that nobody has asked it, the truth is known. Predicted with nought, five and twenty answers:

# %%
from bayes_irt_router.calibration.membership import with_llm
from bayes_irt_router.data.canonical import select_split
from bayes_irt_router.routing.prediction import predict
from bayes_irt_router.routing.router import Router

router = Router.load(TUTORIAL / "model")
unseen = router.featurize(select_split(data, "test"))
true = truth["p_correct"].sel(query=unseen["query"].values, llm=NEW).values
rows = []
for count in (0, 5, 20):
    now = chosen[count]
    placed = with_llm(posterior, NEW, now.placement, now.answers, info).thin(400)
    p = predict(placed, unseen, np.random.default_rng(0))["p_correct"].sel(llm=NEW)
    lower, upper = p.quantile([0.055, 0.945], ("chain", "draw")).values
    rows.append(
        {
            "answers": count,
            "mean P(correct)": p.mean().item(),
            "true mean": true.mean(),
            "correlation with the truth": np.corrcoef(p.mean(("chain", "draw")).values, true)[0, 1],
            "mean length of the 89 % intervals": (upper - lower).mean(),
        }
    )
pd.DataFrame(rows).round(3)

# %% [markdown]
# Before any answer it is taken for an average LLM, and by chance it nearly is one: the mean was right, but nobody could know. That is what the answers
# buy: intervals that are shorter, of the mean above all. Which questions suit it, the `correlation`, takes more than twenty answers to learn; until
# then single questions rest on what is hard for LLMs in general.
#
# ## Keep it, and route with it
#
# The placed LLM joins the model; nothing else is refitted, and the other LLMs stay as they are. (Draws of the parameters that predicted
# its answers well count a little more: the joint posterior.)

# %%
now = chosen[-1]
grown = with_llm(
    posterior, NEW, now.placement, now.answers, info, {query: len(text) for query, text in texts.items()}
)
save(grown, TUTORIAL / "model-2")
print(
    f"{now.placement.mode} posterior, {now.placement.effective_draws:.0f} effective draws of {posterior.size}"
)

decisions = Router.load(TUTORIAL / "model-2").route(unseen["text"].values[:200].tolist(), alpha=0.8)
pd.Series([one.llm for one in decisions]).value_counts().to_frame("questions of 200")

# %% [markdown]
# ## Later: has an LLM changed?
#
# Months go by, and a provider changes what stands behind a name. The drift check compares new answers with what is believed. We take an LLM that
# is known well, `ostrel-72b`, and 100 questions that were not fitted: first its own answers, then those of an LLM that has become as weak as
# `brackenfold-3b`. (Our new LLM would be a poor example: after twenty answers, surprising ones may as well mean that it was not known well.)

# %%
from bayes_irt_router.calibration.drift import check_drift

recent_questions = unseen.isel(query=slice(0, 100))
recent_bank = ItemBank.of(posterior, recent_questions)
for label, llm in (("as it was", "ostrel-72b"), ("changed", "brackenfold-3b")):
    scores = data["score"].sel(query=recent_questions["query"].values, llm=llm)
    recent = [Answer(str(one["query"].values), float(one)) for one in scores]
    print(f"{label}: {check_drift(recent_bank, 'ostrel-72b', recent, np.random.default_rng(0)).sentence}\n")

# %% [markdown]
# The smaller a change, the more answers it takes to find it. You may look as often as you like: the Bayes factor of an unchanged LLM ever exceeds 100
# with a probability of at most 1 %.
#
# ## On the command line
#
# ```
# birt calibrate --model MODEL --llm NAME --plan 20 --queries queries.csv
# birt calibrate --model MODEL --llm NAME --command "python ask.py" --budget 20 --output MODEL2
# ```
#
# ## To try
#
# - Learn one task only: `prepare(..., target="task:code_output")`. Which questions are asked?
# - Ask with the selector `information`. Does it choose others?
# - Give the new LLM a predecessor: `choose_prior(posterior, NEW, info, predecessor="velmora-3-base")`. What does it save?
