"""A real Prometheus on a real stack, with the rules of deploy/ made impatient."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlencode
from urllib.request import urlopen

from ruamel.yaml import YAML

from server.dev.ports import free_port
from tests.deploy.monitoring import PROMETHEUS, RULES, compose
from tests.system.stack import Stack, until

_SECOND = "1s"


class Watch:
    """The stack `stack`, and the Prometheus that watches it."""

    def __init__(self) -> None:
        self.stack = Stack()
        self._address = f"127.0.0.1:{free_port()}"

    def firing(self, alert: str) -> list[Mapping[str, str]]:
        """The labels of each alert of this name that fires."""
        found = self._get("alerts")["alerts"]
        return [each["labels"] for each in found if each["state"] == "firing" and each["labels"]["alertname"] == alert]

    def query(self, expression: str) -> list[Any]:
        """What it answers now. Raises HTTPError where it refuses the expression."""
        return list(self._get("query", query=expression)["result"])

    def __enter__(self) -> Self:
        with ExitStack() as on_failure:
            on_failure.push(self.stack)
            self.stack.server()
            self.stack.start("prometheus", "prometheus", *self._options())
            until(self._scrapes, every=0.1)
            on_failure.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self.stack.__exit__()

    def _options(self) -> list[str]:
        """Those of docker-compose.yml, in other places."""
        places = {
            "/etc/prometheus": impatient(self.stack.folder / "prometheus", target=self.stack.http_address),
            "/prometheus": self.stack.folder / "tsdb",
        }
        options = [f"--web.listen-address={self._address}"]
        for option in compose()["services"]["prometheus"]["command"]:
            name, _, value = option.partition("=")
            folder = next((folder for folder in places if value.startswith(folder)), None)
            options.append(f"{name}={places[folder]}{value.removeprefix(folder)}" if folder else option)
        return options

    def _scrapes(self) -> bool:
        try:
            return bool(self.query('up{job="cabrank"} == 1'))
        except OSError:  # it does not listen yet
            return False

    def _get(self, what: str, **parameters: str) -> Any:
        with urlopen(f"http://{self._address}/api/v1/{what}?{urlencode(parameters)}", timeout=10) as answer:
            return json.load(answer)["data"]


def impatient(folder: Path, *, target: str) -> Path:
    """A copy of the configuration for one target, in which nothing waits for more than a second. Returns the folder."""
    (folder / "rules").mkdir(parents=True)
    for path in RULES:
        rules = _yaml.load(path)
        for rule in (rule for group in rules["groups"] for rule in group["rules"] if "for" in rule):
            rule["for"] = _SECOND
        _write(folder / "rules" / path.name, rules)
    config = _yaml.load(PROMETHEUS / "prometheus.yml")
    config["global"] = {"scrape_interval": _SECOND, "evaluation_interval": _SECOND}
    (scrape,) = config["scrape_configs"]
    del scrape["dns_sd_configs"]
    scrape["static_configs"] = [{"targets": [target]}]
    _write(folder / "prometheus.yml", config)
    return folder


_yaml = YAML(typ="safe")


def _write(path: Path, content: Any) -> None:
    with path.open("w") as file:
        _yaml.dump(content, file)
