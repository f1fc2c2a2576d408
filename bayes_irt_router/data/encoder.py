"""The sentence encoder: from a prompt to a vector of unit norm.

Any sentence-transformers model will do; `encoder_weights` tells where its weights are looked for.

Long prompts: an encoder reads a window of at most `max_seq_length` tokens and, left alone, ignores the rest.
Here a longer prompt is cut into consecutive windows w = 1, ..., W of n_w tokens (each with the special tokens
that the encoder expects), and

    embedding = normalise(sum_w n_w e_w / sum_w n_w)

where e_w is the unit embedding of window w. A prompt that fits gets exactly the encoder's own embedding.
"""

import hashlib
import json
import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32

from bayes_irt_router.data.encoder_weights import DEFAULT_ENCODER, find_weights
from bayes_irt_router.errors import InputError

BATCH_SIZE = 64

# Part of the revision: change it whenever the treatment of long prompts changes, and no old vector is reused.
_WINDOW_RULE = "consecutive windows, mean weighted by tokens"


@runtime_checkable
class TextEncoder(Protocol):
    """What the embedding cache needs of an encoder; `Encoder` is one, a test may bring another."""

    @property
    def name(self) -> str:
        """The name a person gave."""

    @property
    def fingerprint(self) -> str:
        """Cheap identity of the files the weights come from."""

    @property
    def revision(self) -> str:
        """Identity of the vectors: equal revisions give equal embeddings, wherever the weights come from."""

    def embed(
        self, texts: Sequence[str], *, progress: bool = False
    ) -> Float32[np.ndarray, "query embedding_dim"]:
        """One unit vector per text."""


@dataclass(frozen=True)
class Encoder:
    """A sentence-transformers model, loaded when it is first needed.

    Args:
        name: a name on the model hub (`all-MiniLM-L6-v2` is short for
            `sentence-transformers/all-MiniLM-L6-v2`), or the path of a folder that holds a model.
        device: where PyTorch computes. The default leaves a GPU to the sampler; large encoders want "cuda".
    """

    name: str = DEFAULT_ENCODER
    device: str = "cpu"

    @cached_property
    def folder(self) -> Path:
        """The folder with the weights, as `encoder_weights.find_weights` finds it.

        Raises:
            InputError: the model is in none of the four places, or the name cannot be one.
        """
        return find_weights(self.name)

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the folder's path and of its files' names, sizes and times: cheap, read without PyTorch."""
        digest = hashlib.sha256(f"{_WINDOW_RULE}\n{self.folder.resolve()}".encode())
        for path in sorted(path for path in self.folder.rglob("*") if path.is_file()):
            status = path.stat()
            line = f"\n{path.relative_to(self.folder)}\t{status.st_size}\t{status.st_mtime_ns}"
            digest.update(line.encode("utf-8", "surrogateescape"))
        return digest.hexdigest()

    @cached_property
    def revision(self) -> str:
        """Hash of weights, pooling and window, 16 hexadecimal digits; it loads the model.

        It does not depend on where the weights lie, nor on the names that a version of the library gives to
        the tensors, so all sources of the same weights share one cache and load the same posteriors.
        """
        # Hashing leaves Python's lock, so threads halve the third of a second it takes.
        with ThreadPoolExecutor() as pool:
            tensors = sorted(pool.map(_tensor_hash, self._model.parameters()))
        settings = {
            "tensors": tensors,
            "modules": [_module_settings(module) for module in self._model],
            "prompt": self._prompt,
            "window": self._window,
            "rule": _WINDOW_RULE,
        }
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]

    def embed(
        self, texts: Sequence[str], *, progress: bool = False
    ) -> Float32[np.ndarray, "query embedding_dim"]:
        """Embed each text; long ones window by window (see the module).

        The last digits of a vector may vary with the texts it is batched with, as the padding does.

        Args:
            texts: at least one; none empty. Half surrogate pairs, which are no text, count as question marks.
            progress: show a progress bar on standard error.

        Returns:
            float32, each row of unit norm.

        Raises:
            InputError: a text is empty, or there is none, or the weights cannot be found or loaded.
        """
        check_texts(texts)
        texts = [text.encode("utf-8", "replace").decode() for text in texts]
        model = self._model
        with _quiet():
            windows = self._windows(texts)
            short = [index for index in range(len(texts)) if index not in windows]
            vectors: dict[int, np.ndarray] = {}
            if short:
                encoded = model.encode(
                    [texts[index] for index in short],
                    batch_size=BATCH_SIZE,
                    show_progress_bar=progress,
                    normalize_embeddings=True,
                )
                vectors.update(zip(short, encoded, strict=True))
            for index, token_ids in windows.items():
                vectors[index] = self._embed_windows(token_ids)
        return np.stack([vectors[index] for index in range(len(texts))]).astype(np.float32, copy=False)

    @cached_property
    def _model(self) -> Any:
        folder = self.folder  # First, so that a wrong name fails at once.
        # Imported here: sentence-transformers brings PyTorch, which takes seconds; cached runs need neither.
        from sentence_transformers import SentenceTransformer

        with _quiet():
            try:
                model = SentenceTransformer(str(folder), device=self.device, local_files_only=True)
            except Exception as error:  # damaged files surface as many types, of three libraries
                reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
                raise InputError(
                    f"The encoder in {folder} cannot be loaded ({reason}); "
                    "name a folder that sentence-transformers has saved, or download the model again."
                ) from error
        return model.eval()

    @property
    def _window(self) -> int | None:
        """Tokens per window, special ones included; None for an encoder that reads texts of any length."""
        window = self._model.max_seq_length
        # Tokenizers without a limit say 10^30.
        return int(window) if window is not None and window < 10**9 else None

    @property
    def _prompt(self) -> str:
        """What the encoder itself puts before every text, such as "query: "; mostly nothing."""
        return self._model.prompts.get(self._model.default_prompt_name) or ""

    def _windows(self, texts: list[str]) -> dict[int, list[list[int]]]:
        """Index of each text that is too long -> the tokens of its windows, with special tokens."""
        tokenizer = self._model.tokenizer
        if self._window is None or not getattr(tokenizer, "is_fast", False):
            return {}  # Only fast tokenizers cut into windows; the few others keep the library's truncation.
        batch = tokenizer(
            [self._prompt + text for text in texts],
            truncation=True,
            max_length=self._window,
            return_overflowing_tokens=True,
        )
        windows: dict[int, list[list[int]]] = {}
        for index, token_ids in zip(batch["overflow_to_sample_mapping"], batch["input_ids"], strict=True):
            windows.setdefault(int(index), []).append(token_ids)
        return {index: parts for index, parts in windows.items() if len(parts) > 1}

    def _embed_windows(self, windows: list[list[int]]) -> np.ndarray:
        import torch  # Already loaded with the model; see there.

        special = self._model.tokenizer.num_special_tokens_to_add(pair=False)
        total: np.ndarray | float = 0.0
        for start in range(0, len(windows), BATCH_SIZE):
            part = windows[start : start + BATCH_SIZE]
            features = self._model.tokenizer.pad({"input_ids": part}, return_tensors="pt")
            with torch.inference_mode():
                output = self._model({key: value.to(self._model.device) for key, value in features.items()})
            embedded = output["sentence_embedding"].float().cpu().numpy()
            tokens = np.array([len(token_ids) - special for token_ids in part], dtype=np.float64)
            total = total + tokens @ (embedded / np.linalg.norm(embedded, axis=1, keepdims=True))
        return (total / np.linalg.norm(total)).astype(np.float32)


def check_texts(texts: Sequence[str]) -> None:
    """Raise an InputError that lists all empty texts, or says that there are no texts."""
    if not texts:
        raise InputError("There is no text to embed; give at least one.")
    empty = [index for index, text in enumerate(texts) if not text.strip()]
    if empty:
        raise InputError(
            [f"Text {index} (counted from 0) is empty; give it words or drop it." for index in empty]
        )


def _tensor_hash(tensor: Any) -> str:
    """Hash of a PyTorch tensor's shape and of its values as float32."""
    array = np.ascontiguousarray(tensor.detach().float().cpu().numpy())
    digest = hashlib.sha256(f"{array.shape}\n".encode())
    digest.update(array)
    return digest.hexdigest()


def _module_settings(module: Any) -> list[Any]:
    """What a module does beside its weights, in words that do not change with the library's version."""
    kind = type(module).__name__
    if kind == "Pooling":
        mode = getattr(module, "pooling_mode", None) or module.get_pooling_mode_str()
        return [kind, mode if isinstance(mode, str) else "+".join(mode)]
    if kind in {"Transformer", "Normalize"} or not hasattr(module, "get_config_dict"):
        return [kind]
    return [kind, json.dumps(module.get_config_dict(), sort_keys=True, default=str)]


@contextmanager
def _quiet() -> Iterator[None]:
    """Hold back the progress bar and the advice that loading weights prints, and put the settings back."""
    from transformers.utils import logging as transformers_logging

    verbosity, has_bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity(logging.ERROR)
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if has_bars:
            transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]
