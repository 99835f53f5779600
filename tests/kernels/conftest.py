"""Helpers of these tests are modules beside them, and the families of points of tests/ops."""

import sys
from pathlib import Path

for folder in (Path(__file__).parent, Path(__file__).parents[1] / "ops"):
    sys.path.insert(0, str(folder))
