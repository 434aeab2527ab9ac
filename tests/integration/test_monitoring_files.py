"""The dashboard, the alert rules and the table of metrics, held against what a running collector serves."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from collected import metrics, new_producer_id, spooled
from promql import SCRAPED, Exposed, hold
from trailhouse_cli.servers.waiting import wait_until
from watched import PATIENCE_SECONDS, watched

ROOT = Path(__file__).parents[2]
ALERTS: dict[str, Any] = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text())
RULES: list[dict[str, Any]] = [rule for group in ALERTS["groups"] for rule in group["rules"]]
DASHBOARD: dict[str, Any] = json.loads((ROOT / "deploy/grafana/trailhouse-collector.json").read_text())
TARGETS = [(panel["title"], target) for panel in DASHBOARD["panels"] for target in panel.get("targets", [])]
DOCS = (ROOT / "docs/monitoring.md").read_text()


@pytest.fixture(scope="module")
def exposed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Exposed]:
    """What a collector serves that has landed a spool with a dead letter in it; by names as they are in the text."""
    home = tmp_path_factory.mktemp("home")
    producer_id = new_producer_id()
    values = [("metrics_logged", metrics(producer_id, i) if i else b"junk") for i in range(5)]
    spooled(home / "spool", values, producer_id)
    with watched({"home": home, "collect_flush_seconds": 0.1}) as running:
        assert wait_until(
            lambda: running.value("trailhouse_messages_total", topic="trailhouse.metrics_logged") == 5,
            seconds=PATIENCE_SECONDS,
        )
        assert wait_until(lambda: running.value("trailhouse_ready") == 1, seconds=PATIENCE_SECONDS)
        _, text = running.get("/metrics")
    found = {"up": Exposed("gauge", {})}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            each = found.setdefault(sample.name, Exposed(family.type, {}))
            for label, value in sample.labels.items():
                each.labels.setdefault(label, set()).add(value)
    return found


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_asks_for_what_there_is(rule: dict[str, Any], exposed: dict[str, Exposed]) -> None:
    """Its names, its labels, and the labels that its texts name; and its page says what to do."""
    labels = hold(rule["expr"], exposed)
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
    assert rule["labels"]["severity"] in {"warning", "critical"}
    for text in rule["annotations"].values():
        assert set(re.findall(r"\$labels\.(\w+)", text)) <= labels
    page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    assert page == "docs/monitoring.md"
    assert f"### {rule['alert']}" in DOCS.splitlines()
    assert anchor == rule["alert"].lower()


def test_every_section_about_an_alert_is_about_one_that_there_is() -> None:
    """And no two have one name."""
    names = [rule["alert"] for rule in RULES]
    assert re.findall(r"^### (\w+)$", DOCS.partition("## Alerts")[2], re.MULTILINE) == names
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: f"{target[0]}-{target[1]['refId']}")
def test_a_panel_asks_for_what_there_is(target: tuple[str, dict[str, Any]], exposed: dict[str, Exposed]) -> None:
    """Its names, its labels, and those that its legend names."""
    _, query = target
    labels = hold(query["expr"], exposed)
    assert set(re.findall(r"\{\{(\w+)\}\}", query["legendFormat"])) <= labels


def test_the_dashboard_can_be_loaded(exposed: dict[str, Exposed]) -> None:
    """Panels have ids of their own and do not lie on one another; variables ask for labels that there are."""
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
    variables = {each["name"]: each for each in DASHBOARD["templating"]["list"]}
    assert set(variables) == {"datasource", "instance", "topic"}
    for name in ("instance", "topic"):
        metric, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", variables[name]["definition"]).groups()  # type: ignore[union-attr]
        assert label == name
        assert label in set(exposed[metric].labels) | SCRAPED


def test_the_table_of_metrics_is_what_a_collector_serves(exposed: dict[str, Exposed]) -> None:
    """Each with its type and its labels, its unit as its name says, and none that is not there."""
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| ([\w, ]*?) ?\| ?([\w ]*?) ?\| .+ \|$", DOCS, re.MULTILINE)
    told = {name: (type_, {label for label in labels.split(", ") if label}) for name, type_, labels, _ in rows}
    served: dict[str, tuple[str, set[str]]] = {}
    for name, each in exposed.items():
        if name == "up":
            continue
        family = re.sub(r"_(bucket|count|sum)$", "", name) if each.type == "histogram" else name
        served[family] = each.type, served.get(family, ("", set[str]()))[1] | (set(each.labels) - {"le"})
    assert told == served
    for name, _, _, unit in rows:
        for word in ("seconds", "bytes"):
            assert (word in name.split("_")) == (unit == word), name
