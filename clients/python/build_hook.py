"""Makes the stubs before a wheel is packed: what is installed cannot differ from the contract."""

import runpy
from pathlib import Path
from typing import Any

from hatchling.builders.config import BuilderConfig
from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class StubsHook(BuildHookInterface[BuilderConfig]):
    """Runs protos/generate.py of the checkout, or the copy that a source distribution carries."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 - hatch's signature
        client = Path(self.root)
        places = (client / "protos", client.parent.parent / "protos")
        protos = next(place for place in places if place.is_dir())
        runpy.run_path(str(protos / "generate.py"))["generate"](client)
