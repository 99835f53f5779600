"""Benchmarks: speed beside error, against what people use today. See README.md."""
