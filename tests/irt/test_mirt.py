import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import qr
from scipy.special import expit, gammaln
from scipy.stats import betabinom, chi2, norm

from bayes_irt_router.data.feature_map import TASK_PREFIX, fit_feature_map
from bayes_irt_router.errors import InputError
from bayes_irt_router.irt.llm_covariates import COVARIATES, covariate_matrix, family_index
from bayes_irt_router.irt.mirt import MIRT, trait_names
from bayes_irt_router.irt.population import NARROW
from bayes_irt_router.irt.priors import MIRTPriors
from bayes_irt_router.irt.score_distributions import GRADED_STEPS, graded_queries
from bayes_irt_router.irt.testlets import UNSEEN_TASK

ERROR_RATE = 1e-4  # of each Monte Carlo test below, over all its comparisons (Bonferroni)
QUICK = "FAST_COMPILE"  # Python instead of machine code: compiling would take longer than all evaluations

VARIANTS = {
    "one trait": MIRT(traits=1),
    "two traits": MIRT(traits=2),
    "four traits": MIRT(traits=4, priors=MIRTPriors(difficulty_mean=1.0, difficulty_kernel=0.7)),
    "covariates": MIRT(traits=3, covariates=COVARIATES),
    "families": MIRT(traits=2, families=True),
    "both": MIRT(traits=3, covariates=("release_date",), families=True, priors=MIRTPriors(covariate=0.9)),
}


def with_answers(data, kind, seed=0):
    """Missing cells everywhere; scores of one trial, of several trials, or half of the queries graded."""
    rng = np.random.default_rng(seed)
    shape = (data.sizes["query"], data.sizes["llm"])
    trials = rng.integers(0, 2 if kind == "single" else 4, shape)
    score = rng.binomial(trials, 0.6) / np.maximum(trials, 1)
    if kind == "graded":
        score[::2] = rng.random(score[::2].shape).round(2)
        trials[::2] = rng.integers(0, 3, score[::2].shape)
        score[0, :2], trials[0, :2] = (0.0, 1.0), 1  # the ends of the scale among graded answers
        score[0, 2], trials[0, 2] = 0.37, 1
    score = np.where(trials > 0, score, np.nan)
    return data.assign(score=(("query", "llm"), score), trials=(("query", "llm"), trials))


@pytest.fixture(scope="module")
def with_tasks(bank):
    """The same, with features of a map that tells four tasks apart."""
    data = bank(48, llms=7, seed=2, tasks=4)
    return fit_feature_map(data).apply_in_training(data).isel(query=slice(12))


@pytest.fixture(scope="module")
def mapped(bank):
    """12 queries x 7 LLMs, with the features of a map that was fitted on more queries."""
    data = bank(32, llms=7, seed=2)
    return fit_feature_map(data).apply(data).isel(query=slice(12))


def random_point(model, rng):
    """A point in the sampler's space: everything real, positive variables as logarithms.

    The logits stay within 9, where no probability is so near 0 or 1 that the graded likelihood cuts it off.
    """
    return {
        name: rng.normal(-0.7, 0.3, value.shape)
        if name.endswith("_log__")
        else rng.normal(0, 0.4, value.shape)
        for name, value in model.initial_point().items()
    }


def natural(point):
    """The point in the variables' own scale, and the log of the Jacobian of the way there."""
    values, jacobian = {}, 0.0
    for name, value in point.items():
        if name.endswith("_log__"):
            values[name.removesuffix("_log__")] = np.exp(value)
            jacobian += value.sum()
        else:
            values[name] = np.asarray(value)
    return values, jacobian


def normal(x, sd=1.0):
    return np.sum(-0.5 * (x / sd) ** 2 - np.log(sd) - 0.5 * np.log(2 * np.pi))


def half_normal(x, scale):
    return normal(x, scale) + np.size(x) * np.log(2.0)


def log_normal(x, median):
    return normal(np.log(x) - np.log(median), 0.8) - np.sum(np.log(x))


def framed_ability(mirt, data, v):
    """theta = frame(Z gamma + family effect + residual), step by step."""
    raw = v["ability_residual"].T
    if mirt.covariates:
        raw = raw + covariate_matrix(data, mirt.covariates) @ v["covariate_weight"].T
    if mirt.families:
        raw = raw + float(v["family_sd"]) * v["family_effect"][:, family_index(data)[1]].T
    raw = raw - raw.mean(axis=0)
    return np.linalg.solve(np.linalg.cholesky(raw.T @ raw / len(raw)), raw.T).T


def log_density(mirt, data, v, weight_b, weight_a):
    """The equations of MIRT's docstring in plain loops; the weights are those on the named features."""
    priors, traits = mirt.priors, mirt.traits
    phi, novelty = data["features"].values.astype(float), data["novelty"].values.astype(float)

    total = normal(v["difficulty_mean"], priors.difficulty_mean)
    raw = v["ability_residual"]
    if mirt.covariates or mirt.families:
        total += normal(raw)
    else:  # narrowed in what standardising takes away, and without the constant of a standard normal
        mean, covariance = raw.mean(axis=1), np.atleast_2d(np.cov(raw, bias=True))
        away = np.sum(mean**2) + np.sum((covariance - np.eye(traits)) ** 2)
        total += -0.5 * np.sum(raw**2) - away / (2 * NARROW**2)
        freedom = data.sizes["llm"] - 1.0 - np.arange(traits)
        total += chi2.logpdf(v["frame_diagonal_square"], freedom).sum()
        if traits > 1:
            total += normal(v["frame_below"])
    if mirt.covariates:
        total += normal(v["covariate_weight"], priors.covariate)
    if mirt.families:
        total += log_normal(v["family_sd"], priors.family) + normal(v["family_effect"])
    for equation in ("difficulty", "discrimination"):
        for kind in ("surface", "kernel", "residual"):
            total += log_normal(v[f"{equation}_{kind}_sd"], getattr(priors, f"{equation}_{kind}"))
    total += half_normal(v["discrimination_mean"], priors.discrimination_mean)
    total += normal(v["difficulty_component"]) + normal(v["discrimination_component"])
    total += normal(v["discrimination_residual"])

    mean_b = v["difficulty_mean"] + phi @ weight_b
    sd_b = np.sqrt(v["difficulty_residual_sd"] ** 2 + v["difficulty_kernel_sd"] ** 2 * novelty)
    total += normal(v["difficulty"] - mean_b, sd_b)

    discrimination = phi @ weight_a.T
    discrimination[:, 0] += v["discrimination_mean"]
    for d in range(traits):
        variance = (
            v["discrimination_residual_sd"][min(d, 1)] ** 2 + v["discrimination_kernel_sd"] ** 2 * novelty
        )
        residual = np.sqrt(variance) * v["discrimination_residual"][d]
        if d == 0:
            of_general = residual
        else:
            residual = residual + v["discrimination_residual_slope"][d - 1] * of_general
        discrimination[:, d] += residual
    if traits > 1:
        total += normal(v["discrimination_residual_slope"], priors.discrimination_slope)

    if (data["feature_group"].values == "task").any():
        total += normal(v["unseen_task"])
    testlets = mirt.testlets and (data["feature_group"].values == "task").sum() > traits
    if testlets:
        total += log_normal(v["testlet_sd"], priors.testlet)
        z = v["testlet_residual"]  # (testlet, llm)
        names = data["feature"].values[data["feature_group"].values == "task"]
        task = [list(names).index(f"{TASK_PREFIX}{name}") for name in data["task"].values]
        total += -0.5 * np.sum(z**2)
        inside = np.stack(
            [(data["trials"].values[np.array(task) == t] > 0).any(axis=0) for t in range(len(names))]
        )
        inside[~inside.any(axis=1)] = True
        # Least squares of least norm: what a task and what an LLM have in common over the cells inside.
        rows, llms = np.nonzero(inside)
        design = np.hstack([np.eye(len(inside))[rows], np.eye(inside.shape[1])[llms]])
        found = np.linalg.lstsq(design, z[:-1][inside], rcond=None)[0]
        total -= np.sum(found**2) / (2 * NARROW**2)
        effect = np.zeros(inside.T.shape)
        effect[llms, rows] = v["testlet_sd"] * (z[:-1][inside] - design @ found)
    theta = framed_ability(mirt, data, v)
    graded = graded_queries(data)
    for i in range(data.sizes["query"]):
        for j in range(data.sizes["llm"]):
            n, y = int(data["trials"].values[i, j]), float(data["score"].values[i, j])
            if n == 0:
                continue
            logit = discrimination[i] @ theta[j] - v["difficulty"][i]
            if testlets:
                logit += effect[j, task[i]]
            assert abs(logit) < 9
            p = expit(logit)
            if graded[i]:
                k = n * (float(v["score_precision"]) + 1) - 1
                steps, right = GRADED_STEPS, round(GRADED_STEPS * y)
                choices = gammaln(steps + 1) - gammaln(right + 1) - gammaln(steps - right + 1)
                total += betabinom.logpmf(right, steps, p * k, (1 - p) * k) - choices
            else:
                total += n * (y * np.log(p) + (1 - y) * np.log(1 - p))
    if graded.any():
        total += log_normal(v["score_precision"], priors.score_precision)
    return total


def compiled(model, *names):
    outputs = model.replace_rvs_by_values([model[name] for name in names])
    return model.compile_fn(outputs, inputs=model.value_vars, mode=QUICK, on_unused_input="ignore")


@dataclass(frozen=True)
class Built:
    """A model, what it was built from, and its deterministic variables as a function of a point."""

    mirt: MIRT
    data: xr.Dataset
    model: Any
    values: Callable


def build(mirt, data):
    model = mirt.build(data)
    names = ("difficulty_weight", "discrimination_weight", "ability", "discrimination")
    return Built(mirt, data, model, compiled(model, *names))


@pytest.fixture(scope="module", params=VARIANTS)
def built(mapped, request):
    """Every variant, fitted to all sorts of answers at once: missing, single, repeated and graded ones."""
    return build(VARIANTS[request.param], with_answers(mapped, "graded"))


def check_log_density(built):
    rng, density = np.random.default_rng(6), built.model.compile_logp(mode=QUICK)
    for _ in range(3):
        point = random_point(built.model, rng)
        v, jacobian = natural(point)
        weight_b, weight_a, ability, discrimination = built.values(point)
        expected = log_density(built.mirt, built.data, v, weight_b, weight_a) + jacobian
        assert density(point) == pytest.approx(expected, rel=1e-6, abs=1e-4)
        theta = framed_ability(built.mirt, built.data, v)
        np.testing.assert_allclose(ability, theta, atol=1e-6)
        assert discrimination.shape == (built.data.sizes["query"], built.mirt.traits)


def test_log_density_equals_the_equations(built):
    assert graded_queries(built.data).any()
    check_log_density(built)


@pytest.mark.parametrize("kind", ["single", "repeated"])
def test_log_density_without_graded_answers(mapped, kind):
    data = with_answers(mapped, kind)
    assert not graded_queries(data).any()
    check_log_density(build(MIRT(traits=2), data))


@pytest.mark.parametrize("traits", [1, 3])
def test_log_density_with_effects_of_llms_on_tasks(with_tasks, traits):
    check_log_density(build(MIRT(traits=traits), with_answers(with_tasks, "graded")))


@pytest.mark.parametrize("mirt", [MIRT(traits=2, testlets=False), MIRT(traits=4)])
def test_effects_on_tasks_are_left_out_on_request_and_where_traits_can_hold_them(with_tasks, mirt):
    built = build(mirt, with_answers(with_tasks, "single"))
    assert "testlet_effect" not in built.model.named_vars
    assert "unseen_difficulty" in built.model.named_vars
    check_log_density(built)


def test_effects_on_tasks_are_relative_to_those_that_answered_and_those_of_an_unseen_task_are_their_prior(
    with_tasks,
):
    data = with_answers(with_tasks, "single")
    model = MIRT(traits=2).build(data)
    rng, density = np.random.default_rng(4), model.compile_logp(mode=QUICK)
    assert list(model.coords["testlet"])[-1] == UNSEEN_TASK
    (effect,) = compiled(model, "testlet_effect")(random_point(model, rng))
    inside = (
        data["trials"].groupby("task").sum().values > 0
    ).T  # the tasks in the map's order, which is the alphabet's
    assert not inside.all()
    answered = np.where(inside, effect[:, :-1], 0.0)
    np.testing.assert_allclose(answered.sum(axis=0), 0.0, atol=1e-6)
    np.testing.assert_allclose(answered.sum(axis=1), 0.0, atol=1e-6)
    point = random_point(model, rng)
    moved = {name: value.copy() for name, value in point.items()}
    moved["testlet_residual"][-1] = rng.standard_normal(7)
    moved["unseen_task"] = rng.standard_normal(3)
    change = sum(normal(moved[n]) - normal(point[n]) for n in ("testlet_residual", "unseen_task"))
    assert density(moved) - density(point) == pytest.approx(change, abs=1e-4)


def test_an_llm_s_effect_on_a_task_of_which_it_answered_nothing_is_its_prior(with_tasks):
    """Its answers do not tell of it, and it does not move the others: the density changes as the prior does."""
    data = with_answers(with_tasks, "single")
    task = str(data["task"].values[0])
    trials = data["trials"].copy()
    trials[(data["task"] == task).values, 0] = 0
    built = build(MIRT(traits=2), data.assign(trials=trials))
    check_log_density(built)
    model, rng = built.model, np.random.default_rng(5)
    density = model.compile_logp(mode=QUICK)
    row = list(model.coords["testlet"]).index(f"{TASK_PREFIX}{task}")
    point = random_point(model, rng)
    moved = {name: value.copy() for name, value in point.items()}
    moved["testlet_residual"][row, 0] += 2.0
    change = normal(moved["testlet_residual"]) - normal(point["testlet_residual"])
    assert density(moved) - density(point) == pytest.approx(change, abs=1e-4)


def test_ability_has_mean_0_sd_1_and_no_correlation_at_every_point(built):
    rng = np.random.default_rng(1)
    for _ in range(5):
        ability = built.values(random_point(built.model, rng))[2]
        np.testing.assert_allclose(ability.mean(axis=0), 0.0, atol=1e-6)
        np.testing.assert_allclose(ability.T @ ability / len(ability), np.eye(ability.shape[1]), atol=1e-6)


def test_named_weights_have_the_prior_of_the_sampled_ones(mapped):
    """Principal axes turn the surface features' weights and do not stretch them."""
    data = with_answers(mapped, "single")
    model = MIRT(traits=2).build(data)
    surface = data["feature_group"].values == "surface"
    point = random_point(model, np.random.default_rng(0))
    v, _ = natural(point)
    weight_b, weight_a = compiled(model, "difficulty_weight", "discrimination_weight")(point)
    turned, kept = v["difficulty_component"][: surface.sum()], v["difficulty_component"][surface.sum() :]
    assert np.linalg.norm(weight_b[surface]) == pytest.approx(
        v["difficulty_surface_sd"] * np.linalg.norm(turned)
    )
    np.testing.assert_allclose(weight_b[~surface], v["difficulty_kernel_sd"] * kept)
    for d in range(2):
        component = v["discrimination_component"][d]
        assert np.linalg.norm(weight_a[d, surface]) == pytest.approx(
            v["discrimination_surface_sd"] * np.linalg.norm(component[: surface.sum()])
        )
        np.testing.assert_allclose(
            weight_a[d, ~surface], v["discrimination_kernel_sd"] * component[surface.sum() :]
        )


@pytest.mark.parametrize("queries", [2, 4, 12])
def test_there_may_be_fewer_queries_than_surface_features(mapped, queries):
    data = with_answers(mapped, "single").isel(query=slice(queries))
    model = MIRT(traits=2).build(data)
    point = random_point(model, np.random.default_rng(0))
    assert np.isfinite(model.compile_logp(mode=QUICK)(point))
    (weight,) = compiled(model, "difficulty_weight")(point)
    assert weight.shape == (data.sizes["feature"],)


def test_there_may_be_no_surface_features(mapped):
    data = with_answers(mapped, "single")
    data = data.isel(feature=np.flatnonzero(data["feature_group"].values == "kernel"))
    model = MIRT(traits=2).build(data)
    assert np.isfinite(model.compile_logp(mode=QUICK)(random_point(model, np.random.default_rng(0))))


def test_the_prior_of_ability_favours_no_direction(mapped):
    """Without covariates the abilities span a uniformly distributed subspace of the zero-sum vectors.

    The projector P on it then has E[P] = d / n (I - 1 1'/J) with n = J - 1, and for a unit zero-sum vector u
    u'P u ~ Beta(d / 2, (n - d) / 2), for the general trait (d = 1) and for the specific ones (d = 2) alike.
    """
    import pymc as pm

    data, rng, draws = with_answers(mapped, "single"), np.random.default_rng(0), 600
    llms = data.sizes["llm"]
    model = MIRT(traits=3).build(data)
    ability = pm.draw(model["ability"], draws=draws, random_seed=1, mode=QUICK)
    zero_sum = qr(np.column_stack([np.ones(llms), rng.standard_normal((llms, llms - 1))]))[0][:, 1:]
    directions = zero_sum.T
    z = []
    for columns in (slice(0, 1), slice(1, 3)):
        held = np.square(np.einsum("sjd,uj->sud", ability[:, :, columns], directions)).sum(axis=2) / llms
        d, n = (1, llms - 1) if columns.start == 0 else (2, llms - 1)
        mean, second = d / n, d * (d + 2) / (n * (n + 2))
        fourth = second * (d + 4) * (d + 6) / ((n + 4) * (n + 6))
        z.append((held.mean(axis=0) - mean) / np.sqrt((second - mean**2) / draws))
        z.append(((held**2).mean(axis=0) - second) / np.sqrt((fourth - second**2) / draws))
    assert np.abs(z).max() < norm.isf(ERROR_RATE / 2 / np.size(z))


@pytest.mark.parametrize("traits", [2, 3, 4])
def test_the_posterior_does_not_know_how_the_specific_traits_are_turned(with_tasks, traits):
    """Turn the raw specific abilities; the frame answers with a turn of its own, by which discriminations are to be turned."""
    mirt = MIRT(traits=traits, covariates=("release_date",))
    data, rng = with_answers(with_tasks, "graded"), np.random.default_rng(3)
    model = mirt.build(data)
    point = random_point(model, rng)
    turn = np.eye(traits)
    turn[1:, 1:] = qr(rng.standard_normal((traits - 1, traits - 1)))[0]
    turned = dict(point)
    for name in ("ability_residual", "covariate_weight"):
        turned[name] = turn @ point[name]
    before, after = (framed_ability(mirt, data, natural(one)[0]) for one in (point, turned))
    answer = np.linalg.lstsq(before, after, rcond=None)[0]  # after = before @ answer
    np.testing.assert_allclose(answer @ answer.T, np.eye(traits), atol=1e-9)
    np.testing.assert_allclose(answer[0], np.eye(traits)[0], atol=1e-9)
    for name in ("discrimination_component", "discrimination_residual"):
        turned[name] = answer.T @ point[name]
    slope = "discrimination_residual_slope"
    turned[slope] = answer[1:, 1:].T @ point[slope]
    density = model.compile_logp(mode=QUICK)
    assert density(turned) == pytest.approx(density(point), rel=1e-9, abs=1e-6)


@pytest.mark.parametrize("kind", ["single", "repeated", "graded"])
def test_prior_predictive_scores_are_scores(mapped, kind):
    import pymc as pm

    data = with_answers(mapped, kind)
    model = MIRT(traits=2).build(data)
    tree = pm.sample_prior_predictive(25, model=model, random_seed=3, compile_kwargs={"mode": QUICK})
    graded = graded_queries(data)
    score = tree["prior_predictive"]["score"].values[0]  # (draw, llm, query)
    trials = data["trials"].transpose("llm", "query").values[:, ~graded]
    assert score.shape == (25, *trials.shape)
    assert ((score >= 0) & (score <= 1)).all()
    right = score * trials
    np.testing.assert_allclose(right, right.round(), atol=1e-6)
    assert len(np.unique(score)) > (2 if kind == "repeated" else 1)
    if kind == "graded":
        steps = GRADED_STEPS * tree["prior_predictive"]["graded_score"].values[0]
        assert steps.shape == (25, data.sizes["llm"], graded.sum())
        assert ((steps >= 0) & (steps <= GRADED_STEPS)).all()
        np.testing.assert_allclose(steps, steps.round(), atol=1e-4)


def test_repeated_trials_count_as_often_as_they_were_asked(mapped):
    """Three right answers of three weigh three times as much as one of one."""
    data = with_answers(mapped, "single")
    thrice = data.assign(trials=3 * data["trials"])
    models = [MIRT(traits=2).build(d) for d in (data, thrice)]
    once, three = (model.compile_logp(vars=[model["score"]], mode=QUICK) for model in models)
    point = random_point(models[0], np.random.default_rng(2))
    assert three(point) == pytest.approx(3 * once(point))


def test_missing_cells_add_nothing(mapped):
    data = with_answers(mapped, "graded")
    changed = data.assign(score=data["score"].where(data["trials"] > 0, 0.5))
    models = [MIRT(traits=2).build(d) for d in (data, changed)]
    point = random_point(models[0], np.random.default_rng(2))
    first, second = (model.compile_logp(mode=QUICK)(point) for model in models)
    assert first == pytest.approx(second)


def test_graded_queries_are_those_whose_scores_no_count_gives():
    score = np.array([[1.0, 0.0], [0.5, np.nan], [0.5, 1.0], [1 / 3, 2 / 3], [0.3, 1.0]])
    trials = np.array([[1, 1], [2, 0], [1, 1], [3, 3], [3, 1]])
    data = xr.Dataset({"score": (("query", "llm"), score), "trials": (("query", "llm"), trials)})
    assert graded_queries(data).tolist() == [False, False, True, False, True]


@pytest.mark.parametrize("traits", [1, 2, 4])
def test_too_few_llms(mapped, traits):
    enough = with_answers(mapped, "single").isel(llm=slice(traits + 2))
    MIRT(traits=traits).build(enough)
    with pytest.raises(InputError, match=f"need at least {traits + 2} LLMs, the data have {traits + 1}"):
        MIRT(traits=traits).build(enough.isel(llm=slice(traits + 1)))


def test_wrong_settings_are_told_at_once():
    with pytest.raises(InputError) as caught:
        MIRT(traits=9, covariates=("colour", "log_price"))
    assert len(caught.value.problems) == 2
    assert "traits is 9" in caught.value.problems[0]
    assert "no LLM covariate colour;" in caught.value.problems[1]


@given(st.integers(1, 8), st.floats(0.1, 5), st.sets(st.sampled_from(COVARIATES)).map(sorted), st.booleans())
def test_dictionary_round_trip(traits, scale, covariates, families):
    mirt = MIRT(traits, MIRTPriors(difficulty_mean=scale), tuple(covariates), families)
    saved = json.loads(json.dumps(mirt.to_dict()))
    assert MIRT.from_dict(saved) == mirt


def test_trait_names_are_distinct_and_the_general_one_comes_first():
    for traits in range(1, 9):
        names = trait_names(traits)
        assert len(set(names)) == traits
        assert names[0] == "general"
