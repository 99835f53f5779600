"""Start ``main(arguments)`` of a module of the benchmarks: ``launch.py MODULE [ARGUMENT ...]``.

Started by its path, so that the process imports the same fastgan as its parent, where ``python -m``
would put the source folder first.
"""

from __future__ import annotations

import sys

from memory_child import import_benchmarks

del sys.path[0]  # this folder, whose modules are nobody's but the benchmarks'

if __name__ == "__main__":
    sys.exit(import_benchmarks(sys.argv[1]).main(sys.argv[2:]))
