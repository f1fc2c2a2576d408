"""What a model may know of a query before anyone answers it: embedding and surface features."""

from collections.abc import Sequence
from pathlib import Path

import xarray as xr

from bayes_irt_router.data.embedding_cache import cached_revision, embed_texts
from bayes_irt_router.data.encoder import TextEncoder
from bayes_irt_router.data.surface import SURFACE_FEATURES, SurfaceFeature, surface_matrix


def featurize(
    dataset: xr.Dataset,
    encoder: TextEncoder,
    cache_dir: Path | str | None = None,
    progress: bool = True,
    features: Sequence[SurfaceFeature] = SURFACE_FEATURES,
) -> xr.Dataset:
    """Add the embedding and the surface features of each query's text.

    Args:
        dataset: has the coordinate `text` over the dim `query`.
        encoder: makes the embeddings.
        cache_dir: folder of the embedding cache; default `default_cache_dir()`.
        progress: show a progress bar on standard error when texts have to be encoded.
        features: which surface features.

    Returns:
        A copy with `embedding` (query, embedding_dim), float32 of unit norm, whose attributes `encoder` and
        `encoder_revision` say what made it, and `surface` (query, surface_feature), float64 and not
        standardised, with the features' names as coordinate `surface_feature`.

    Raises:
        InputError: a text is empty, the encoder cannot be found, or the cache cannot be written.
    """
    # What an earlier call added is made anew: it may come from another encoder or another list of features.
    dataset = dataset.drop_vars(["embedding", "surface", "surface_feature"], errors="ignore")
    texts = [str(text) for text in dataset["text"].values]
    embedding = embed_texts(texts, encoder, cache_dir, progress)
    made_by = {"encoder": encoder.name, "encoder_revision": cached_revision(encoder, cache_dir)}
    return dataset.assign_coords(surface_feature=[feature.name for feature in features]).assign(
        embedding=(("query", "embedding_dim"), embedding, made_by),
        surface=(("query", "surface_feature"), surface_matrix(texts, features)),
    )
