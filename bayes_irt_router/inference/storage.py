"""The posterior as a folder: `posterior.nc` (draws and arrays), `model.json` (everything else), never a pickle."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayes_irt_router.data.feature_map import FeatureMap
from bayes_irt_router.data.files import atomic_directory, write_json, write_table
from bayes_irt_router.errors import InputError
from bayes_irt_router.inference.diagnostics import ConvergenceGate
from bayes_irt_router.inference.migrations import MIGRATIONS, Content, migrated, newest_version
from bayes_irt_router.inference.posterior import ABILITY_MEAN, ABILITY_SD, ANSWER_LENGTH, Posterior
from bayes_irt_router.irt.neural_items import HEAD_DIMS, ITEMS, NETWORK, RELEVANCE, TRAINING, WEIGHT_DIMS

SCHEMA_VERSION = newest_version(MIGRATIONS)
RECORD, DRAWS, TEXTS = "model.json", "posterior.nc", "texts.parquet"
STACKED = "stacked"  # folder of the other models of a stack
CALIBRATION = "calibration.json"  # what `birt calibrate` asked and learned
# What prediction, routing and the summaries read; a folder without it is refused when loaded, not later.
COMMON = {
    "sample_stats": (),
    "queries": ("embedding", "text_hash"),
    "llms": ("llm",),
    "feature_map": ("landmarks", "projection", "lengthscale", "surface_mean", "surface_scale"),
    "gate": ("quantity", "name", "r_hat", "ess_bulk", "ess_tail"),
}
NEEDED: dict[str, dict[str, tuple[str, ...]]] = {
    "mirt": {
        "posterior": (
            "ability",
            "difficulty",
            "difficulty_mean",
            "difficulty_weight",
            "difficulty_residual_sd",
            "difficulty_kernel_sd",
            "discrimination",
            "discrimination_mean",
            "discrimination_weight",
            "discrimination_residual_sd",
            "discrimination_kernel_sd",
        ),
        **COMMON,
    },
    "nirt": {
        "posterior": ("ability", ABILITY_MEAN, ABILITY_SD, "output", "level_weight"),
        **COMMON,
        NETWORK: tuple(WEIGHT_DIMS),
        ITEMS: (*HEAD_DIMS, "residual_mean", "residual_factor"),
        RELEVANCE: ("anchor", "assignment", "sharpness"),
        TRAINING: ("loss", "validation"),
    },
}
# Models of data without tokens or costs, and older folders, have no such group; one that is there is complete.
OPTIONAL = {
    ANSWER_LENGTH: (
        "intercept",
        "llm_weight",
        "weight",
        "noise_sd",
        "residual_sd",
        "novelty_factor",
        "spread_weight",
        "spread_intercept",
        "projection",
        "unit",
        "counted",
    )
}
NEEDED_RECORD = ("model", "encoder", "data", "cost", "gate")


def save(posterior: Posterior, directory: Path, calibration: Mapping[str, Any] | None = None) -> None:
    """Write a model folder, all of it or nothing.

    ``posterior.nc`` is a NetCDF file of the groups ``posterior``, ``sample_stats``, ``queries``, ``llms``, ``feature_map``, ``gate``
    and, where there is one, ``answer_length`` (``xarray.open_datatree`` reads it); ``model.json`` holds the record;
    ``texts.parquet`` exists only if texts were kept, ``calibration.json`` only if a report of a calibration is given. The other models
    of a stack are folders of the same kind in ``stacked``.

    Raises:
        InputError: the folder exists and is neither empty nor a model folder.
    """
    with atomic_directory(directory, replaces=RECORD) as folder:
        _write(posterior, folder)
        for number, other in enumerate(posterior.stacked, start=2):
            one = folder / STACKED / f"{number}"
            one.mkdir(parents=True)
            _write(other, one)
        if calibration is not None:
            write_json(folder / CALIBRATION, calibration)


def _write(posterior: Posterior, folder: Path) -> None:
    """One model into an empty folder."""
    groups = {name: node.to_dataset() for name, node in posterior.tree.children.items()}
    groups["feature_map"] = posterior.feature_map.to_dataset()
    groups["gate"] = xr.Dataset.from_dataframe(posterior.gate.table).rename(index="entry")
    record = {
        "schema_version": SCHEMA_VERSION,
        **posterior.record,
        "stacked": len(posterior.stacked),
        "gate": {
            "passed": posterior.gate.passed,
            "verdict": posterior.gate.verdict,
            "chains": posterior.gate.chains,
            "divergent": posterior.gate.divergent,
            "complaints": list(posterior.gate.complaints),
            "training": posterior.gate.training,
        },
    }
    xr.DataTree.from_dict({name: _plain(group) for name, group in groups.items()}).to_netcdf(
        folder / DRAWS, engine="h5netcdf", encoding={f"/{n}": _compressed(g) for n, g in groups.items()}
    )
    if posterior.texts is not None:
        ids = groups["queries"]["query"].values
        write_table(folder / TEXTS, pd.DataFrame({"query_id": ids, "text": posterior.texts}))
    write_json(folder / RECORD, record)


def load(directory: Path) -> Posterior:
    """Read a model folder. One of an older version is brought up to date in memory; the folder stays as it is.

    Raises:
        InputError: the folder is missing, damaged, of another program, or written by a newer version.
    """
    directory = Path(directory)
    first, others = _read(directory)
    folders = [directory / STACKED / f"{2 + k}" for k in range(others)]
    if missing := [one.name for one in folders if not one.is_dir()]:
        raise InputError(
            f"{directory} is incomplete (model {', '.join(missing)} of the stack); copy the whole folder, or stack again."
        )
    return replace(first, stacked=tuple(_read(one)[0] for one in folders))


def _read(directory: Path) -> tuple[Posterior, int]:
    """One model, and how many others are stacked with it."""
    record, version = _read_record(directory)
    try:
        with xr.open_datatree(directory / DRAWS, engine="h5netcdf") as opened:
            tree = opened.load()
    except FileNotFoundError:
        raise InputError(f"{directory} has no {DRAWS}; copy the whole model folder, or fit again.") from None
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise InputError(f"{directory / DRAWS} is damaged ({error}); copy it again, or fit again.") from None
    groups = {name: node.to_dataset() for name, node in tree.children.items()}
    try:
        content = migrated(Content(record, groups), version, MIGRATIONS)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{directory} is of version {version} and incomplete ({error!r}); copy it again, or fit again."
        ) from None
    record, groups = content.record, content.groups
    if (kind := record.get("kind")) not in NEEDED:
        raise InputError(
            f"{directory / RECORD} holds a model of kind {kind}; this version knows {', '.join(NEEDED)}."
        )
    needed = NEEDED[kind]
    if missing := [name for name in needed if name not in groups]:
        raise InputError(
            f"{directory / DRAWS} has no group {', '.join(missing)}; it is not of this program. Fit again."
        )
    missing = [
        f"{variable} of the {name}"
        for name, variables in (needed | {n: v for n, v in OPTIONAL.items() if n in groups}).items()
        for variable in variables
        if variable not in groups[name].variables
    ]
    missing += [f"{name} of the record" for name in NEEDED_RECORD if not isinstance(record.get(name), dict)]
    if missing:
        raise InputError(f"{directory} is incomplete ({', '.join(missing)}); copy it again, or fit again.")
    try:
        told, others = record.pop("gate"), int(record.pop("stacked"))
        table = groups.pop("gate").to_dataframe().reset_index(drop=True)
        gate = ConvergenceGate(
            table, told["chains"], told["divergent"], tuple(told["complaints"]), told.get("training", "")
        )
        feature_map = FeatureMap.from_dataset(groups.pop("feature_map"))
        texts = None
        if (directory / TEXTS).exists():
            texts = tuple(pd.read_parquet(directory / TEXTS)["text"])
    except (KeyError, TypeError, OSError, ValueError) as error:
        raise InputError(f"{directory} is incomplete ({error}); copy it again, or fit again.") from None
    return Posterior(xr.DataTree.from_dict(groups), feature_map, gate, record, texts), others


def load_calibration(directory: Path) -> dict[str, Any] | None:
    """The report of the last calibration in a model folder; None where nothing was calibrated.

    Raises:
        InputError: the file is damaged.
    """
    path = Path(directory) / CALIBRATION
    if not path.exists():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, UnicodeDecodeError):
        found = None
    if not isinstance(found, dict):
        raise InputError(f"{path} is damaged; copy it again, or remove it.")
    return found


def _read_record(directory: Path) -> tuple[dict[str, Any], int]:
    """The record as it stands in the file, and its schema version."""
    path = directory / RECORD
    if not directory.is_dir():
        raise InputError(f"There is no model folder {directory}; `make demo` makes one in runs/demo/model.")
    if not path.exists():
        raise InputError(f"{directory} is not a model folder: it has no {RECORD}.")
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        found = int(record.pop("schema_version"))
    except (ValueError, KeyError, TypeError, AttributeError, UnicodeDecodeError):
        raise InputError(f"{path} is damaged or not of this program; copy it again, or fit again.") from None
    if found < 1:
        raise InputError(f"{path} is damaged or not of this program; copy it again, or fit again.")
    if found > SCHEMA_VERSION:
        raise InputError(
            f"{path} has schema version {found}, this program reads up to {SCHEMA_VERSION}; install a newer version."
        )
    return record, found


def _plain(group: xr.Dataset) -> xr.Dataset:
    """Without what NetCDF cannot hold: object strings become strings, attributes become JSON strings."""
    strings = {
        name: (v.dims, v.values.astype(str)) for name, v in group.variables.items() if v.dtype == object
    }
    coords = {name: v for name, v in strings.items() if name in group.coords}
    data = {name: v for name, v in strings.items() if name not in group.coords}
    group = group.assign(data).assign_coords(coords)
    group.attrs = {k: v if isinstance(v, str) else json.dumps(v, default=str) for k, v in group.attrs.items()}
    return group


def _compressed(group: xr.Dataset) -> dict[str, dict[str, Any]]:
    big = [
        str(name)
        for name, v in group.data_vars.items()
        if np.issubdtype(v.dtype, np.floating) and v.size > 1e4
    ]
    return {name: {"zlib": True, "complevel": 1, "shuffle": True} for name in big}
