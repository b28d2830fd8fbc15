"""Measures what the README claims, on the machine at hand: `make figures`, or `python -m tests.bench NAME ...`."""
