"""Splitting the uncertainty of many items into what they share and what is each item's own."""

import numpy as np
from jaxtyping import Float, Float32

MOST_FACTORS = 0.1  # of the number of draws
MOST_SHARED = 100  # more make the draws' weights uneven, and add nothing to the posterior of an LLM
SIGNIFICANT = 4.0  # standard errors by which a component found in half the items must show in the other half


def shared_and_own(
    items: Float32[np.ndarray, "draw query parameter"],
) -> tuple[Float32[np.ndarray, "draw query parameter"], Float[np.ndarray, "query parameter parameter"]]:
    """The draws of all items' parameters as ``shared + own``: shared by many items, and independent from item to item.

    Given the fitted LLMs' abilities, the weights of the features and the scales, items are independent. What of an item's parameters moves
    with those is seen in all items at once: as the leading principal components, over the draws, of the standardised parameters. As
    many components count as shared as, found in every other item, show in the items between as well: their mean squared correlation
    with them is above the ``1 / draws`` of noise. What the components leave of an item is its own; its covariance over the draws is
    raised by what they took of it by chance.

    Args:
        items: draws of ``(a, b)`` in coordinates common to all draws.

    Returns:
        For each draw the part that goes with what is shared, the items' means in it; and the covariance of each item's own part.
    """
    draws, queries, parameters = items.shape
    mean = items.mean(axis=0, dtype=np.float64).astype(np.float32)
    centred = items - mean
    sd = centred.std(axis=0)
    if draws < 3 or not (sd > 1e-6).any():
        return np.broadcast_to(mean, items.shape).copy(), np.zeros((queries, parameters, parameters))
    standard = centred / np.where(sd > 1e-6, sd, np.float32(np.inf))
    count = _shared_components(standard[:, ::2], standard[:, 1::2])
    basis = _components(standard)[:, :count].astype(np.float32)
    flat = centred.reshape(draws, -1)
    shared = (basis @ (basis.T @ flat)).reshape(items.shape)
    own = (centred - shared).transpose(1, 2, 0)
    covariance = np.matmul(own, own.transpose(0, 2, 1)).astype(np.float64) / (draws - count - 1)
    return shared + mean, covariance


def _shared_components(
    found_in: Float32[np.ndarray, "draw query parameter"],
    shown_by: Float32[np.ndarray, "draw other parameter"],
) -> int:
    """How many leading components of some items explain more of others than noise would, counted up to the first that does not."""
    draws, others = shown_by.shape[:2]
    most = min(int(MOST_FACTORS * draws), MOST_SHARED, draws - 2)
    if others == 0 or most == 0:
        return 0
    components = _components(found_in)[:, :most].astype(np.float32)
    most = components.shape[1]
    # One number an item, the mean over its parameters: they are correlated within an item, and not between items.
    explained = ((components.T @ shown_by.reshape(draws, -1)) ** 2).reshape(most, others, -1).mean(axis=2)
    error = explained.std(axis=1) / np.sqrt(others)
    shows = explained.mean(axis=1) > 1.0 + SIGNIFICANT * error
    return most if shows.all() else int(np.argmin(shows))


def _components(standard: Float32[np.ndarray, "draw query parameter"]) -> Float[np.ndarray, "draw component"]:
    """Unit vectors over the draws, by falling variance: as many as there are draws, or numbers a draw, if those are fewer."""
    flat = standard.reshape(len(standard), -1)
    if len(flat) <= flat.shape[1]:
        return np.linalg.eigh((flat @ flat.T).astype(np.float64))[1][:, ::-1]
    variance, axes = np.linalg.eigh((flat.T @ flat).astype(np.float64))
    # Others are rounding, or belong to parameters that are the same in all draws.
    spread = variance > 1e-6 * variance[-1]
    return (flat @ axes[:, spread] / np.sqrt(variance[spread]))[:, ::-1]
