"""The dashboard of deploy/grafana, as far as it can be tried without Grafana."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any

import grpc
import pytest
from cabrank.v1.queue_pb2 import GetJobRequest
from cabrank.v1.queue_pb2_grpc import QueueServiceStub
from ruamel.yaml import YAML

from tests.conftest import raw_client
from tests.deploy.conftest import Exported
from tests.deploy.monitoring import (
    GRAFANA,
    OWN_LABELS,
    OWN_SERIES,
    compose,
    dashboard,
    needs_prometheus,
    queries,
    readings,
    recorded,
)
from tests.deploy.prometheus import Watch
from tests.engine.hands import Worker, failed, put
from tests.system.stack import until

READINGS = [(expression, readings(expression)) for expression in queries()]


@pytest.fixture(scope="module")
def panels() -> list[Any]:
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


@pytest.fixture(scope="module")
def troubled(watch: Watch) -> Watch:
    """Everything has happened once that the dashboard can show."""
    with raw_client(watch.stack.redis) as client:
        client.config_set("maxmemory", "100mb")
    engine = watch.stack.engine
    put(engine, "a")
    engine.run(failed(Worker(engine).take_one()))
    with pytest.raises(grpc.RpcError):
        QueueServiceStub(watch.stack.channel()).GetJob(GetJobRequest(queue="email", job_id="unknown"), timeout=10)
    return watch


def test_no_two_panels_share_an_id_or_a_place(panels: list[Any]) -> None:
    ids = [panel["id"] for panel in dashboard()["panels"]]
    covered = [cell for panel in dashboard()["panels"] for cell in _cells(panel["gridPos"])]

    assert len(ids) == len(set(ids))
    assert len(covered) == len(set(covered))


def test_every_panel_asks_the_prometheus_that_is_chosen(panels: list[Any]) -> None:
    variables = {variable["name"]: variable["type"] for variable in dashboard()["templating"]["list"]}

    assert variables == {"datasource": "datasource", "job": "query", "queue": "query"}
    assert {panel["datasource"]["uid"] for panel in panels} == {"${datasource}"}


def test_a_panel_tells_its_queries_apart(panels: list[Any]) -> None:
    for panel in panels:
        names = [target["refId"] for target in panel["targets"]]
        assert len(names) == len(set(names)), panel["title"]


def test_queries_read_what_is_exported_or_recorded(exported: Exported) -> None:
    read = {reading.metric for _, found in READINGS for reading in found}

    assert read - exported.keys() - recorded().keys() - OWN_SERIES.keys() == set()


def test_queries_name_labels_that_there_are(exported: Exported) -> None:
    known = exported | OWN_SERIES
    named = {(each.metric, label) for _, found in READINGS for each in found for label in each.labels | each.kept}

    assert {(metric, label) for metric, label in named if label not in known.get(metric, {label}) | OWN_LABELS} == set()


def test_queries_put_several_servers_together_as_each_series_asks_for() -> None:
    assert [expression for expression, found in READINGS if not all(reading.in_step for reading in found)] == []


def test_queries_ask_for_the_cabrank_that_is_chosen() -> None:
    assert [expression for expression, found in READINGS if any("job" not in each.labels for each in found)] == []


def test_the_queues_to_choose_from_are_those_that_are_exported(exported: Exported) -> None:
    asked = [variable["definition"] for variable in dashboard()["templating"]["list"] if variable["type"] == "query"]

    for definition in asked:
        selector, label = re.fullmatch(r"label_values\((.*), (\w+)\)", definition).groups()  # type: ignore[union-attr]
        ((metric, labels),) = [(each.metric, each.labels) for each in readings(selector.replace("$job", "cabrank"))]
        assert {label, *labels} <= exported[metric] | OWN_LABELS


def test_grafana_finds_the_dashboard_where_compose_puts_it() -> None:
    (provider,) = YAML(typ="safe").load(GRAFANA / "provisioning" / "dashboards" / "cabrank.yml")["providers"]
    grafana = compose()["services"]["grafana"]
    places = dict(volume.split(":")[1::-1] for volume in grafana["volumes"])

    assert places[provider["options"]["path"]] == "./deploy/grafana/dashboards"
    assert places["/etc/grafana/provisioning"] == "./deploy/grafana/provisioning"
    home = grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home == f"{provider['options']['path']}/cabrank.json"


@needs_prometheus
def test_every_query_has_an_answer_on_a_live_stack(troubled: Watch) -> None:
    unanswered = queries()

    def ask() -> bool:
        unanswered[:] = [expression for expression in unanswered if not troubled.query(expression)]
        return not unanswered

    with suppress(TimeoutError):
        until(ask, seconds=60, every=0.2)

    assert unanswered == []


def _cells(place: dict[str, int]) -> list[tuple[int, int]]:
    return [
        (x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])
    ]
