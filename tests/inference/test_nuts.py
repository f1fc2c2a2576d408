import numpy as np
import pytest
import xarray as xr
from scipy.stats import norm

from bayes_irt_router.errors import InputError
from bayes_irt_router.inference.nuts import NUTS, Sampled, sample_nuts

ERROR_RATE = 1e-4  # of the comparison with the known posterior, over all moments (Bonferroni)
MEAN, SD = np.array([3.0, -1.0]), np.array([0.5, 2.0])


def two_normals():
    import pymc as pm

    with pm.Model(coords={"which": ["narrow", "wide"]}) as model:
        x = pm.Normal("x", MEAN.astype("float32"), SD.astype("float32"), dims="which")
        pm.Deterministic("twice", 2 * x, dims="which")
    return model


def sampled(seed=0, **settings) -> Sampled:
    settings = {"draws": 500, "tune": 300, "chains": 4} | settings
    starts = [{"x": MEAN + k} for k in range(settings["chains"])]
    return sample_nuts(two_normals, starts, ["x", "twice"], NUTS(**settings), seed=seed, progress=False)


@pytest.fixture(scope="module")
def once():
    return sampled()


def test_draws_come_from_the_posterior(once):
    draws = once.posterior["x"].values.reshape(-1, 2)
    # NUTS draws of a normal are hardly correlated; a quarter of them as effective ones is on the safe side.
    size, limit = len(draws) / 4, norm.isf(ERROR_RATE / 2 / 4)
    assert (np.abs(draws.mean(axis=0) - MEAN) < limit * SD / np.sqrt(size)).all()
    assert (np.abs(draws.var(axis=0) / SD**2 - 1) < limit * np.sqrt(2 / size)).all()


def test_dims_coords_and_statistics(once):
    assert once.posterior["x"].dims == ("chain", "draw", "which")
    assert dict(once.posterior.sizes) == {"chain": 4, "draw": 500, "which": 2}
    assert once.posterior["which"].values.tolist() == ["narrow", "wide"]
    assert set(once.posterior.data_vars) == {"x", "twice"}
    np.testing.assert_allclose(once.posterior["twice"], 2 * once.posterior["x"], rtol=1e-5)
    for name in ("diverging", "n_steps", "lp"):
        assert once.sample_stats[name].dims == ("chain", "draw")
    assert once.sample_stats["n_steps"].max() <= 2 ** NUTS().max_tree_depth - 1
    assert once.seconds > 0
    assert once.device


def test_chains_differ(once):
    assert len(np.unique(once.posterior["x"].values[:, :, 0])) > 1900


def test_same_seed_same_draws(once):
    xr.testing.assert_equal(once.posterior, sampled().posterior)
    assert not np.array_equal(once.posterior["x"], sampled(seed=1).posterior["x"])


def test_the_acceptance_rate_follows_the_bank_unless_one_is_set():
    assert NUTS().for_answers(19_999).target_accept == 0.9
    assert NUTS().for_answers(20_000).target_accept == 0.5
    assert NUTS(target_accept=0.8).for_answers(10**6) == NUTS(target_accept=0.8)


def test_trajectories_are_capped():
    stats = sampled(max_tree_depth=2, target_accept=0.99, draws=50, tune=50).sample_stats
    assert stats["n_steps"].max() <= 3


def test_global_precision_is_left_as_it_was(once):
    import jax
    import jax.numpy as jnp
    import pytensor

    before = jnp.ones(1).dtype, pytensor.config.floatX
    during = []

    def build():
        during.append((pytensor.config.floatX, jax.numpy.ones(1).dtype.name))
        return two_normals()

    sample_nuts(build, [{"x": MEAN}] * 2, ["x"], NUTS(5, 5, 2), seed=0, progress=False)
    assert during == [("float32", "float32")]
    assert (jnp.ones(1).dtype, pytensor.config.floatX) == before
    assert before[1] == "float64"


def test_settings_that_cannot_be_are_told_at_once():
    with pytest.raises(InputError) as caught:
        NUTS(draws=0, tune=-1, chains=0, target_accept=1.0, max_tree_depth=11)
    names = ("draws", "tune", "chains", "target_accept", "max_tree_depth")
    assert len(caught.value.problems) == len(names)
    for name, problem in zip(names, caught.value.problems, strict=True):
        assert problem.startswith(f"{name} is ")


def test_settings_round_trip():
    settings = NUTS(draws=7, backend="nutpie")
    assert NUTS(**settings.to_dict()) == settings


@pytest.mark.slow
def test_nutpie_draws_from_the_same_posterior_of_a_bank(bank):
    """nutpie and NumPyro agree on each LLM's mean p_correct: two samplers, one model."""
    from bayes_irt_router.inference.fitting import fit
    from bayes_irt_router.irt.mirt import MIRT
    from bayes_irt_router.irt.response import p_correct

    pytest.importorskip("nutpie")
    means, errors = [], []
    for backend in ("numpyro", "nutpie"):
        settings = NUTS(draws=1000, tune=500, chains=4, backend=backend)
        posterior = fit(MIRT(traits=1), bank(), settings, seed=2, keep_draws=4000, progress=False)
        draws = posterior.draws
        p = p_correct(draws["ability"].values, draws["discrimination"].values, draws["difficulty"].values)
        by_llm = p.mean(axis=2).reshape(-1, 6)
        means.append(by_llm.mean(axis=0))
        ess = posterior.gate.table.query("quantity == 'LLM mean'")["ess_bulk"].values
        assert ess.min() > 100
        errors.append(by_llm.std(axis=0) / np.sqrt(ess))
    z = np.abs(means[0] - means[1]) / np.hypot(*errors)
    assert z.max() < norm.isf(ERROR_RATE / 2 / z.size)
