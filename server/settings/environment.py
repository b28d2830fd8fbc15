"""Reading settings from an environment. Faults are gathered, so that a person mends all of them at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from server.settings.declaration import Setting

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Group = TypeVar("Group", bound="DataclassInstance")

_MOST_SHOWN = 80


class SettingsError(Exception):
    """The environment holds wrong values: `faults` are sentences, each naming its variable."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__(faults)
        self.faults = faults

    def __str__(self) -> str:
        return "\n".join(self.faults)


class Environment:
    """Variables, and the faults found in them so far. An empty variable counts as absent."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables
        self.faults: list[str] = []

    def read(self, kind: type[Group], **placeholders: str) -> Group:
        """A dataclass of declared fields, filled. Where something is wrong it has the default."""
        values: dict[str, Any] = {}
        for each in fields(kind):
            if "group" in each.metadata:
                values[each.name] = self.read(each.metadata["group"])
            elif "setting" in each.metadata:
                values[each.name] = self._value(each.metadata["setting"], placeholders)
        try:
            return kind(**values)
        except ValueError as fault:
            self.faults.append(f"{fault}.")
            return kind()

    def refuse_faults(self) -> None:
        """Raises SettingsError if anything that was read is wrong."""
        if self.faults:
            raise SettingsError(self.faults)

    def _value(self, setting: Setting[Any], placeholders: Mapping[str, str]) -> Any:
        name = setting.name.format(**placeholders)
        text = self._secret(name) if setting.secret else self._variables.get(name, "")
        try:
            return setting.value(text)
        except ValueError as fault:
            given = "" if setting.secret else f" is {_shown(text)}, but"
            self.faults.append(f"{name}{given} {fault}.")
            return setting.value("")

    def _secret(self, name: str) -> str:
        """A secret stands in its variable, or in the file that NAME_FILE names: so containers mount them."""
        text, path = self._variables.get(name, ""), self._variables.get(f"{name}_FILE", "")
        if text and path:
            self.faults.append(f"{name} and {name}_FILE are both set, but must be only one of the two.")
        if text or not path:
            return text
        try:
            return Path(path).read_text("utf-8").rstrip("\r\n")
        except (OSError, ValueError) as error:  # ValueError: no UTF-8 in it, or a NUL in the path
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            self.faults.append(f"{name}_FILE is {_shown(path)}, but must be a readable file: {reason}.")
            return ""


def _shown(text: str) -> str:
    return repr(text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}…")
