"""Find a data set's files on this machine, and say where they were looked for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ENVIRONMENT_VARIABLE = "FASTGAN_DATA"
CACHE = "cache"


@dataclass(frozen=True)
class FileSet:
    """The files of one data set.

    Parameters
    ----------
    name : str
        The data set's name.
    subfolders : tuple of str
        Folders inside a searched folder that are looked into after the folder itself.
    alternatives : tuple
        Each alternative is a complete data set: a tuple of files, each file a tuple of the names
        (or glob patterns) that it may have, the preferred first.
    home : str
        Where a user gets the files, in words.
    """

    name: str
    subfolders: tuple[str, ...]
    alternatives: tuple[tuple[tuple[str, ...], ...], ...]
    home: str

    def describe(self) -> str:
        """Name the files to put somewhere, in words."""
        return ", or ".join(", ".join(names[0] for names in files) for files in self.alternatives)


@dataclass(frozen=True)
class Search:
    """What a search found.

    Parameters
    ----------
    paths : tuple of Path
        The files, in the order of the alternative that was found; empty if none was complete.
    looked : tuple of str
        Every folder looked into, with what was missing there.
    """

    paths: tuple[Path, ...]
    looked: tuple[str, ...]

    @property
    def folder(self) -> Path:
        """The folder that holds the files found."""
        return self.paths[0].parent


def cache_folder(name: str) -> Path:
    """Name the folder of a data set in the user's cache; it is not created here."""
    import platformdirs

    return platformdirs.user_cache_path("fastgan", appauthor=False) / "data" / name


def user_folders(folder: str | os.PathLike[str] | None) -> list[tuple[Path, str]]:
    """List the folders that a user names, each with its setting: ``folder``, FASTGAN_DATA.

    Raises
    ------
    NotADirectoryError
        If one of them is set but is not a folder: a slip there must not end in a download.
    """
    named: list[tuple[Path, str]] = []
    if folder is not None:
        named.append((Path(folder).expanduser(), "folder"))
    environment = os.environ.get(ENVIRONMENT_VARIABLE)
    if environment:
        named.append((Path(environment).expanduser(), ENVIRONMENT_VARIABLE))
    for path, setting in named:
        if not path.is_dir():
            raise NotADirectoryError(f"{setting}: expected an existing folder, got {path}")
    return named


def search(files: FileSet, folders: list[tuple[Path, str]]) -> Search:
    """Look for a data set in each folder and in its known subfolders; the first complete one wins.

    Parameters
    ----------
    files : FileSet
    folders : list of (folder, label)
        The label says in the list of places where the folder comes from.
    """
    looked: list[str] = []
    for base, label in folders:
        # a cache folder has the name of its data set already
        subfolders = () if label == CACHE else files.subfolders
        for folder in _with_subfolders(base, subfolders):
            missing: list[str] = []
            for alternative in files.alternatives:
                paths = [_first(folder, names) for names in alternative]
                found = tuple(path for path in paths if path is not None)
                if len(found) == len(alternative):
                    return Search(found, tuple(looked))
                if found:
                    missing = [
                        names[0]
                        for names, path in zip(alternative, paths, strict=True)
                        if path is None
                    ]
            note = f": only {', '.join(missing)} missing" if missing else ""
            looked.append(f"{folder} ({label}){note}")
    return Search((), tuple(looked))


def missing_error(files: FileSet, looked: tuple[str, ...], reason: str) -> FileNotFoundError:
    """Make the error for a data set that is nowhere: what to put where."""
    places = list(looked)
    if not os.environ.get(ENVIRONMENT_VARIABLE):
        places.append(f"the folder named by {ENVIRONMENT_VARIABLE} (not set)")
    listed = "\n".join(f"  - {place}" for place in places)
    return FileNotFoundError(
        f"{files.name}: files not found{reason}.\n"
        f"Put these files: {files.describe()}\n"
        f"into one of the folders looked in:\n{listed}\n"
        f"or pass folder=... . {files.home}"
    )


def _with_subfolders(base: Path, subfolders: tuple[str, ...]) -> Iterator[Path]:
    yield base
    seen = {base.resolve()}
    for subfolder in subfolders:
        path = base / subfolder
        # On file systems that ignore case, "mnist" and "MNIST" are the same folder.
        if path.is_dir() and path.resolve() not in seen:
            seen.add(path.resolve())
            yield path
        elif subfolder == subfolders[0] and not path.is_dir():
            yield path  # named in the error, as the place where the files may go


def _first(folder: Path, names: tuple[str, ...]) -> Path | None:
    for name in names:
        matches = sorted(path for path in folder.glob(name) if path.is_file())
        if len(matches) > 1:
            raise ValueError(
                f"{folder}: expected one file {name}, got {len(matches)} "
                f"({', '.join(path.name for path in matches)}); pass the path of the one to read"
            )
        if matches:
            return matches[0]
    return None
