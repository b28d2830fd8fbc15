"""The profile `monitoring` of docker-compose.yml."""

from __future__ import annotations

import re
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests import dockerfile
from tests.deploy.monitoring import GRAFANA, PROMETHEUS, compose
from tests.papers import ROOT

MONITORING = {name: service for name, service in compose()["services"].items() if "profiles" in service}

each = pytest.mark.parametrize("service", MONITORING.values(), ids=MONITORING)


def test_monitoring_runs_only_where_it_is_asked_for() -> None:
    assert {name: service["profiles"] for name, service in MONITORING.items()} == {
        "prometheus": ["monitoring"],
        "grafana": ["monitoring"],
    }


@each
def test_its_images_are_pinned(service: Any) -> None:
    assert re.search(r":v?\d+\.\d+\.\d+$", service["image"])


@each
def test_its_ports_are_for_this_machine_alone(service: Any) -> None:
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])


@each
def test_it_may_change_nothing_but_its_own_data(service: Any) -> None:
    assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
    for volume in service["volumes"]:
        source, _, *options = volume.split(":")
        assert source in compose()["volumes"] or (options == ["ro"] and (ROOT / source).is_dir()), volume


def test_prometheus_scrapes_the_port_of_the_server() -> None:
    (scrape,) = YAML(typ="safe").load(PROMETHEUS / "prometheus.yml")["scrape_configs"]
    (way,) = scrape["dns_sd_configs"]
    environment = {step.word: step for step in dockerfile.stages()[-1]}["ENV"].words()

    assert set(way["names"]) <= compose()["services"].keys()
    assert f"HTTP_ADDRESS=0.0.0.0:{way['port']}" in environment


def test_grafana_asks_that_prometheus() -> None:
    (source,) = YAML(typ="safe").load(GRAFANA / "provisioning" / "datasources" / "prometheus.yml")["datasources"]
    (port,) = MONITORING["prometheus"]["ports"]

    assert source["url"] == f"http://prometheus:{port.rpartition(':')[2]}"
