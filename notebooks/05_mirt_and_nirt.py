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
# # 5. MIRT, its point estimate, and NIRT
#
# The same item response curve can be fitted in several ways. The *MIRT* of this package is hierarchical, and its posterior is sampled. The *MIRT of
# IRT-Router* is a point estimate: abilities are free numbers, item parameters are projections of the embedding, and stochastic gradient descent with early
# stopping finds one set of them. A *NIRT* replaces the curve by a small network. What differs in practice? In short, for these data: the
# sampled model has the smaller error and honest probabilities, the point estimate is too sure, and the network is about as good as the curve.
#
# It opens the model that notebook 1 saved. The data are simulated from a MIRT, so this is home ground for item response models; how the methods
# compare on real data is in `benchmarks/README.md`.

# %%
# %matplotlib inline
from pathlib import Path

import numpy as np

from bayes_irt_router.data.canonical import read_dataset, select_llms, select_split
from bayes_irt_router.data.simulation import read_truth
from bayes_irt_router.routing.router import Router

TUTORIAL = Path("../runs/tutorial")
router = Router.load(TUTORIAL / "model")
llms = router.posterior.llm
data = select_llms(read_dataset(TUTORIAL / "data"), llms)
train, test = select_split(data, "train"), select_split(data, "test")

# %% [markdown]
# ## On the same unseen questions
#
# Every baseline is fitted to the same training answers. Those named `features` see the same features of the text as the model; a comparison with
# `embedding` alone would compare features, not methods. The second column is the difference of log loss to the model's with its 95 % interval over
# questions: positive where the model is better.

# %%
from bayes_irt_router.evaluation.baselines.local_means import LLMMean, NearestNeighbours
from bayes_irt_router.evaluation.baselines.logistic import LogisticRegression
from bayes_irt_router.evaluation.baselines.networks import PointEstimateMIRT
from bayes_irt_router.evaluation.compare import compare

others = (
    LLMMean(),
    NearestNeighbours("features"),
    LogisticRegression("features"),
    PointEstimateMIRT("embedding"),
    PointEstimateMIRT("features"),
)
comparison = compare(router, train, test, baselines=others, progress=False)
comparison.table()[["log_loss", "minus model's (95 %)", "AUC", "ECE", "slope", "R 0.8", "R 0.2"]].round(3)

# %% [markdown]
# Read the `slope`: below 1 means too sure. A point estimate plugs its best guess of a question's difficulty into the curve, as if it were known; the
# posterior averages over what the text does not tell. The `R` columns are rewards at two weights of correctness.
#
# With so few questions the point estimate is far too sure; on the larger real banks the gap is smaller (`benchmarks/README.md`). Logistic
# regression on the same features comes close, and routes about as well where cost counts most: much of what routes well is in the features.
#
# ## Where the truth is known
#
# Where on the scale are the errors? Below, the predicted and the true probability of each pair of question and LLM, for the sampled model and
# the point estimate on the same features.

# %%
from bayes_irt_router.evaluation.predictions import predict_baselines, predict_model
from bayes_irt_router.report.plots.intervals import COLOURS, LINES, new_figure

featured_train, featured_test = router.featurize(train), router.featurize(test)
sampled = predict_model(router.posterior, featured_test, np.random.default_rng(0)).mean
point = predict_baselines(
    [PointEstimateMIRT("features")], featured_train, featured_test, seed=0, progress=False
)
(point_mean,) = point.means.values()
true = read_truth(TUTORIAL / "data")["p_correct"].sel(query=test["query"].values, llm=llms).values

figure = new_figure(8.4, 4.4)
panels = figure.subplots(1, 2, sharex=True, sharey=True)
for axes, name, p in zip(panels, ("posterior mean", "point estimate"), (sampled, point_mean), strict=True):
    axes.plot(
        100 * p.ravel(), 100 * true.ravel(), ".", markersize=2, color=COLOURS[0], alpha=0.35, rasterized=True
    )
    axes.plot([0, 100], [0, 100], color="0.3", linestyle="--", linewidth=1)
    error = np.sqrt(np.mean((p - true) ** 2))
    axes.set_title(f"{name}: root mean squared error {100 * error:.1f} points", fontsize=9)
    axes.set_xlabel("predicted P(correct), %")
panels[0].set_ylabel("true P(correct), %")
figure

# %% [markdown]
# At the ends. The point estimate promises close to 0 and close to 100 %, and many of these promises are far from the truth; the posterior mean keeps
# to the middle where the text does not tell enough. What is left of its error, at every level, is what the text of a question does not say.
#
# ## With fewer data
#
# How much does the point estimate depend on the number of questions? Fit it and two simple baselines to growing parts of the training questions, and
# compare with the truth. (Refitting the sampled model at each size would take minutes; it stands at the right, at the full size.)

# %%
sizes = [30, 60, 120, train.sizes["query"]]
order = np.random.default_rng(0).permutation(train.sizes["query"])
kinds = (LLMMean(), NearestNeighbours("features"), PointEstimateMIRT("features"))
errors = {kind.name: [] for kind in kinds}
for size in sizes:
    part = featured_train.isel(query=np.sort(order[:size]))
    found = predict_baselines(kinds, part, featured_test, seed=0, progress=False)
    for name, p in found.means.items():
        errors[name].append(100 * np.sqrt(np.mean((p - true) ** 2)))

figure = new_figure(7, 3.8)
axes = figure.subplots()
for number, (name, values) in enumerate(errors.items()):
    axes.plot(
        sizes,
        values,
        marker="os^"[number],
        color=COLOURS[number],
        linestyle=LINES[number],
        label=name.replace("_", " "),
    )
axes.plot(
    sizes[-1],
    100 * np.sqrt(np.mean((sampled - true) ** 2)),
    "D",
    color="0.1",
    markersize=8,
    label="model (sampled)",
)
axes.set_xscale("log")
axes.set_xticks(sizes, [str(size) for size in sizes])
axes.minorticks_off()
axes.set_xlabel("fitted questions (logarithmic)")
axes.set_ylabel("root mean squared error of P(correct), points")
axes.set_title(f"Error against the truth on {len(true)} unseen questions", fontsize=9)
axes.legend(frameon=False, fontsize=8)
figure

# %% [markdown]
# The point estimate needs all 242 questions to come near what the LLM means know after 30: with few answers it believes chance. How the sampled model
# fares at the smaller sizes is not measured here; "To try" below says how to find out.
#
# ## What a point estimate cannot say
#
# It has no interval, so it cannot say how sure a decision is, whether more data would change it, with which probability a promise of "at least 80 %"
# is kept, or which question a new LLM should be asked next; notebooks 3 and 4 ask the posterior all of these. Its reliability can be looked at
# afterwards, though. The bars of a point estimate are narrower, because it has no residual that the answers to one question share; more dots fall outside.

# %%
from bayes_irt_router.evaluation.judged import judge, training_facts
from bayes_irt_router.evaluation.predictions import point_estimate
from bayes_irt_router.report.plots.reliability_diagram import reliability_diagram

predictions = {
    "model": predict_model(router.posterior, featured_test, np.random.default_rng(0)),
    "point estimate": point_estimate(point_mean),
}
judged, _ = judge(featured_test, training_facts(router.posterior, featured_test), predictions, (0.8,), seed=0)
reliability_diagram(judged, "model")

# %%
reliability_diagram(judged, "point estimate")

# %% [markdown]
# ## NIRT
#
# A neural item response model has no curve of a fixed form: an LLM's abilities, weighted by which of them a question needs, and the question's difficulty go
# through a network with weights that keep "more able" from meaning "less often right". It can bend where the sigmoid cannot; it has more to learn
# from the same answers.
#
# Here its 25 named abilities are those of the written descriptions in `irt/ability_table.py`; four networks are trained side by side by amortized
# variational inference, and stand in the place of chains. The same predictions come out, to be judged in the same way.

# %%
from bayes_irt_router.data.embedding_cache import embed_texts
from bayes_irt_router.data.encoder import Encoder
from bayes_irt_router.inference.neural_fitting import fit_nirt
from bayes_irt_router.irt.nirt import NIRT
from bayes_irt_router.irt.relevance import from_descriptions

descriptions = from_descriptions(
    embed_texts([one.description for one in NIRT().abilities], Encoder(), progress=False)
)
neural = fit_nirt(NIRT(), featured_train, relevance=descriptions, seed=0, progress=False)
neural_prediction = predict_model(neural, featured_test, np.random.default_rng(0))
neural_mean = neural_prediction.mean
for name, p in (("MIRT", sampled), ("NIRT", neural_mean), ("point estimate", point_mean)):
    print(f"{name:15} root mean squared error {100 * np.sqrt(np.mean((p - true) ** 2)):.1f} points")

# %% [markdown]
# On these data the MIRT's curve is the true one, so the network could only lose; here it is level, so its freedom costs next to nothing.
# On the command line the kind of model is a choice at fit, and everything after the fit is the same:
#
# ```
# birt fit --kind nirt --data DIR --split train --output MODEL
# ```

# %% [markdown]
# Do the two say the same of the LLMs, too? Parameters of two fits have no common coordinates, but it can be asked how far the ability that tells
# most in the one correlates with that in the other, and how much of a named ability is a combination of the other's traits, whichever way those are turned:

# %%
from bayes_irt_router.report.ability_agreement import ability_agreement

agreement = ability_agreement(router.posterior, neural, np.random.default_rng(0)).set_index("ability")
named = agreement.drop(index="mean of all")["explained"]
print(agreement.loc["mean of all"].round(2).to_string())
print(f"named abilities explained by the MIRT's traits: {named.min():.2f} to {named.max():.2f}")

# %% [markdown]
# On the whole yes, and in detail no. The mean of the NIRT's abilities is the MIRT's general trait, up to what either is unsure of. A single named
# ability is explained by the three traits to between a quarter and a half: the rest is what the descriptions bring in, and what 242 questions do not
# decide between 25 names. So trust the ranking, which both find; read a named ability with its interval.
#
# ## To try
#
# - Fit the MIRT to the first 60 questions of `order` as notebook 1 does, and put its error into the picture. Is the gap to the point estimate wider there?
# - Give the logistic regression the embedding only. How much of what looks like a better model is better features?
# - Simulate 2,000 questions and compare again. Which gaps close?
