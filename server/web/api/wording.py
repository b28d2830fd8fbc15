"""What a field must be, in words for people: made of its type, so that they say what is checked."""

from __future__ import annotations

from typing import Any

from msgspec import inspect

from server.catalog.names import nearest


def demand(kind: Any, given: Any = None) -> str:
    """A phrase that goes on after the field's name; with the word that `given` may have been meant to be."""
    forms = _forms(inspect.type_info(kind))
    near = nearest(given, forms) if isinstance(given, str) else []
    return f"must be {_either(forms)}" + (f": did you mean {near[0]}?" if near else "")


def _forms(kind: inspect.Type) -> list[str]:
    """All that it may be, but for null: that is how the absence of a field looks here, and nothing to ask for."""
    match kind:
        case inspect.Metadata(extra={"must_be": words}):
            return [words]
        case inspect.Metadata(type=bare):
            return _forms(bare)
        case inspect.UnionType(types=types):
            return [form for each in types if not isinstance(each, inspect.NoneType) for form in _forms(each)]
        case inspect.EnumType(cls=words) | inspect.LiteralType(values=words):
            return [str(word) for word in words]
    return [_form(kind)]


def _form(kind: inspect.Type) -> str:
    match kind:
        case inspect.BoolType():
            return "true or false"
        case inspect.IntType(ge=least, le=most):
            return f"a whole number {_range(least, most)}"
        case inspect.StrType(max_length=int(most)):
            return f"text of at most {most} characters"
    return "text"


def _range(least: int | None, most: int | None) -> str:
    return f"of at least {least}" if most is None else f"from {least} to {most:,}"


def _either(forms: list[str]) -> str:
    *others, last = forms
    return f"{', '.join(others)} or {last}" if others else last
