"""What lies in deploy/: rules, their tests, the dashboard. And what the expressions in them speak of."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import promql_parser
import pytest
from ruamel.yaml import YAML

from server.metrics import every_series
from tests.papers import ROOT

PROMETHEUS = ROOT / "deploy" / "prometheus"
GRAFANA = ROOT / "deploy" / "grafana"
RULES = sorted(PROMETHEUS.glob("rules/*.yml"))
CASES = sorted(PROMETHEUS.glob("tests/*.yml"))

needs_prometheus = pytest.mark.skipif(
    not (shutil.which("promtool") and shutil.which("prometheus")),
    reason="no prometheus on PATH: apt-get install prometheus",
)

# What Prometheus itself brings along.
OWN_LABELS = {"job", "instance"}
OWN_SERIES = {"ALERTS": {"alertname", "alertstate"}}

_SERIES = {series.name: series for series in every_series()}
_PART = re.compile(r"_(bucket|sum|count)$")  # of a histogram


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One series that an expression reads, with the aggregations around it from the inside out."""

    metric: str
    labels: frozenset[str]  # of its matchers
    aggregations: tuple[promql_parser.AggregateExpr, ...]

    @property
    def kept(self) -> set[str]:
        """Labels that the innermost aggregation keeps."""
        modifier = self.aggregations[0].modifier if self.aggregations else None
        return set(modifier.labels) if modifier else set()

    @property
    def in_step(self) -> bool:
        """Whether what several servers tell becomes one figure as the series asks for: max of queues, sum of rpcs."""
        series = _SERIES.get(_PART.sub("", self.metric))
        if series is None or not {"queue", "method"} & set(series.labels):
            return True
        return bool(self.aggregations) and str(self.aggregations[0].op) == series.servers


def readings(expression: str) -> list[Reading]:
    """Raises ValueError where it is no PromQL."""
    found: list[Reading] = []
    around: list[promql_parser.AggregateExpr] = []

    def enter(node: promql_parser.Expr) -> None:
        if isinstance(node, promql_parser.AggregateExpr):
            around.append(node)
        selector = node.vector_selector if isinstance(node, promql_parser.MatrixSelector) else node
        if isinstance(selector, promql_parser.VectorSelector):
            matchers = frozenset(matcher.name for matcher in selector.matchers.matchers)
            found.append(Reading(metric=selector.name or "", labels=matchers, aggregations=tuple(reversed(around))))

    def leave(node: promql_parser.Expr) -> None:
        if isinstance(node, promql_parser.AggregateExpr):
            around.pop()

    promql_parser.walk(promql_parser.parse(expression), enter, leave)
    return found


def rules() -> list[Mapping[str, Any]]:
    return [rule for path in RULES for group in _yaml(path)["groups"] for rule in group["rules"]]


def alerts() -> dict[str, Mapping[str, Any]]:
    return {rule["alert"]: rule for rule in rules() if "alert" in rule}


def recorded() -> dict[str, str]:
    """Name of each series that a rule makes -> its expression."""
    return {rule["record"]: rule["expr"] for rule in rules() if "record" in rule}


def alert_cases() -> Iterator[Mapping[str, Any]]:
    """Each moment at which promtool looks at an alert."""
    for path in CASES:
        for case in _yaml(path)["tests"]:
            yield from case.get("alert_rule_test", ())


def compose() -> Any:
    return _yaml(ROOT / "docker-compose.yml")


def dashboard() -> Any:
    return json.loads((GRAFANA / "dashboards" / "cabrank.json").read_text())


def queries() -> list[str]:
    """Every expression of the dashboard, for all queues."""
    found = [target["expr"] for panel in dashboard()["panels"] for target in panel.get("targets", ())]
    return [expression.replace("$job", "cabrank").replace("$queue", ".+") for expression in found]


def _yaml(path: Path) -> Any:
    return YAML(typ="safe").load(path)
