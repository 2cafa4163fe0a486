"""Measurements behind the cards in `results`: ``python -m benchmarks`` lists them."""
