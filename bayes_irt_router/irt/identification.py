"""Aligning the draws' traits, so that means, plots and names of traits make sense."""

import numpy as np
import xarray as xr
from jaxtyping import Float

from bayes_irt_router.data.feature_map import TASK_PREFIX
from bayes_irt_router.irt.response import UNSEEN_TASK

ROUNDS = 20  # of averaging and aligning; a handful is enough to converge


def align_traits(draws: xr.Dataset) -> xr.Dataset:
    """Ability and discrimination in coordinates that are the same for all draws.

    The MIRT's coordinates are unique in each draw, but where the anchoring directions say little about the specific traits, the
    draws' coordinates turn against each other. Here every draw's specific traits are turned (never mixed with the general one)
    to agree best with the mean of all draws: generalised orthogonal Procrustes analysis (Gower, 1975). The same orthogonal
    matrix acts on ability and on discrimination, so ``a . theta`` is what it was. Then the specific traits are ordered by the
    variance of their discrimination and signed so that the discriminations' skewness is positive.

    Testlets, as :func:`linear_view` puts them behind the traits, have coordinates of their own and are left alone.

    Args:
        draws: with ``ability`` (chain, draw, llm, trait) and ``discrimination`` (chain, draw, query, trait), the general trait first.

    Returns:
        ``ability`` and ``discrimination``, aligned. Nothing else: the residual SDs belong to the coordinates they were sampled in.
    """
    ability = draws["ability"].transpose(..., "llm", "trait")
    discrimination = draws["discrimination"].transpose(..., "query", "trait")
    traits = draws.sizes["trait"]
    first = next((k for k, name in enumerate(draws["trait"].values) if is_testlet(name)), traits)
    theta = ability.values.reshape(-1, *ability.shape[2:]).astype(np.float64)
    rotations = np.tile(np.eye(traits), (len(theta), 1, 1))
    if first > 1:
        rotations[:, 1:first, 1:first] = _procrustes(theta[:, :, 1:first])
    shape = (*ability.shape[:2], traits, traits)
    rotations = rotations.reshape(shape)
    turned = discrimination.values @ rotations
    order, signs = _order(turned.reshape(-1, *turned.shape[2:])[:, :, :first])
    behind = np.arange(first, traits)
    order, signs = np.concatenate([order, behind]), np.concatenate([signs, np.ones(len(behind))])
    return xr.Dataset(
        {
            "ability": ability.copy(
                data=((ability.values @ rotations)[..., order] * signs).astype(np.float32)
            ),
            "discrimination": discrimination.copy(data=(turned[..., order] * signs).astype(np.float32)),
        }
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


def _order(discrimination: Float[np.ndarray, "draw query trait"]) -> tuple[np.ndarray, np.ndarray]:
    mean = discrimination.mean(axis=0)
    specific = np.argsort(-mean[:, 1:].var(axis=0)) + 1
    order = np.concatenate([[0], specific])
    centred = mean[:, order] - mean[:, order].mean(axis=0)
    signs = np.where((centred**3).sum(axis=0) < 0, -1.0, 1.0)
    signs[0] = 1.0  # the general trait has its sign from its positive mean discrimination
    return order, signs
