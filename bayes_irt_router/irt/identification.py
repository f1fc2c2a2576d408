"""Aligning the draws' traits, so that means, plots and names of traits make sense."""

import numpy as np
import xarray as xr
from jaxtyping import Float

from bayes_irt_router.data.feature_map import TASK_PREFIX
from bayes_irt_router.irt.testlets import UNSEEN_TASK

ROUNDS = 20  # of averaging and aligning; a handful is enough to converge


def align_traits(draws: xr.Dataset) -> xr.Dataset:
    """Draws in coordinates of the specific traits that are the same for all of them.

    The model leaves it open how the specific traits are turned. Here every draw's specific traits are turned (never mixed with the
    general one) to agree best with the mean of all draws: generalised orthogonal Procrustes analysis (Gower, 1975). The same
    orthogonal matrix acts on everything that has the dim ``trait`` or ``specific``, so ``a . theta`` is what it was. Then the specific
    traits are ordered by the variance of their discrimination and signed so that the discriminations' skewness is positive.

    Testlets, as :func:`linear_view` puts them behind the traits, have coordinates of their own and are left alone.

    Args:
        draws: with ``ability`` (chain, draw, llm, trait) and ``discrimination`` (chain, draw, query, trait), the general trait first.

    Returns:
        All variables, aligned. ``raw_trait``, on which LLM covariates act, stays as it is: ``ability_frame`` (raw_trait, trait) leads
        from there to the aligned traits.
    """
    rotation = trait_rotations(draws)
    specific = rotation.isel(trait=slice(1, None), turned=slice(1, None))
    aligned = draws.copy()
    for name, values in draws.data_vars.items():
        for dim, turn in (("trait", rotation), ("specific", specific.rename(trait="specific"))):
            if dim in values.dims and np.issubdtype(values.dtype, np.floating):
                turned = xr.dot(values, turn.astype(values.dtype), dim=dim).rename(turned=dim)
                aligned[name] = turned.assign_coords({dim: draws[dim].values}).transpose(*values.dims)
    return aligned


def trait_rotations(draws: xr.Dataset) -> xr.DataArray:
    """The orthogonal matrices by which :func:`align_traits` turns, dims (chain, draw, trait, turned)."""
    ability = draws["ability"].transpose("chain", "draw", "llm", "trait").values
    discrimination = draws["discrimination"].transpose("chain", "draw", "query", "trait")
    traits = draws.sizes["trait"]
    first = next((k for k, name in enumerate(draws["trait"].values) if is_testlet(name)), traits)
    theta = ability.reshape(-1, *ability.shape[2:]).astype(np.float64)
    rotations = np.tile(np.eye(traits), (len(theta), 1, 1))
    if first > 1:
        rotations[:, 1:first, 1:first] = _procrustes(theta[:, :, 1:first])
    if discrimination.sizes["query"]:  # a model that ships has none to order its traits by
        a = discrimination.values.reshape(-1, *discrimination.shape[2:])
        order, signs = _order(np.matmul(a, rotations.astype(np.float32)).mean(axis=0)[:, :first])
        rotations[:, :, :first] = rotations[:, :, order] * signs
    return xr.DataArray(
        rotations.reshape(*ability.shape[:2], traits, traits), dims=("chain", "draw", "trait", "turned")
    )


def is_testlet(trait: object) -> bool:
    """Whether a coordinate of the dim ``trait`` is a testlet's.

    >>> is_testlet("specific_1"), is_testlet("task_law"), is_testlet("unseen_task")
    (False, True, True)
    """
    return str(trait).startswith(TASK_PREFIX) or str(trait) == UNSEEN_TASK


def _procrustes(theta: Float[np.ndarray, "draw llm specific"]) -> Float[np.ndarray, "draw specific specific"]:
    """Orthogonal R for each draw that brings ``theta R`` closest to the mean of all of them."""
    reference = theta[0]
    for _ in range(ROUNDS):
        left, _, right = np.linalg.svd(np.swapaxes(theta, 1, 2) @ reference)
        rotations = left @ right
        updated = (theta @ rotations).mean(axis=0)
        if np.allclose(updated, reference, atol=1e-6):
            break
        reference = updated
    return rotations


def _order(mean: Float[np.ndarray, "query trait"]) -> tuple[np.ndarray, np.ndarray]:
    """The traits' order and signs, from the queries' mean discriminations."""
    order = np.concatenate([[0], np.argsort(-mean[:, 1:].var(axis=0)) + 1])
    centred = mean[:, order] - mean[:, order].mean(axis=0)
    signs = np.where((centred**3).sum(axis=0) < 0, -1.0, 1.0)
    signs[0] = 1.0  # the general trait has its sign from its positive mean discrimination
    return order, signs
