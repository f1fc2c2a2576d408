import hashlib
import sqlite3
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import xarray as xr

from bayes_irt_router.data.embedding_cache import (
    BATCH_SIZE,
    FILE_NAME,
    cached_revision,
    default_cache_dir,
    embed_texts,
)
from bayes_irt_router.data.featurize import featurize
from bayes_irt_router.data.surface import SURFACE_FEATURES, features_named, surface_matrix
from bayes_irt_router.errors import InputError

TEXTS = [f"question {'very ' * (i % 7)}{i}" for i in range(3 * BATCH_SIZE + 5)]


class HashEncoder:
    """Unit vectors that depend on the text's hash and the revision; counts what it is asked."""

    name = "hash"

    def __init__(self, revision="r1", fingerprint="f1", batches_before_failure=None):
        self._revision = revision
        self.fingerprint = fingerprint
        self.revisions_asked = 0
        self.encoded = []
        self.batches_left = batches_before_failure

    @property
    def revision(self):
        self.revisions_asked += 1
        return self._revision

    def vector(self, text):
        seed = int.from_bytes(hashlib.sha256((self._revision + text).encode()).digest()[:8])
        vector = np.random.default_rng(seed).normal(size=6)
        return (vector / np.linalg.norm(vector)).astype(np.float32)

    def embed(self, texts, *, progress=False):
        if self.batches_left == 0:
            raise KeyboardInterrupt
        if self.batches_left is not None:
            self.batches_left -= 1
        self.encoded += texts
        return np.stack([self.vector(text) for text in texts])


def expected(encoder, texts):
    return np.stack([encoder.vector(text) for text in texts])


def test_vectors_come_in_the_order_of_the_texts_and_each_text_is_encoded_once(tmp_path):
    encoder = HashEncoder()
    texts = [*TEXTS, *TEXTS[::-2]]
    np.testing.assert_array_equal(embed_texts(texts, encoder, tmp_path), expected(encoder, texts))
    assert sorted(encoder.encoded) == sorted(TEXTS)


def test_a_second_run_encodes_nothing_and_does_not_ask_for_the_revision(tmp_path):
    first, second = HashEncoder(), HashEncoder()
    embed_texts(TEXTS, first, tmp_path)
    np.testing.assert_array_equal(embed_texts(TEXTS, second, tmp_path), expected(first, TEXTS))
    assert second.encoded == []
    assert second.revisions_asked == 0
    assert cached_revision(second, tmp_path) == "r1"
    assert second.revisions_asked == 0


def test_only_missing_texts_are_encoded(tmp_path):
    encoder = HashEncoder()
    embed_texts(TEXTS[:10], encoder, tmp_path)
    embed_texts(TEXTS[5:15], encoder, tmp_path)
    assert sorted(encoder.encoded) == sorted(TEXTS[:15])


def test_a_killed_run_keeps_what_it_had_done(tmp_path):
    killed, again = HashEncoder(batches_before_failure=2), HashEncoder()
    with pytest.raises(KeyboardInterrupt):
        embed_texts(TEXTS, killed, tmp_path)
    assert len(killed.encoded) == 2 * BATCH_SIZE
    np.testing.assert_array_equal(embed_texts(TEXTS, again, tmp_path), expected(again, TEXTS))
    assert sorted(killed.encoded + again.encoded) == sorted(TEXTS)


def test_another_revision_has_vectors_of_its_own(tmp_path):
    old, new = HashEncoder("r1", "f1"), HashEncoder("r2", "f2")
    embed_texts(TEXTS, old, tmp_path)
    np.testing.assert_array_equal(embed_texts(TEXTS, new, tmp_path), expected(new, TEXTS))


def test_the_same_weights_at_another_place_share_the_vectors(tmp_path):
    embed_texts(TEXTS, HashEncoder("r1", "f1"), tmp_path)
    moved = HashEncoder("r1", "f2")
    embed_texts(TEXTS, moved, tmp_path)
    assert moved.encoded == []


def test_runs_at_the_same_time_share_one_file(tmp_path):
    encoders = [HashEncoder() for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda encoder: embed_texts(TEXTS, encoder, tmp_path, False), encoders))
    for result in results:
        np.testing.assert_array_equal(result, expected(encoders[0], TEXTS))
    late = HashEncoder()
    embed_texts(TEXTS, late, tmp_path)
    assert late.encoded == []


def overwrite_start(content):
    return b"this is no database" + content[19:]


def overwrite_pages(content):
    return content[:4096] + b"\xff" * (len(content) - 4096)


def cut_short(content):
    return content[: len(content) // 2]


@pytest.mark.parametrize("damage", [overwrite_start, overwrite_pages, cut_short])
def test_a_damaged_file_is_moved_aside_and_rebuilt(tmp_path, damage):
    embed_texts(TEXTS, HashEncoder(), tmp_path)
    file = tmp_path / FILE_NAME
    damaged = damage(file.read_bytes())
    file.write_bytes(damaged)
    encoder = HashEncoder()
    with pytest.warns(UserWarning, match="damaged"):
        result = embed_texts(TEXTS, encoder, tmp_path)
    np.testing.assert_array_equal(result, expected(encoder, TEXTS))
    assert [path.read_bytes() for path in tmp_path.glob("*.damaged")] == [damaged]
    embed_texts(TEXTS, after := HashEncoder(), tmp_path)
    assert after.encoded == []


def test_the_cache_holds_no_texts(tmp_path):
    embed_texts(["a secret prompt of a customer"], HashEncoder(), tmp_path)
    assert b"secret" not in (tmp_path / FILE_NAME).read_bytes()


def test_empty_texts_are_refused_before_anything_is_encoded(tmp_path):
    encoder = HashEncoder()
    with pytest.raises(InputError) as caught:
        embed_texts([*TEXTS, "", " "], encoder, tmp_path)
    assert len(caught.value.problems) == 2
    assert encoder.encoded == []


@pytest.mark.parametrize("folder", ["file", "file/below"])
def test_a_folder_that_cannot_be_used_is_an_input_error(tmp_path, folder):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(InputError, match="BIRT_CACHE_DIR"):
        embed_texts(["text"], HashEncoder(), tmp_path / folder)


def test_a_foreign_database_is_left_alone(tmp_path):
    with sqlite3.connect(tmp_path / FILE_NAME) as other:
        other.execute("CREATE TABLE embedding (something TEXT)")
    other.close()
    with pytest.raises(InputError, match="cannot be used"):
        embed_texts(["text"], HashEncoder(), tmp_path)


def test_the_environment_variable_names_the_default_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("BIRT_CACHE_DIR", str(tmp_path / "mine"))
    embed_texts(["text"], HashEncoder())
    assert (tmp_path / "mine" / FILE_NAME).is_file()
    monkeypatch.delenv("BIRT_CACHE_DIR")
    assert default_cache_dir().is_absolute()
    assert "bayes_irt_router" in default_cache_dir().parts


def test_featurize_adds_both_with_their_names(tmp_path):
    ids = ["q1", "q2", "q3"]
    dataset = xr.Dataset(coords={"query": ids, "text": ("query", np.array(TEXTS[:3]))})
    encoder = HashEncoder()
    result = featurize(dataset, encoder, tmp_path, progress=False)
    assert result["embedding"].dims == ("query", "embedding_dim")
    assert result["surface"].dims == ("query", "surface_feature")
    assert list(result["surface_feature"].values) == [feature.name for feature in SURFACE_FEATURES]
    np.testing.assert_array_equal(result["embedding"].values, expected(encoder, TEXTS[:3]))
    np.testing.assert_array_equal(result["surface"].values, surface_matrix(TEXTS[:3]))
    assert result["embedding"].attrs == {"encoder": "hash", "encoder_revision": "r1"}
    assert list(result["query"].values) == ids
    assert "embedding" not in dataset


def test_featurize_takes_chosen_features(tmp_path):
    dataset = xr.Dataset(coords={"text": ("query", np.array(TEXTS[:2], dtype=object))})
    result = featurize(dataset, HashEncoder(), tmp_path, features=features_named(["digits", "words"]))
    assert list(result["surface_feature"].values) == ["digits", "words"]


def test_featurize_replaces_what_an_earlier_call_added(tmp_path):
    encoder = HashEncoder()
    texts = np.array(TEXTS[:4], dtype=object)
    dataset = xr.Dataset(coords={"query": np.arange(4).astype(str), "text": ("query", texts)})
    few = features_named(["characters", "words"])
    once = featurize(dataset, encoder, tmp_path, progress=False, features=few)
    again = featurize(
        featurize(dataset, encoder, tmp_path, progress=False), encoder, tmp_path, progress=False, features=few
    )
    xr.testing.assert_identical(once, again)
