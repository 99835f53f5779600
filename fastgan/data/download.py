"""Fetch files with a checksum that is tested before they are used."""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO

# How long a mirror may be silent: before it answers, and between any two bytes.
TIMEOUT_SECONDS = 30.0
# Above any file that is fetched here; a mirror that sends without end does not fill the disk.
MOST_BYTES = 2**30
_CHUNK_BYTES = 1 << 14


class DownloadError(OSError):
    """No mirror gave the file; the message has one clause for each."""


def fetch(file_name: str, urls: tuple[str, ...], sha256: str, folder: Path) -> Path:
    """Download a file into ``folder``, unless a right copy is already there.

    The first mirror whose bytes have the checksum wins. pooch writes beside the final name and
    renames after the checksum was tested, so an interrupted download is never taken for a file,
    and processes that fetch it at once each rename a whole one.

    A mirror is given up when it is silent for 30 seconds, answers with an error, or sends another
    file or more than 1 GiB; what it sent is removed.

    Parameters
    ----------
    file_name : str
        Name in ``folder``.
    urls : tuple of str
        Mirrors in the order to try.
    sha256 : str
        Hexadecimal SHA-256 of the file as downloaded.
    folder : Path
        Created if needed.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    DownloadError
        If ``folder`` cannot be written or no mirror gave the right bytes.
    """
    import pooch

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DownloadError(f"{folder}: cannot create the cache folder ({error})") from error
    http = pooch.HTTPDownloader(timeout=TIMEOUT_SECONDS, chunk_size=_CHUNK_BYTES)

    def download(url: str, path: str, _: object) -> None:
        with Path(path).open("wb") as file:
            http(url, _Bounded(file), None)

    failures: list[str] = []
    for url in urls:
        try:
            # Failed connections are OSErrors, a wrong checksum is a ValueError.
            path = pooch.retrieve(
                url,
                known_hash=f"sha256:{sha256}",
                fname=file_name,
                path=folder,
                downloader=download,
            )
        except (OSError, ValueError) as error:
            failures.append(f"{url}: {_reason(error)}")
        else:
            return Path(path)
    raise DownloadError("; ".join(failures))


class _Bounded:
    """A file that takes at most ``MOST_BYTES``."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._left = file, MOST_BYTES
        self.flush = file.flush

    def write(self, data: bytes) -> int:
        self._left -= len(data)
        if self._left < 0:
            raise OSError(f"expected at most {MOST_BYTES:,} bytes, got more: they were removed")
        return self._file.write(data)


def _reason(error: Exception) -> str:
    causes = _causes(error)
    if any("Timeout" in type(cause).__name__ for cause in causes):
        return f"no byte for {TIMEOUT_SECONDS:g} seconds"
    if any(isinstance(cause, ConnectionResetError) for cause in causes):
        return "the connection was reset"
    if type(error).__name__ in ("ConnectionError", "ProxyError"):
        return f"no connection ({type(error).__name__})"  # requests' own words run to a paragraph
    words = (str(error).splitlines() or [type(error).__name__])[0]
    if "does not match the known hash" in words:
        return f"what came is another file, and was removed ({words:.200})"
    return words if len(words) <= 200 else words[:197] + "..."


def _causes(error: Any) -> list[object]:
    """Return an exception and what it came of: requests wraps urllib3's, which wraps Python's."""
    found: list[object] = []
    todo = [error]
    while todo and len(found) < 50:
        cause = todo.pop()
        found.append(cause)
        if isinstance(cause, BaseException):
            todo += [cause.__cause__, cause.__context__, getattr(cause, "reason", None)]
            todo += [inner for inner in cause.args if isinstance(inner, BaseException)]
    return found
