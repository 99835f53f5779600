"""Fetch files with a checksum that is tested before they are used."""

from __future__ import annotations

from pathlib import Path

_TIMEOUT_SECONDS = 30.0


class DownloadError(OSError):
    """No mirror gave the file; the message has one clause for each."""


def fetch(file_name: str, urls: tuple[str, ...], sha256: str, folder: Path) -> Path:
    """Download a file into ``folder``, unless a right copy is already there.

    The first mirror whose bytes have the checksum wins. pooch writes beside the final name and
    renames after the checksum was tested, so an interrupted download is never taken for a file.

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
    failures: list[str] = []
    for url in urls:
        try:
            # Failed connections are OSErrors, a wrong checksum is a ValueError.
            path = pooch.retrieve(
                url,
                known_hash=f"sha256:{sha256}",
                fname=file_name,
                path=folder,
                downloader=pooch.HTTPDownloader(timeout=_TIMEOUT_SECONDS),
            )
        except (OSError, ValueError) as error:
            failures.append(f"{url}: {_reason(error)}")
        else:
            return Path(path)
    raise DownloadError("; ".join(failures))


def _reason(error: Exception) -> str:
    if type(error).__name__ in ("ConnectionError", "ConnectTimeout", "ProxyError", "ReadTimeout"):
        return f"no connection ({type(error).__name__})"  # requests' own words run to a paragraph
    words = (str(error).splitlines() or [type(error).__name__])[0]
    return words if len(words) <= 200 else words[:197] + "..."
