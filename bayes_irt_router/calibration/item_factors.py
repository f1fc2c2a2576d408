"""Splitting the uncertainty of many items into what they share and what is each item's own."""

import numpy as np
from jaxtyping import Float, Float32

MOST_FACTORS = 0.1  # of the number of draws


def shared_and_own(
    items: Float32[np.ndarray, "draw query parameter"],
) -> tuple[Float32[np.ndarray, "draw query parameter"], Float[np.ndarray, "query parameter parameter"]]:
    """The draws of all items' parameters as ``shared + own``: shared by many items, and independent from item to item.

    Given the fitted LLMs' abilities and the scales, items are independent. What of an item's parameters moves with those is seen
    in all items at once: as the leading principal components, over the draws, of the standardised parameters. Components count as
    shared if their eigenvalue is above the edge ``(1 + sqrt(draws / columns))^2`` of what independent noise gives (Marchenko and
    Pastur, 1967). The rest of each item is its own; its covariance over the draws is raised by what the components took of it by chance.

    Args:
        items: draws of ``(a, b)`` in coordinates common to all draws.

    Returns:
        For each draw the part that goes with what is shared, the items' means in it; and the covariance of each item's own part.
    """
    draws, queries, parameters = items.shape
    mean = items.mean(axis=0, dtype=np.float64).astype(np.float32)
    centred = (items - mean).reshape(draws, -1)
    sd = centred.std(axis=0)
    varying = sd > 1e-6
    if draws < 3 or not varying.any():
        return np.broadcast_to(mean, items.shape).copy(), np.zeros((queries, parameters, parameters))
    standard = centred[:, varying] / sd[varying]
    columns = standard.shape[1]
    values, vectors = np.linalg.eigh((standard @ standard.T).astype(np.float64) / columns)
    values, vectors = values[::-1], vectors[:, ::-1]
    most = min(int(MOST_FACTORS * draws), draws - 2)
    edge = (1.0 + np.sqrt(draws / columns)) ** 2
    count = 0
    # The noise level is what the components beyond those already taken leave, so that a strong one does not hide a weaker one.
    while count < most and values[count] > edge * values[count:].sum() / draws:
        count += 1
    basis = vectors[:, :count].astype(np.float32)
    shared = basis @ (basis.T @ centred)
    own = (centred - shared).reshape(items.shape).transpose(1, 2, 0)
    covariance = np.matmul(own, own.transpose(0, 2, 1)).astype(np.float64) / (draws - count - 1)
    return shared.reshape(items.shape) + mean, covariance
