from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit, logsumexp
from scipy.stats import binom, kstest, norm, skew

from bayes_irt_router.calibration.ability_prior import aligned_prior, new_llm_prior, predecessor_prior
from bayes_irt_router.calibration.accuracy import replicated_scores
from bayes_irt_router.calibration.answers import Answer
from bayes_irt_router.calibration.item_factors import shared_and_own
from bayes_irt_router.calibration.item_marginals import ItemMarginals
from bayes_irt_router.calibration.items import ItemBank
from bayes_irt_router.calibration.likelihood import Evidence, log_likelihood
from bayes_irt_router.calibration.membership import retired
from bayes_irt_router.calibration.placing import place
from bayes_irt_router.errors import InputError

ERROR_RATE = 1e-4


def generator(seed=0):
    return np.random.default_rng(seed)


def answers_of(bank, scores, first=0):
    return [Answer(bank.query[first + i], float(score)) for i, score in enumerate(scores)]


def grid_moments(log_density, prior):
    """Mean and SDs of a density over two traits times the first draw's prior, by brute force on a grid of its whitened coordinates."""
    z = np.linspace(-8, 8, 97)
    z = np.stack(np.meshgrid(z, z), axis=-1).reshape(-1, 2)
    theta = prior.mean[0] + z @ prior.factor[0].T
    log_weight = log_density(theta) + prior.log_density(z)
    weight = np.exp(log_weight - log_weight.max())
    weight /= weight.sum()
    centre = weight @ theta
    return centre, np.sqrt(weight @ (theta - centre) ** 2)


def agrees(draws, mean, sd):
    """Monte Carlo agreement of mean and SD, both traits, at the stated error rate (and 2 % for the approximations)."""
    z = norm.isf(ERROR_RATE / 8)
    count = len(draws)
    # antithetic points and resampling leave draws a little dependent: half as many count
    np.testing.assert_array_less(np.abs(draws.mean(axis=0) - mean), sd * (z / np.sqrt(count / 2) + 0.02))
    np.testing.assert_array_less(np.abs(draws.std(axis=0) / sd - 1), z / np.sqrt(count) + 0.02)


def test_without_answers_the_posterior_is_the_prior(fitted_bank):
    prior = new_llm_prior(fitted_bank.posterior)
    placement = place(fitted_bank, prior, [], generator())
    assert (placement.mode, placement.answers) == ("prior", 0)
    np.testing.assert_array_equal(placement.index, np.arange(fitted_bank.draws))
    z = np.einsum("sde,se->sd", np.linalg.inv(prior.factor), placement.ability - prior.mean)
    assert min(kstest(z[:, d], "norm").pvalue for d in range(2)) > ERROR_RATE


def within_frames(posterior):
    """The prior that leaves every draw its own frame; these posteriors have one frame in all draws, as no population of draws has."""
    return replace(new_llm_prior(posterior), free=0)


@pytest.mark.parametrize("scores", [[1], [0, 0, 0, 0, 0, 0], [1, 0, 1, 1, 0, 1, 1, 1, 0, 0, 1, 1] * 3])
@pytest.mark.parametrize("mode", ["joint", "cut"])
def test_agrees_with_quadrature_where_items_are_certain(certain, scores, mode):
    bank = ItemBank.of(certain)
    prior = within_frames(certain)
    placement = place(bank, prior, answers_of(bank, scores), generator(), mode=mode)
    a = certain.draws["discrimination"].values[0, 0, : len(scores)].astype(float)
    b = certain.draws["difficulty"].values[0, 0, : len(scores)].astype(float)

    def log_density(theta):
        logit = theta @ a.T - b
        return (np.array(scores) * logit - np.logaddexp(0, logit)).sum(axis=1)

    agrees(placement.ability, *grid_moments(log_density, prior))


def test_a_weight_is_a_power_of_the_likelihood(certain):
    bank, prior, scores = ItemBank.of(certain), within_frames(certain), np.array([1, 0, 1, 1, 1, 1, 1, 0] * 3)
    placement = place(bank, prior, answers_of(bank, scores), generator(), weight=0.4)
    a = certain.draws["discrimination"].values[0, 0, : len(scores)].astype(float)
    b = certain.draws["difficulty"].values[0, 0, : len(scores)].astype(float)

    def log_density(theta):
        logit = theta @ a.T - b
        return 0.4 * (scores * logit - np.logaddexp(0, logit)).sum(axis=1)

    agrees(placement.ability, *grid_moments(log_density, prior))
    assert placement.to_dict()["weight"] == 0.4


def test_the_frame_is_integrated_out_of_a_joint_placement(certain, reframed):
    posterior = reframed(certain)
    bank, prior = ItemBank.of(posterior), new_llm_prior(posterior)
    scores = np.array([0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0] * 3)
    placement = place(bank, prior, answers_of(bank, scores), generator(), mode="joint")
    a, b = bank.drawn[0, : len(scores), :2].astype(float), bank.drawn[0, : len(scores), 2].astype(float)

    def log_density(theta):
        logit = theta @ a.T - b
        return (scores * logit - np.logaddexp(0, logit)).sum(axis=1)

    turned = aligned_prior(prior.over_frames(), bank.rotations)
    ability = np.einsum("sd,sde->se", placement.ability, bank.rotations[placement.index])
    agrees(ability, *grid_moments(log_density, turned))


def test_certain_items_make_joint_and_cut_the_same(certain):
    bank = ItemBank.of(certain)
    prior = within_frames(certain)
    given = answers_of(bank, [1, 0, 1, 1, 1, 0, 1, 0])
    joint, cut = (place(bank, prior, given, generator(1), mode=mode) for mode in ("joint", "cut"))
    assert joint.effective_draws > 0.98 * bank.draws  # what is missing is the noise of the importance points
    agrees(joint.ability, cut.ability.mean(axis=0), cut.ability.std(axis=0))


@pytest.mark.parametrize("sd", [0.4, 1.0])
def test_joint_integrates_the_items(uncertain, sd):
    posterior = uncertain(sd)
    bank, prior = ItemBank.of(posterior), within_frames(posterior)
    scores = np.array([1, 1, 0, 1, 1, 1, 0, 1, 1, 1] * 2)
    placement = place(bank, prior, answers_of(bank, scores), generator(), mode="joint")
    a = posterior.draws["discrimination"].values.reshape(bank.draws, -1, 2)[:, : len(scores)]
    b = posterior.draws["difficulty"].values.reshape(bank.draws, -1)[:, : len(scores)]

    def log_density(theta):
        total = np.zeros(len(theta))
        for i, score in enumerate(scores):  # the mean over the draws of each item is the integral
            right = expit(theta @ a[:, i].T - b[:, i]).mean(axis=1)
            total += np.log(right if score else 1 - right)
        return total

    agrees(placement.ability, *grid_moments(log_density, prior))


def test_the_order_of_answers_does_not_matter(fitted_bank):
    prior = new_llm_prior(fitted_bank.posterior)
    given = answers_of(fitted_bank, [1, 0, 0, 1, 1, 0, 1])
    first, second = (place(fitted_bank, prior, order, generator()) for order in (given, given[::-1]))
    np.testing.assert_array_equal(first.ability, second.ability)
    np.testing.assert_array_equal(first.index, second.index)


def test_repeated_answers_are_trials(fitted_bank):
    prior = new_llm_prior(fitted_bank.posterior)
    name = fitted_bank.query[0]
    single = [Answer(name, 1.0), Answer(name, 0.0), Answer(name, 1.0)]
    once = [Answer(name, 2 / 3, trials=3)]
    first, second = (place(fitted_bank, prior, given, generator()) for given in (single, once))
    assert first.trials == second.trials == 3
    np.testing.assert_allclose(first.ability, second.ability, atol=1e-6)


def test_better_answers_mean_more_ability(fitted_bank):
    prior = new_llm_prior(fitted_bank.posterior)
    means = [
        fitted_bank.p_correct(p.index, p.ability).mean()
        for p in (
            place(fitted_bank, prior, answers_of(fitted_bank, [s] * 10), generator()) for s in (0.0, 0.5, 1.0)
        )
    ]
    assert means[0] < means[1] < means[2]


def test_many_answers_are_cut_and_few_are_joint(fitted_bank, monkeypatch):
    prior = new_llm_prior(fitted_bank.posterior)
    given = answers_of(fitted_bank, [1, 0, 1, 1, 0])
    assert place(fitted_bank, prior, given, generator()).mode == "joint"
    monkeypatch.setattr("bayes_irt_router.calibration.placing.MOST_JOINT", 4)
    cut = place(fitted_bank, prior, given, generator())
    assert cut.mode == "cut"
    np.testing.assert_array_equal(cut.index, np.arange(fitted_bank.draws))
    monkeypatch.setattr("bayes_irt_router.calibration.placing.MOST_JOINT", 100)
    monkeypatch.setattr("bayes_irt_router.calibration.placing.LARGEST_K_HAT", -10.0)
    assert place(fitted_bank, prior, given, generator()).mode == "cut"


@pytest.mark.parametrize(("mode", "count"), [("joint", 20), ("cut", 20), ("auto", 0)])
def test_some_of_the_draws_give_the_same_posterior_with_more_noise(certain, mode, count):
    bank, prior = ItemBank.of(certain), new_llm_prior(certain)
    given = answers_of(bank, [1, 0, 1, 1, 1] * 4)[:count]
    some = np.arange(0, bank.draws, 2)
    half = place(bank, prior, given, generator(), mode=mode, draws=some)
    whole = place(bank, prior, given, generator(1), mode=mode)
    assert len(half.index) == len(some)
    assert set(half.index) <= set(some)
    agrees(half.ability, whole.ability.mean(axis=0), whole.ability.std(axis=0))


def test_metropolis_steps_leave_the_posterior_as_it_is(certain, monkeypatch):
    bank, prior = ItemBank.of(certain), new_llm_prior(certain)
    given = answers_of(bank, [1, 0, 1, 1, 1, 0])
    plain = place(bank, prior, given, generator())
    monkeypatch.setattr("bayes_irt_router.calibration.placing.FEWEST_POINTS", np.inf)
    stepped = place(bank, prior, given, generator(5))
    assert "Metropolis" in stepped.method
    agrees(stepped.ability, plain.ability.mean(axis=0), plain.ability.std(axis=0))


def test_graded_scores_weigh_less_than_as_many_hundred_answers_and_more_than_none(fitted_bank):
    prior = new_llm_prior(fitted_bank.posterior)
    spread = {}
    for name, trials, score in (("graded", 1, 0.75), ("hundred", 100, 0.75)):
        given = [Answer(fitted_bank.query[i], score, trials) for i in range(12)]
        placement = place(fitted_bank, prior, given, generator(), mode="joint")
        spread[name] = placement.ability.std(axis=0).sum()
    nothing = place(fitted_bank, prior, [], generator())
    spread["none"] = nothing.ability.std(axis=0).sum()
    assert spread["hundred"] < spread["graded"] < spread["none"]


def test_new_queries_tell_of_the_llm_but_less_than_fitted_ones(small_fit, bank):
    new = bank(40, seed=5)
    new = new.assign_coords(query=[f"new-{i}" for i in range(40)])
    items, prior = ItemBank.of(small_fit, new), new_llm_prior(small_fit)
    # Ten patterns of answers: the SD over a few hundred weighted draws of one placement has an error of its own.
    rng, widths = generator(), []
    for _ in range(10):
        score = rng.integers(0, 2, 40)
        for given in (answers_of(items, score), answers_of(items, score, items.fitted), []):
            placement = place(items, prior, given, generator())
            widths.append(items.p_correct(placement.index, placement.ability).mean(axis=1).std())
    fitted, unseen, nothing = np.reshape(widths, (10, 3)).mean(axis=0)
    assert fitted < unseen < 0.9 * nothing


def test_unknown_queries_are_named(fitted_bank):
    prior = new_llm_prior(fitted_bank.posterior)
    with pytest.raises(InputError, match="nowhere"):
        place(fitted_bank, prior, [Answer("nowhere", 1.0)], generator())


def test_quadrature_agrees_with_monte_carlo_over_the_items_own_parts(uncertain):
    bank = ItemBank.of(uncertain(0.7))
    items = bank.integrated(np.arange(6))
    theta = np.full((bank.draws, 1, 2), 0.5)
    rng = generator()
    own = np.einsum("qde,nqe->nqd", np.linalg.cholesky(items.covariance), rng.standard_normal((20000, 6, 3)))
    x = items.mean[0] + own
    right = expit(x[:, :, :2] @ theta[0, 0] - x[:, :, 2])
    for score, trials, p in ((1.0, 1, right), (0.0, 1, 1 - right), (0.5, 2, right * (1 - right))):
        evidence = Evidence(items, np.full(6, score), np.full(6, float(trials)))
        expected, error = (
            np.log(p.mean(axis=0)).sum(),
            (p.std(axis=0) / p.mean(axis=0)).max() / np.sqrt(20000),
        )
        found = log_likelihood(evidence, theta)[0, 0]
        assert abs(found - expected) < norm.isf(ERROR_RATE / 6) * error * np.sqrt(6) + 1e-3


def test_the_moments_of_a_logit_are_those_of_its_draws(skewed):
    bank, theta = ItemBank.of(skewed), np.array([-2.0, 0.7])
    found = ItemMarginals.of(bank.drawn).logit_moments(theta[None, None])
    logit = bank.drawn[:, :, :2].astype(float) @ theta - bank.drawn[:, :, 2]
    for moment, expected in zip(found, (logit.mean(axis=0), logit.std(axis=0), skew(logit)), strict=True):
        np.testing.assert_allclose(moment[0, 0], expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("score", [0.0, 1.0])
@pytest.mark.parametrize("theta", [[-3.0, 0.0], [0.0, 0.0], [2.0, -2.0]])
def test_the_likelihood_of_one_answer_is_its_mean_over_skewed_draws(skewed, theta, score):
    """Item by item the draws say what the likelihood is; a normal logit is wrong by more than twice as much."""
    bank, wrong = ItemBank.of(skewed), {"marginals": 0.0, "normal": 0.0}
    logit = bank.drawn[:, :, :2].astype(float) @ np.array(theta) - bank.drawn[:, :, 2]
    expected = np.log(expit(logit if score else -logit).mean(axis=0))
    points = np.broadcast_to(theta, (bank.draws, 1, 2)).astype(float)
    for i in range(bank.counted):
        items = bank.integrated(np.array([i]))
        for name, given in (("marginals", items), ("normal", replace(items, marginals=None))):
            found = log_likelihood(Evidence(given, np.array([score]), np.ones(1)), points)[:, 0]
            wrong[name] += (logsumexp(found) - np.log(len(found)) - expected[i]) ** 2
    assert wrong["marginals"] < wrong["normal"] / 4
    assert np.sqrt(wrong["marginals"] / bank.counted) < 0.03


@pytest.mark.parametrize("draws", [200, 600])  # fewer than the numbers in a draw, and more
def test_what_items_share_is_told_from_what_is_their_own(draws):
    rng = generator()
    factor, loading = rng.standard_normal((draws, 1, 1)), rng.standard_normal((1, 80, 3))
    own = 0.5 * rng.standard_normal((draws, 80, 3))
    shared, covariance = shared_and_own((factor * loading + own).astype(np.float32))
    truth = factor * loading
    error = shared - shared.mean(axis=0) - truth + truth.mean(axis=0)
    assert np.sqrt((error**2).mean()) < 0.06
    np.testing.assert_allclose(covariance.mean(axis=0), 0.25 * np.eye(3), atol=0.01)
    alone, all_own = shared_and_own(own.astype(np.float32))
    assert alone.std(axis=0).max() < 1e-5  # pure noise shares nothing
    np.testing.assert_allclose(all_own.mean(axis=0), 0.25 * np.eye(3), atol=0.01)


@pytest.mark.parametrize("n", [3, 15])
def test_intervals_hold_the_accuracy_of_simulated_llms(fitted_bank, n):
    """Truth from the prior and from one of the draws: 80 % intervals hold it, binomial test at the stated error rate."""
    prior, rng = new_llm_prior(fitted_bank.posterior), generator(n)
    trials, held = 50, 0
    for _ in range(trials):
        s = int(rng.integers(fitted_bank.draws))
        theta = prior.mean[s] + prior.factor[s] @ rng.standard_normal(2)
        p = fitted_bank.p_correct(np.array([s]), theta[None])[0]
        scores = (rng.random(p.shape) < p).astype(float)
        asked = rng.permutation(len(p))[:n]
        given = [Answer(fitted_bank.query[i], scores[i]) for i in asked]
        draws = replicated_scores(fitted_bank, place(fitted_bank, prior, given, rng), given, rng).mean(axis=1)
        # accuracies are in steps of 1 / 48: a coin decides ties
        rank = (draws < scores.mean()).mean() + rng.random() * (draws == scores.mean()).mean()
        held += 0.1 <= rank <= 0.9
    assert binom.cdf(held, trials, 0.8) > ERROR_RATE / 2
    assert binom.sf(held - 1, trials, 0.8) > ERROR_RATE / 2


def test_the_prior_is_that_of_one_more_llm(small_fit):
    prior = new_llm_prior(small_fit)
    frame = small_fit.draws["ability_frame"].values.reshape(-1, 2, 2).astype(float)
    covariance = prior.factor @ np.swapaxes(prior.factor, 1, 2)
    np.testing.assert_allclose(
        frame @ covariance @ np.swapaxes(frame, 1, 2),
        np.broadcast_to(7 / 6 * np.eye(2), frame.shape),
        atol=1e-4,
    )
    np.testing.assert_array_equal(prior.mean, 0.0)


def test_an_update_starts_from_its_predecessor(small_fit, fitted_bank):
    llm = small_fit.llm[2]
    prior = predecessor_prior(small_fit, llm, 0.3)
    np.testing.assert_array_equal(prior.mean, small_fit.draws["ability"].values[:, :, 2].reshape(-1, 2))
    new = new_llm_prior(small_fit)
    ratio = np.linalg.norm(prior.factor, axis=(1, 2)) / np.linalg.norm(new.factor, axis=(1, 2))
    np.testing.assert_allclose(ratio, 0.3 / np.sqrt(7 / 6), rtol=1e-5)
    with pytest.raises(InputError, match="does not know"):
        predecessor_prior(small_fit, "nobody")
    with pytest.raises(InputError, match="widening"):
        predecessor_prior(small_fit, llm, 0.0)


def test_an_unusual_llm_does_not_pick_the_draws_of_wide_frames(certain, reframed):
    """The frame is independent of all else, so answers to certain items must leave every draw its weight."""
    bank = ItemBank.of(reframed(certain))
    answers = [Answer(query, 0.0) for query in bank.query[:10]]
    prior = new_llm_prior(bank.posterior)
    over, within = (
        place(bank, one, answers, generator(), mode="joint") for one in (prior, replace(prior, free=0))
    )
    # What is left of differences between draws is the noise of two dozen points each: over six generators 94 to 96 % of the draws were
    # effective, and within the frames 21 to 23 %.
    assert over.effective_draws > max(0.8 * certain.size, 2 * within.effective_draws)


def test_rotations_leave_alone_what_too_few_llms_do_not_tell(testlet_fit):
    """Testlets have coordinates of their own, however few LLMs there are to see them by."""
    posterior = retired(testlet_fit, testlet_fit.llm[3:])
    bank = ItemBank.of(posterior)
    traits = posterior.draws.sizes["trait"]
    assert bank.rotations.shape[1] > traits
    np.testing.assert_array_equal(bank.rotations[:, traits:, :traits], 0.0)
    among = bank.rotations[:, traits:, traits:]
    np.testing.assert_array_equal(among, np.broadcast_to(np.eye(among.shape[1]), among.shape))
