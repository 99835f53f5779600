"""Helpers of these tests are modules beside them: valid_files and hostile_readers."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
