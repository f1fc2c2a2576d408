"""Telling tasks apart: heavy tails, and what an unseen task looks like."""

import numpy as np
import pytest
from scipy.linalg import null_space

from bayes_irt_router.data.task_membership import TaskMembership, fit_task_membership
from bayes_irt_router.data.unseen_task import FARTHEST, UnseenTask, fit_unseen_task

DIMS = 12


def bank(rng, tasks=8, each=60, spread=0.4, degrees=np.inf):
    """Queries around centres of their tasks; the tails of their positions have some degrees of freedom."""
    centres = rng.standard_normal((tasks, DIMS))
    label = np.repeat(np.arange(tasks), each)
    noise = rng.standard_normal((len(label), DIMS))
    if np.isfinite(degrees):
        noise *= np.sqrt(degrees / rng.chisquare(degrees, len(label)))[:, None]
    return centres[label] + spread * noise, np.array([f"t{k}" for k in label])


def own(membership: TaskMembership, position, task):
    place = [membership.tasks.index(name) for name in task]
    return membership(position)[np.arange(len(task)), place]


def test_probabilities_are_probabilities():
    position, task = bank(np.random.default_rng(0))
    membership = fit_task_membership(position, task)
    found = membership(np.vstack([position, 1e3 * position]))
    assert (found >= 0).all()
    assert (found.sum(axis=1) <= 1).all()


def test_queries_far_from_every_task_are_not_taken_for_one_with_certainty():
    """A query in the direction of a task, ten times as far from the middle, is of that task by normal tails."""
    position, task = bank(np.random.default_rng(1), tasks=4)
    membership = fit_task_membership(position, task)
    middle = position.mean(axis=0)
    centres = np.stack([position[task == name].mean(axis=0) for name in membership.tasks])
    far = membership(middle + 10.0 * (centres - middle))
    assert far.max() < 0.5


def test_what_no_task_shows_is_unseen_the_farther_outside_the_more():
    position, task = bank(np.random.default_rng(2))
    membership = fit_task_membership(position, task)
    outward = null_space(membership.discriminant)[:, 0]
    distances = np.linspace(0.0, 8.0, 9)[:, None]
    unseen = 1.0 - membership(position.mean(axis=0) + distances * outward).sum(axis=1)
    assert (np.diff(unseen) >= -1e-12).all()
    assert unseen[-1] > unseen[0] + 0.2


def test_a_task_left_out_is_told_from_new_queries_of_the_others():
    """Of 8 tasks whose centres lie apart in 12 dimensions; the one left out lies mostly outside the others' space."""
    position, task = bank(np.random.default_rng(3), each=120)
    left_out, new = task == "t0", np.arange(len(task)) % 4 == 0
    membership = fit_task_membership(position[~left_out & ~new], task[~left_out & ~new])
    unseen = 1.0 - membership(position).sum(axis=1)
    assert unseen[left_out].mean() > 0.5
    assert unseen[~left_out & new].mean() < 0.1


@pytest.mark.parametrize("degrees", [3.0, np.inf])
def test_the_own_task_is_not_given_too_much_or_too_little(degrees):
    """The mean probability of the likeliest task of new queries against how often it is right, within 0.05."""
    rng = np.random.default_rng(4)
    position, task = bank(rng, tasks=6, each=300, spread=0.9, degrees=degrees)
    train = np.arange(len(task)) % 2 == 0
    membership = fit_task_membership(position[train], task[train])
    found = membership(position[~train])
    seen = found / found.sum(axis=1, keepdims=True)
    right = np.array(membership.tasks)[seen.argmax(axis=1)] == task[~train]
    assert abs(seen.max(axis=1).mean() - right.mean()) < 0.05  # 900 queries: four standard errors are 0.06


def test_two_tasks_leave_nothing_to_learn():
    position, task = bank(np.random.default_rng(5), tasks=2)
    assert fit_task_membership(position, task).unseen == UnseenTask()


def test_queries_at_one_place_are_no_trouble():
    task = np.repeat(["a", "b", "c"], 20)
    position = np.repeat(np.eye(DIMS)[:3], 20, axis=0)
    membership = fit_task_membership(position, task)
    assert own(membership, position, task).min() > 0.5


def test_signs_that_say_the_opposite_are_not_heard():
    """Left-out tasks with lower log odds and nearer than the seen ones: no slope is below 0."""
    rng = np.random.default_rng(6)
    low, high = rng.normal(-3.0, 1.0, (200, 2)), rng.normal(3.0, 1.0, (200, 2))
    found = fit_unseen_task([low] * 30, [high] * 30)
    assert min(found.slope) >= 0.0
    assert found.slope[1] == 0.0


def test_many_tasks_outweigh_the_prior():
    """Both signs are noise: the probability is the share of unseen tasks, whatever they say."""
    rng = np.random.default_rng(7)
    found = fit_unseen_task(
        [rng.normal(0.0, 2.0, (50, 2)) for _ in range(400)],
        [rng.normal(0.0, 2.0, (50, 2)) for _ in range(400)],
    )
    assert found(np.array([[-4.0, -3.0], [4.0, 3.0]])) == pytest.approx([0.1, 0.1], abs=0.03)


def test_farther_than_farthest_is_no_surer():
    unseen = UnseenTask(0.0, (0.0, 1.0))
    signs = np.array([[0.0, FARTHEST], [0.0, 100 * FARTHEST]])
    assert unseen(signs)[0] == unseen(signs)[1]
