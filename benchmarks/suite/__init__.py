"""All benchmarks in one command, as a document: ``python -m benchmarks.suite``."""
