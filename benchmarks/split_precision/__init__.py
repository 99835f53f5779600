"""What products of tensor cores cost in nats: `python -m benchmarks.split_precision`."""
