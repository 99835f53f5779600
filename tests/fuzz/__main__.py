"""Fuzz one reader, guided by coverage: ``python -m tests.fuzz READER --minutes 10``.

Needs ``pip install "fastgan[fuzz]"`` (atheris: Linux, CPython 3.11 to 3.13). The first input that
breaks the contract of tests/hostile/hostile_readers.py ends it, is kept in ``--keep`` and makes the
exit status 77; ``--again FILE`` reads such an input once more.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HARNESS = Path(__file__).with_name("harness.py")
sys.path.insert(0, str(HARNESS.parents[1] / "hostile"))

MOST_INPUT_BYTES = 1 << 14
MOST_SECONDS = 10  # an input
MOST_RESIDENT_MB = 3072


def main() -> int:
    """Run the harness in a process of its own, and say what it cost."""
    import hostile_readers
    import valid_files

    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("reader", choices=sorted(hostile_readers.READERS))
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, default=Path("fuzz-findings"))
    parser.add_argument("--again", type=Path, help="read this input once, and nothing else")
    told = parser.parse_args()
    told.keep.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="fastgan-corpus-") as corpus:
        for number, content in enumerate(valid_files.seeds()[told.reader]):
            (Path(corpus) / f"valid-{number}").write_bytes(content)
        command = [
            *(sys.executable, str(HARNESS), told.reader),
            f"-max_total_time={round(60 * told.minutes)}",
            f"-timeout={MOST_SECONDS}",
            f"-rss_limit_mb={MOST_RESIDENT_MB}",
            f"-max_len={MOST_INPUT_BYTES}",
            f"-seed={told.seed}",
            f"-artifact_prefix={told.keep}/{told.reader}-",
            "-print_final_stats=1",
            str(told.again or corpus),
        ]
        started = time.perf_counter()
        status = subprocess.run(command, check=False).returncode
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(
        f"{told.reader}: {(time.perf_counter() - started) / 60:.1f} minutes, "
        f"{(used.ru_utime + used.ru_stime) / 60:.1f} of a processor's, exit status {status}"
    )
    return status


if __name__ == "__main__":
    sys.exit(main())
