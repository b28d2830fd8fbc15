"""The rules of deploy/prometheus: promtool runs their own tests; here, that these leave nothing out."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from typing import Any

import pytest

from tests.deploy.conftest import Exported
from tests.deploy.monitoring import (
    CASES,
    OWN_LABELS,
    PROMETHEUS,
    alert_cases,
    alerts,
    needs_prometheus,
    queries,
    readings,
    recorded,
    rules,
)
from tests.papers import section

RULES = [(rule, readings(rule["expr"])) for rule in rules()]


def promtool(*arguments: object) -> None:
    done = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_prometheus
def test_prometheus_takes_the_configuration_with_its_rules() -> None:
    promtool("check", "config", PROMETHEUS / "prometheus.yml")


@needs_prometheus
@pytest.mark.parametrize("cases", CASES, ids=lambda path: path.stem)
def test_the_rules_do_what_their_cases_say(cases: object) -> None:
    promtool("test", "rules", cases)


@pytest.mark.parametrize("alert", alerts())
def test_an_alert_is_seen_to_fire_and_to_stay_silent(alert: str) -> None:
    """By cases of deploy/prometheus/tests."""
    outcomes = {bool(case.get("exp_alerts")) for case in alert_cases() if case["alertname"] == alert}

    assert outcomes == {True, False}


@pytest.mark.parametrize("alert", alerts().values(), ids=alerts())
def test_an_alert_tells_how_bad_what_and_where_to_read_on(alert: Mapping[str, Any]) -> None:
    assert alert["labels"]["severity"] in {"critical", "warning"}
    assert alert["annotations"].keys() == {"summary", "description", "runbook_url"}
    assert alert["annotations"]["runbook_url"] == f"docs/operations.md#{alert['alert'].lower()}"


def test_every_alert_has_its_runbook() -> None:
    """And no runbook is left of an alert that is gone."""
    headings = re.findall(r"^### (.*)$", section("docs/operations.md", "Alerts"), re.MULTILINE)

    assert sorted(headings) == sorted(alerts())


def test_rules_read_what_is_exported_or_recorded(exported: Exported) -> None:
    read = {reading.metric for _, found in RULES for reading in found}

    assert read - exported.keys() - recorded().keys() == set()


def test_rules_name_labels_that_there_are(exported: Exported) -> None:
    named = {(each.metric, label) for _, found in RULES for each in found for label in each.labels | each.kept}

    assert {
        (metric, label) for metric, label in named if label not in exported.get(metric, {label}) | OWN_LABELS
    } == set()


def test_rules_put_several_servers_together_as_each_series_asks_for() -> None:
    """What Redis knows every server tells, and it counts once; of rpcs each server knows its own."""
    assert [rule["expr"] for rule, found in RULES if not all(reading.in_step for reading in found)] == []


def test_rules_keep_two_cabranks_apart() -> None:
    """Whatever is put together keeps `job`, which differs from one to the other."""
    assert [rule["expr"] for rule, found in RULES if any("job" not in each.kept for each in found if each.kept)] == []


def test_what_is_recorded_is_read_by_somebody() -> None:
    read = {reading.metric for _, found in RULES for reading in found}
    read |= {reading.metric for expression in queries() for reading in readings(expression)}

    assert recorded().keys() - read == set()
