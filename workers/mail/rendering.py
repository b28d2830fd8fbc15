"""From a mail and its templates to what a reader sees. CPU only, about a millisecond; nothing is fetched."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from css_inline import CSSInliner
from jinja2 import (
    ChoiceLoader,
    FileSystemLoader,
    PrefixLoader,
    StrictUndefined,
    TemplateSyntaxError,
    select_autoescape,
)
from jinja2.sandbox import ImmutableSandboxedEnvironment

from workers.mail.brand import Brand
from workers.mail.errors import FieldRefused, TemplateBroken
from workers.mail.mails import Mail

_OURS = Path(__file__).parent.parent / "templates"
_SUFFIXES = ("html", "txt")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """What a reader sees. A subject of more than one line is refused by `compose`."""

    subject: str
    text: str
    html: str


class Templates:
    """Every template, compiled once: a file that is changed is seen at the next start.

    A file in `overrides` takes the place of ours of the same name; ours can still be extended, as
    `cabrank/<name>`. Values are data, never templates. Raises TemplateBroken for a file that does not
    compile.
    """

    def __init__(self, *, brand: Brand, overrides: Path | None = None) -> None:
        self._environment = _environment(overrides)
        self._environment.globals["brand"] = brand
        # Mail programs ignore style sheets, so styles go into the tags; the sheet stays for its @media rules.
        self._styles = CSSInliner(keep_style_tags=True, load_remote_stylesheets=False)
        for name in self._environment.list_templates(extensions=_SUFFIXES):
            with _blaming(name):
                self._environment.get_template(name)

    def render(self, mail: Mail) -> Rendered:
        """Raises TemplateBroken, which names the file and the line."""
        return Rendered(
            subject=self._fill(f"{mail.template}.subject.txt", mail),
            text=self._fill(f"{mail.template}.txt", mail),
            html=self._inlined(f"{mail.template}.html", mail),
        )

    def _inlined(self, name: str, mail: Mail) -> str:
        html = self._fill(name, mail)
        with _blaming(name):
            return self._styles.inline(html)

    def _fill(self, name: str, mail: Mail) -> str:
        with _blaming(name):
            return self._environment.get_template(name).render(mail.values())


def _environment(overrides: Path | None) -> ImmutableSandboxedEnvironment:
    ours = FileSystemLoader(_OURS)
    loaders = [ours, PrefixLoader({"cabrank": ours})]
    if overrides is not None:
        if not overrides.is_dir():
            raise FieldRefused("the template folder", f"is no folder: {overrides}")
        loaders.insert(0, FileSystemLoader(overrides))
    return ImmutableSandboxedEnvironment(
        loader=ChoiceLoader(loaders),
        autoescape=select_autoescape(enabled_extensions=("html",), default=False),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )


@contextmanager
def _blaming(name: str) -> Iterator[None]:
    """Whatever goes wrong inside a template is its own fault. It is other people's text: anything can."""
    try:
        yield
    except TemplateSyntaxError as error:
        raise TemplateBroken(error.filename or name, error.lineno, str(error.message)) from error
    except Exception as error:
        file, line = _place(error, name)
        raise TemplateBroken(file, line, f"{type(error).__name__}: {error}") from error


def _place(error: Exception, name: str) -> tuple[str, int | None]:
    """Where in a template an error arose: Jinja puts the template's own lines into the traceback."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if frame.filename.endswith(_SUFFIXES):
            return frame.filename, frame.lineno
    return name, None
