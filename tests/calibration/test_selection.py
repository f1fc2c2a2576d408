import itertools
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from bayes_irt_router.calibration.ability_prior import new_llm_prior
from bayes_irt_router.calibration.answers import Answer
from bayes_irt_router.calibration.belief import belief
from bayes_irt_router.calibration.placing import place
from bayes_irt_router.calibration.selection import (
    SELECTORS,
    Choosable,
    choose_queries,
    expected_information_gain,
    expected_variance_reduction,
    task_shares,
)
from bayes_irt_router.calibration.session import Setup, next_queries, plan, state
from bayes_irt_router.calibration.targets import Target, expected_regret, routing_stakes
from bayes_irt_router.errors import InputError


@pytest.fixture(scope="module")
def prior(small_fit):
    return new_llm_prior(small_fit)


@pytest.fixture(scope="module")
def start(fitted_bank, prior):
    return belief(fitted_bank, place(fitted_bank, prior, [], np.random.default_rng(0)))


@pytest.fixture(scope="module")
def choosable(fitted_bank):
    open_ = np.ones(len(fitted_bank.query), dtype=bool)
    return Choosable(open_, np.ones(len(fitted_bank.query)), task_shares(fitted_bank, open_))


def setup(bank, prior, choosable, **changes):
    return replace(Setup(bank, prior, Target(), choosable), **changes)


def choose(bank, start, choosable, count, **options):
    values = Target().values(bank, start, [])
    return choose_queries(bank, start, values, choosable, count, np.random.default_rng(0), **options)


@pytest.mark.parametrize("selector", SELECTORS)
def test_no_query_comes_twice_and_tasks_get_their_share(fitted_bank, start, choosable, selector):
    chosen = choose(fitted_bank, start, choosable, 20, selector=selector)
    assert len({choice.position for choice in chosen}) == 20
    had = Counter(fitted_bank.task[choice.position] for choice in chosen)
    for task, share in choosable.share.items():
        assert abs(had[task] - 20 * share) <= 1.5
    assert len(choose(fitted_bank, start, choosable, 1000, selector=selector)) == len(fitted_bank.query)


def test_unknown_selectors_are_refused(fitted_bank, start, choosable):
    with pytest.raises(InputError, match="variance, information"):
        choose(fitted_bank, start, choosable, 1, selector="best")


def test_variance_reduction_is_that_of_conditioning_on_either_answer(fitted_bank, start):
    """Law of total variance, by enumerating both answers."""
    values = Target().values(fitted_bank, start, [])
    scores = expected_variance_reduction(fitted_bank, start, values)
    target = values.values[:, 0]
    for i in (0, 17, 40):
        p = start.p_correct[:, i].astype(float)
        left = 0.0
        for weight in (p, 1 - p):
            mean = np.average(target, weights=weight)
            left += weight.mean() * np.average((target - mean) ** 2, weights=weight)
        assert scores[i] == pytest.approx(target.var() - left, rel=1e-3)


def test_information_gain_is_that_of_conditioning_on_either_answer(fitted_bank, start):
    gain = expected_information_gain(fitted_bank, start, Target().values(fitted_bank, start, []))
    p = start.p_correct[:, 5].astype(float)
    expected = sum((w * np.log(w / w.mean())).mean() for w in (p, 1 - p))
    assert gain[5] == pytest.approx(expected, rel=1e-3)
    assert (gain >= -1e-6).all()


def test_a_dearer_query_is_asked_later(fitted_bank, start, choosable):
    free = replace(choosable, share={})
    first = choose(fitted_bank, start, free, 1)[0].position
    cost = np.where(np.arange(len(fitted_bank.query)) == first, 1e6, 1.0)
    assert choose(fitted_bank, start, replace(free, cost=cost), 1)[0].position != first


def test_conditioning_shrinks_every_spread_by_the_linear_update(fitted_bank, start):
    values = Target().values(fitted_bank, start, []).values
    after, target = start.conditioned(3, values)
    p = start.p_correct.astype(float)
    covariance = ((p[:, 3] - p[:, 3].mean()) * (values[:, 0] - values[:, 0].mean())).mean()
    expected = values.var() - covariance**2 / start.answer_variance[3]
    assert target.var() == pytest.approx(expected, rel=1e-3)
    assert target.mean() == pytest.approx(values.mean(), abs=1e-6)
    assert (after.ability.var(axis=0) <= start.ability.var(axis=0) + 1e-9).all()


def test_a_task_as_target_prefers_telling_of_that_task(fitted_bank, start, choosable):
    task = fitted_bank.task[0]
    target = Target(f"task:{task}")
    values = target.values(fitted_bank, start, [])
    members = target.groups(fitted_bank)[0]
    np.testing.assert_allclose(values.values[:, 0], start.p_correct[:, members].mean(axis=1), rtol=1e-5)
    assert values.noise[np.setdiff1d(np.arange(fitted_bank.fitted), members)].max() == 0.0
    for wrong in ("task:none", "fame"):
        with pytest.raises(InputError, match="There is no"):
            Target(wrong).check(fitted_bank)
    with pytest.raises(InputError, match="prices"):
        Target("regret").check(fitted_bank)


def test_answers_given_count_as_they_are(fitted_bank, start):
    given = [Answer(name, 1.0) for name in fitted_bank.query]
    values = Target().values(fitted_bank, start, given)
    assert values.sd == 0.0
    assert values.values[0, 0] == pytest.approx(1.0)


def test_a_plan_expects_less_and_less_spread_about_as_much_as_is_found(fitted_bank, prior, choosable):
    own = setup(fitted_bank, prior, choosable)
    made = plan(own, state(own, []), 30)
    sds = list(made.expected_sd.values())
    assert list(made.expected_sd) == [0, 10, 20, 30]
    assert sds == sorted(sds, reverse=True)
    rng, found = np.random.default_rng(4), []
    for _ in range(12):
        s = int(rng.integers(fitted_bank.draws))
        theta = prior.mean[s] + prior.factor[s] @ rng.standard_normal(2)
        p = fitted_bank.p_correct(np.array([s]), theta[None])[0]
        asked = [c.position for c in made.choices[:20]]
        found.append(
            state(own, [Answer(fitted_bank.query[i], float(rng.random() < p[i])) for i in asked]).target.sd
        )
    # two means of twelve simulations each, whose SDs vary by a quarter
    assert made.expected_sd[20] == pytest.approx(np.sqrt(np.mean(np.square(found))), rel=0.3)
    assert (
        made.expected_sd[20] < made.choices[19].linear_sd
    )  # no linear estimator does better than the posterior


def test_chosen_questions_tell_more_than_random_ones(fitted_bank, prior, choosable):
    sds = {}
    for selector in ("variance", "random"):
        own = setup(fitted_bank, prior, choosable, selector=selector)
        found = [next_queries(replace(own, seed=s), state(own, []), 10)[-1].linear_sd for s in range(5)]
        sds[selector] = np.mean(found)
    assert sds["variance"] < sds["random"]


def test_what_is_asked_depends_on_the_answers_alone(fitted_bank, prior, choosable):
    own = setup(fitted_bank, prior, choosable)
    given = [Answer(fitted_bank.query[i], float(i % 2)) for i in range(5)]
    first, second = (next_queries(own, state(own, given), 1) for _ in range(2))
    assert first[0].position == second[0].position
    skipped = [fitted_bank.query[first[0].position]]
    assert next_queries(own, state(own, given), 1, skipped)[0].position != first[0].position


def test_regret_is_what_knowing_the_ability_would_gain(fitted_bank, start, choosable):
    names = [*fitted_bank.posterior.llm, "new"]
    cost = np.zeros((len(fitted_bank.query), len(names)))
    stakes = routing_stakes(fitted_bank, "new", names, cost, 0.8)
    regret = expected_regret(stakes, start)
    assert regret > 0
    hopeless = replace(stakes, cost=np.full(len(stakes.queries), 1e3))
    assert expected_regret(hopeless, start) == 0.0
    sure = replace(start, p_correct=np.broadcast_to(start.p_correct.mean(axis=0), start.p_correct.shape))
    assert expected_regret(stakes, sure) == pytest.approx(0.0, abs=1e-6)
    values = Target("regret", stakes).values(fitted_bank, start, [])
    gains = expected_variance_reduction(fitted_bank, start, values)
    after, _ = start.conditioned(int(gains.argmax()), values.values)
    assert expected_regret(stakes, after) < regret
    with pytest.raises(InputError, match="prices"):
        routing_stakes(fitted_bank, "new", names, cost * np.nan, 0.8)


@pytest.mark.parametrize(
    ("target", "selector"), [*itertools.product(("tasks", "ability"), ("variance", "fisher"))]
)
def test_every_target_goes_with_every_selector(fitted_bank, start, choosable, target, selector):
    values = Target(target).values(fitted_bank, start, [])
    rng = np.random.default_rng(0)
    found = choose_queries(fitted_bank, start, values, choosable, 5, rng, selector=selector)
    sds = [choice.linear_sd for choice in found]
    assert sds == sorted(sds, reverse=True)
    assert sds[0] < values.sd
