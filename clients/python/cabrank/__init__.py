"""cabrank for callers: `cabrank.v1` is its contract, `cabrank.platform.v1` is what it asks of a backend."""
