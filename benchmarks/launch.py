"""Start ``main(arguments)`` of a module of the benchmarks: ``launch.py MODULE [ARGUMENT ...]``.

Started by its path, so that the process imports the same fastgan as its parent, where ``python -m``
would put the source folder first.
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent

if __name__ == "__main__":
    # this folder, unless PYTHONSAFEPATH keeps it out: its modules are nobody's but the benchmarks'
    sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != FOLDER]
    import_benchmarks = runpy.run_path(str(FOLDER / "memory_child.py"))["import_benchmarks"]
    sys.exit(import_benchmarks(sys.argv[1]).main(sys.argv[2:]))
