"""How a setting is declared: once, beside the field that it fills."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T")

# Turns the text of a variable into its value, or raises ValueError with a phrase: "must be true or false".
Parse = Callable[[str], T]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting(Generic[T]):
    """One variable. `default` is text, as a user would write it; "" stands for nothing. `says` is for people."""

    name: str
    parse: Parse[T]
    default: str
    says: str
    secret: bool

    def value(self, text: str) -> T:
        return self.parse(text or self.default)


def declared(name: str, parse: Parse[T], default: str, says: str, *, secret: bool = False) -> T:
    """A dataclass field that the variable `name` fills. A secret stays out of the repr."""
    setting = Setting(name=name, parse=parse, default=default, says=says, secret=secret)
    return field(default_factory=lambda: setting.value(""), repr=not secret, metadata={"setting": setting})


def group(kind: Callable[[], T]) -> T:
    """A dataclass field that is itself a dataclass of declared fields."""
    return field(default_factory=kind, metadata={"group": kind})


def settings_of(kind: type[DataclassInstance]) -> Iterator[Setting[Any]]:
    """Every setting that a dataclass declares, those of its groups included, in their order."""
    for each in fields(kind):
        if "group" in each.metadata:
            yield from settings_of(each.metadata["group"])
        elif "setting" in each.metadata:
            yield each.metadata["setting"]
