"""The posterior of a new LLM's ability by NUTS, written anew: what the fast placing of `calibration/` is checked against."""

import warnings
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Float, Int

from bayes_irt_router.errors import InputError
from bayes_irt_router.inference.nuts import NUTS, precision, sample_nuts
from bayes_irt_router.irt.mirt import MIRT
from bayes_irt_router.irt.starting_points import starting_points
from bayes_irt_router.irt.testlets import testlet_loadings, with_testlets


def joint_by_nuts(
    model: MIRT,
    data: xr.Dataset,
    positions: Int[np.ndarray, " answer"],
    score: Float[np.ndarray, " answer"],
    sampler: NUTS,
    *,
    seed: int = 0,
    progress: bool = True,
) -> xr.Dataset:
    """Everything at once: the fitted model's own posterior, times the new LLM's prior and the likelihood of its answers::

        p(parameters, theta | data, y) ~ p(parameters | data) N(theta | 0, (1 + 1/J) L^-1 L^-T) prod_i Bernoulli(y_i | a_i . theta - b_i)

    with the abilities in the coordinates of the J fitted LLMs, ``L`` their frame. Where the model has testlets they stand behind the
    traits, as in :func:`linear_view`: ``v ~ N(0, (1 + 1/J) s_v^2)``, P(t | x) in place of a discrimination.

    Args:
        model: without covariates and families.
        data: as for :meth:`MIRT.build`: what was fitted, without the new LLM.
        positions: of the queries that the new LLM answered.
        score: 0 or 1.
        sampler: settings.
        seed: of everything random.
        progress: whether to show a progress bar (standard error).

    Returns:
        Draws of ``new_ability`` (trait), ``discrimination`` (query, trait) and ``difficulty`` (query).

    Raises:
        InputError: the model has covariates or families.
    """
    if model.covariates or model.families:
        raise InputError(
            "The reference knows no LLM covariates or families; use a model without them to check the placing."
        )
    sampler = sampler.for_answers(int(data["trials"].sum()))
    rng = np.random.default_rng(seed)
    testlets, loadings = model.testlets_of(data), testlet_loadings(data)
    starts = [
        {**start, "new_residual": rng.standard_normal(model.traits + len(testlets)).astype(np.float32)}
        for start in starting_points(model, data, sampler.chains, rng)
    ]

    def build() -> Any:
        import pymc as pm
        import pytensor
        import pytensor.tensor as pt

        built = model.build(data)
        with built:
            raw = np.sqrt(1.0 + 1.0 / data.sizes["llm"]) * pm.Normal(
                "new_residual", 0.0, 1.0, shape=model.traits + len(testlets)
            )
            ability = pt.linalg.solve_triangular(
                built["ability_frame"], raw[: model.traits, None], lower=True
            )[:, 0]
            logit = built["discrimination"][positions] @ ability - built["difficulty"][positions]
            if testlets:
                effect = built["testlet_sd"] * raw[model.traits :]
                seen = loadings[positions].astype(pytensor.config.floatX)
                logit = logit + seen @ effect[:-1]
                pm.Deterministic("new_effect", effect, dims="testlet")
            pm.Deterministic("new_ability", ability, dims="trait")
            right = np.asarray(score, dtype=pytensor.config.floatX)
            pm.Potential("new_answers", (right * logit - pt.softplus(logit)).sum())
        return built

    kept = ("difficulty", "discrimination", "new_ability", *(("new_effect",) if testlets else ()))
    sampled = sample_nuts(
        build, starts, [*kept, "ability", "ability_frame"], sampler, seed=seed, progress=progress
    )
    draws = sampled.posterior[list(kept)]
    if not testlets:
        return draws
    ability, discrimination = draws["new_ability"].values, draws["discrimination"].values
    a = with_testlets(discrimination.reshape(-1, *discrimination.shape[2:]), loadings)
    names = [*draws["trait"].values, *testlets]
    return (
        draws.drop_dims(["trait", "testlet"])
        .assign(
            new_ability=(
                ("chain", "draw", "trait"),
                np.concatenate([ability, draws["new_effect"].values], axis=2),
            ),
            discrimination=(
                ("chain", "draw", "query", "trait"),
                a.reshape(*discrimination.shape[:3], len(names)),
            ),
        )
        .assign_coords(trait=names)
    )


def cut_by_nuts(
    mean: Float[np.ndarray, "draw trait"],
    factor: Float[np.ndarray, "draw trait trait"],
    discrimination: Float[np.ndarray, "draw answer trait"],
    difficulty: Float[np.ndarray, "draw answer"],
    score: Float[np.ndarray, " answer"],
    sampler: NUTS,
    *,
    seed: int = 0,
) -> Float[np.ndarray, "sample draw trait"]:
    """The ability in every parameter draw, items as drawn; the draws' abilities are independent, and are sampled side by side.

    Args:
        mean, factor: the prior in each parameter draw, ``theta = mean + factor z``.
        discrimination, difficulty: of the answered queries, in each parameter draw.
        score: 0 or 1.
        sampler: settings; one chain is run.
        seed: of the sampler.

    Returns:
        Draws of the ability in every parameter draw.
    """
    import jax
    import jax.numpy as jnp
    from numpyro.infer import MCMC
    from numpyro.infer import NUTS as Kernel

    with precision("float32"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Explicitly requested dtype", category=UserWarning)
        m, f, a, b, y = (
            jnp.asarray(values, jnp.float32) for values in (mean, factor, discrimination, difficulty, score)
        )

        def potential(z: Any) -> Any:
            theta = m + jnp.einsum("sde,se->sd", f, z)
            logit = jnp.einsum("sid,sd->si", a, theta) - b
            return 0.5 * (z**2).sum() - (y * logit - jax.nn.softplus(logit)).sum()

        kernel = Kernel(
            potential_fn=potential,
            target_accept_prob=sampler.target_accept or 0.8,
            max_tree_depth=sampler.max_tree_depth,
        )
        run = MCMC(kernel, num_warmup=sampler.tune, num_samples=sampler.draws, progress_bar=False)
        run.run(jax.random.PRNGKey(seed), init_params=jnp.zeros_like(m))
        z = np.asarray(run.get_samples(), dtype=np.float64)
    return np.asarray(mean + np.einsum("sde,nse->nsd", factor, z))
