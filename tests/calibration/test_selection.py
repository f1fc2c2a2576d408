import itertools
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit

from bayes_irt_router.calibration.ability_prior import new_llm_prior
from bayes_irt_router.calibration.answers import Answer
from bayes_irt_router.calibration.belief import Belief, belief, simulated_scores
from bayes_irt_router.calibration.items import ItemBank
from bayes_irt_router.calibration.placing import place
from bayes_irt_router.calibration.preparation import prepare
from bayes_irt_router.calibration.pricing import with_llm_cost
from bayes_irt_router.calibration.selection import (
    SELECTORS,
    Choosable,
    choose_queries,
    expected_information_gain,
    expected_variance_reduction,
    task_shares,
)
from bayes_irt_router.calibration.session import Setup, Stopping, next_queries, plan, state
from bayes_irt_router.calibration.summary import plan_json, plan_tables
from bayes_irt_router.calibration.targets import Target, expected_regret, routing_stakes
from bayes_irt_router.data.cost import CostModel
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


@pytest.fixture
def tiny(small_fit, prior):
    """A bank of five fitted queries in two tasks, and a belief of thirty particles about it."""
    names = tuple(str(name) for name in small_fit.draws["query"].values[:5])
    few = ItemBank(small_fit, names, ("a", "a", "b", "b", "b"), 5, None, np.zeros(5, dtype=bool))
    rng = np.random.default_rng(7)
    p = expit(2.0 * rng.standard_normal((30, 1)) + rng.standard_normal((30, 5)))
    return few, Belief(np.arange(30), rng.standard_normal((30, 2)), p, (p * (1 - p)).mean(axis=0))


@pytest.mark.parametrize("name", ["accuracy", "tasks", "task:b"])
def test_variance_reduction_is_that_of_asking_by_brute_force(tiny, name):
    """All answers to the four open queries enumerated in every particle: the target is what asking the whole bank would measure."""
    few, about = tiny
    given = [Answer(few.query[2], 1.0), Answer(few.query[2], 0.0)]
    target = Target(name)
    values = target.values(few, about, given)
    rows = np.array(list(itertools.product((0.0, 1.0), repeat=5)))
    rows = rows[rows[:, 2] == 1.0]
    open_ = [0, 1, 3, 4]
    p = about.p_correct[:, open_]
    weight = np.prod(np.where(rows[None, :, open_] == 1.0, p[:, None], 1 - p[:, None]), axis=2).mean(axis=0)
    rows[:, 2] = 0.5
    measured = np.column_stack([rows[:, members].mean(axis=1) for members in target.groups(few)])

    def variance(chosen):
        w = weight[chosen] / weight[chosen].sum()
        mean = w @ measured[chosen]
        return (w @ (measured[chosen] - mean) ** 2).mean()

    everything = np.ones(len(rows), dtype=bool)
    assert values.sd**2 == pytest.approx(variance(everything), rel=1e-9)
    gains = expected_variance_reduction(few, about, values)
    for i in open_:
        left = sum(weight[rows[:, i] == y].sum() * variance(rows[:, i] == y) for y in (0.0, 1.0))
        assert gains[i] == pytest.approx(variance(everything) - left, rel=1e-9)


@pytest.mark.parametrize("name", ["accuracy", "tasks", "ability"])
def test_an_answer_in_a_batch_takes_from_the_variance_what_it_was_chosen_for(fitted_bank, start, name):
    before = Target(name).values(fitted_bank, start, [])
    gains = expected_variance_reduction(fitted_bank, start, before)
    for i in (3, 20):
        after = before.answered(i, start)[1]
        assert before.sd**2 - after.sd**2 == pytest.approx(gains[i], rel=1e-3)


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
    assert values.part[0, np.setdiff1d(np.arange(fitted_bank.fitted), members)].max() == 0.0
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
    sds = list(made.expected.values())
    assert list(made.expected) == list(made.cost) == [0, 10, 20, 30]
    assert len(made.choices) == 30
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
    assert made.expected[20] == pytest.approx(np.sqrt(np.mean(np.square(found))), rel=0.3)


def test_a_short_plan_tells_what_to_expect_of_more(fitted_bank, prior, choosable):
    own = setup(fitted_bank, prior, choosable)
    short, long = (plan(own, state(own, []), count) for count in (3, 500))
    assert [len(short.choices), len(long.choices)] == [3, 48]
    assert list(short.expected) == [0, 3, 10, 20]
    assert list(long.expected) == [0, 10, 20, 48]
    assert long.choices[:3] == short.choices
    assert long.expected[48] == pytest.approx(0.0, abs=1e-9)  # everything is known then


def test_a_plan_for_regret_tells_regret_and_one_for_tasks_the_sd_of_a_task(fitted_bank, prior, choosable):
    names = [*fitted_bank.posterior.llm, "new"]
    stakes = routing_stakes(
        fitted_bank, "new", names, np.full((len(fitted_bank.query), len(names)), 0.3), 0.8
    )
    own = setup(fitted_bank, prior, choosable, target=Target("regret", stakes))
    now = state(own, [])
    made = plan(own, now, 20)
    assert made.expected[0] == expected_regret(stakes, now.belief) > made.expected[20]
    assert now.told(own.target, 0.89) == f"expected regret {made.expected[0]:.5f}"
    assert plan_json(made, own, "new", 0.89)["expected"][0]["sd"] is None
    assert "expected regret" in plan_tables(made, own, 0.89)[1].columns

    tasks = setup(fitted_bank, prior, choosable, target=Target("tasks"))
    now = state(tasks, [])
    shown = plan_json(plan(tasks, now, 5), tasks, "new", 0.89)["expected"][0]
    each = now.target.values.var(axis=0) + now.target.part**2 @ now.target.noise
    assert shown["sd"] == pytest.approx(np.sqrt(each.mean()))
    assert shown["lower"] is None
    assert "SD of a task" in now.told(tasks.target, 0.89)
    # The interval is that of the tasks' mean accuracy, which is known better than a task's.
    _, lower, upper = now.interval(0.6827)
    assert (upper - lower) / 2 == pytest.approx(now.target.sd_of_mean, rel=1e-3)
    assert now.target.sd_of_mean < shown["sd"]


def left(start, target, choices):
    """SD of the target once these are answered, by the best linear estimator."""
    for choice in choices:
        start, target = target.answered(choice.position, start)
    return target.sd


def test_chosen_questions_tell_more_than_random_ones(fitted_bank, prior, choosable):
    sds = {}
    for selector in ("variance", "random"):
        own = setup(fitted_bank, prior, choosable, selector=selector)
        now = state(own, [])
        found = [left(now.belief, now.target, next_queries(replace(own, seed=s), now, 10)) for s in range(5)]
        sds[selector] = np.mean(found)
    assert sds["variance"] < sds["random"]


def with_new_queries(small_fit, bank, task):
    new = bank(6, seed=5).assign_coords(query=[f"new-{i}" for i in range(6)], task=("query", [task] * 6))
    return ItemBank.of(small_fit, new)


@pytest.mark.parametrize("task", ["unheard of", ""])
def test_a_new_query_is_asked_where_it_tells_most_for_its_price(small_fit, bank, prior, task):
    items = with_new_queries(small_fit, bank, task)
    everything = np.ones(len(items.query), dtype=bool)
    price = np.where(np.arange(len(items.query)) < items.fitted, 1e4, 1.0)
    own = setup(items, prior, Choosable(everything, price, task_shares(items, everything)))
    first = next_queries(own, state(own, []), 10)
    assert all(choice.position >= items.fitted for choice in first[:6])
    had = Counter(items.task[choice.position] for choice in first[6:])
    assert max(had[name] - 4 * share for name, share in own.choosable.share.items()) <= 1.5
    at_random = next_queries(replace(own, selector="random"), state(own, []), 30)
    assert any(choice.position >= items.fitted for choice in at_random)


def test_one_task_as_target_is_asked_where_it_is_learned(fitted_bank, prior, small_fit):
    task = fitted_bank.task[0]
    cost = CostModel.from_dict(small_fit.record["cost"])
    cost = with_llm_cost(cost, "new", {}, [], {})
    own, all_tasks = (
        prepare(fitted_bank, prior, "new", cost, {}, Stopping(), asks=False, target=name)
        for name in (f"task:{task}", "accuracy")
    )
    now = state(own, [])
    chosen = next_queries(own, now, 12)
    balanced = next_queries(replace(own, choosable=all_tasks.choosable), now, 12)
    assert left(now.belief, now.target, chosen) < left(now.belief, now.target, balanced)


def test_repeated_answers_count_as_their_mean(fitted_bank, prior, choosable):
    own = setup(fitted_bank, prior, choosable)
    name = fitted_bank.query[0]
    repeated, once = (
        state(own, given)
        for given in (
            [Answer(name, 1.0), Answer(name, 0.0), Answer(fitted_bank.query[1], 1.0)],
            [Answer(name, 0.5, trials=2), Answer(fitted_bank.query[1], 1.0)],
        )
    )
    assert repeated.asked == once.asked == list(fitted_bank.query[:2])
    values = [Target().values(fitted_bank, repeated.belief, now.answers).values for now in (repeated, once)]
    np.testing.assert_allclose(*values)


def test_an_answer_varies_as_its_distribution_says(uncertain):
    """Graded or not: the variance over items' own parts and coins, given the ability, against simulated answers."""
    posterior = uncertain(1.5)
    names = [str(name) for name in posterior.draws["query"].values]
    bank = ItemBank.of(posterior, graded=names[::2])
    about = belief(bank, place(bank, new_llm_prior(posterior), [], np.random.default_rng(0)))
    rng, positions = np.random.default_rng(1), np.tile(np.arange(48), 300)
    inside = np.zeros(48)
    particles = range(0, len(about.index), 2)
    for particle in particles:
        scores = simulated_scores(bank, about, particle, positions, rng).reshape(300, 48)
        inside += np.var(scores, axis=0, ddof=1) / len(particles)
    assert set(scores[:, 1::2].ravel()) == {0.0, 1.0}
    assert len(set(scores[:, ::2].ravel())) > 50
    # a belief's probabilities err by up to 0.01; the Monte Carlo error of a mean over 24 queries is below 1 %
    np.testing.assert_allclose(about.noise, inside, atol=0.02)
    for graded in (slice(0, None, 2), slice(1, None, 2)):
        assert about.noise[graded].sum() == pytest.approx(inside[graded].sum(), rel=0.04)


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
    sds = [left(start, values, found[:n]) for n in range(6)]
    assert sds == sorted(sds, reverse=True)
    assert sds[5] < sds[0]
