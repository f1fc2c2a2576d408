"""Would a write succeed? Asked before the hours of work whose result is to be written."""

from pathlib import Path

from bayes_irt_router.data.files import atomic_directory, atomic_path


class _Rehearsed(Exception):
    """Leaves an atomic write before anything has been written, so that nothing stays."""


def rehearse_directory(path: Path, *, replaces: str) -> None:
    """Begin `atomic_directory` and leave it again; the file system is as before.

    Raises:
        InputError: the folder could not be written, or holds something else; as `atomic_directory` says.
    """
    try:
        with atomic_directory(path, replaces=replaces):
            raise _Rehearsed
    except _Rehearsed:
        pass


def rehearse_file(path: Path) -> None:
    """The same for one file and `atomic_path`."""
    try:
        with atomic_path(path):
            raise _Rehearsed
    except _Rehearsed:
        pass
