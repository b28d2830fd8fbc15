"""settings.md: every variable that the service reads."""

from __future__ import annotations

from typing import Any

from docs.reference import markdown
from server.settings import Setting, every_setting

_HEAD = """
# Settings

<!-- Made from server/settings/ by `make reference`: what is wrong here is wrong there. -->

Read once, from the environment, by server and workers alike. A wrong value, or a `CABRANK_…` that is none of these,
stops the start with a sentence. An empty variable counts as not set. What may stand in a file instead is followed by
the variable that names the file. `{QUEUE}` is a queue's name in capitals, with `_` for `-` and `.`; a queue of your own
exists once a task or a `{QUEUE}_QUEUE_…` names it. Of the durabilities only `memory` can be given yet.
"""


def page() -> str:
    """The same settings give the same text."""
    rows = [(_variables(setting), _default(setting), setting.says) for setting in every_setting()]
    return markdown.page(_HEAD, markdown.table(("variable", "default", "what it says"), rows))


def _variables(setting: Setting[Any]) -> str:
    return f"`{setting.name}`, `{setting.name}_FILE`" if setting.secret else f"`{setting.name}`"


def _default(setting: Setting[Any]) -> str:
    return f"`{setting.default}`" if setting.default else ""
