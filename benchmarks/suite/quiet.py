"""Does anything else run? What share of all cores is busy while this process waits."""

from __future__ import annotations

import time
from pathlib import Path

STAT = Path("/proc/stat")
SECONDS = 0.5
MOST_BUSY = 0.15  # of all cores: the system's own daemons stay well below


def busy_share(seconds: float = SECONDS) -> float | None:
    """Wait so long, and return the share of all cores' time that was used; None but on Linux."""
    before = _times()
    time.sleep(seconds)
    after = _times()
    if before is None or after is None:
        return None
    total, idle = (b - a for a, b in zip(before, after, strict=True))
    return 1.0 - idle / total if total > 0 else None


def is_quiet(share: float | None) -> bool:
    """Say whether a machine so busy is quiet; one that cannot be asked is believed to be."""
    return share is None or share <= MOST_BUSY


def _times() -> tuple[int, int] | None:
    """Return the ticks of all cores since the start, and those of them that were idle."""
    if not STAT.exists():
        return None
    ticks = [int(word) for word in STAT.read_text(encoding="ascii").split("\n")[0].split()[1:9]]
    return sum(ticks), ticks[3] + ticks[4]  # idle, and waiting for a disk
