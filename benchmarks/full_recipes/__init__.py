"""A hundred training steps of each full-size recipe: `python -m benchmarks.full_recipes`."""
