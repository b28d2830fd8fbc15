"""One queue and all who have to do with it: `life` is what they share, then a module for each kind of actor."""

import pytest

# Before they are imported, so that an assert that fails in them shows its values, as in a test module.
pytest.register_assert_rewrite(
    *(f"{__name__}.{module}" for module in ("life", "callers", "workers", "sweeps", "operators", "readers"))
)
