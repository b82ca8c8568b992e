"""Grafana's dashboards from `grafana.toml`, a few lines for each panel: `make docs` writes them.

A panel is a title, a unit, how to read it, and queries by their legends. Every metric in them is
one of `mesh.metrics.FAMILIES`; tests/test_monitoring.py looks at that.
"""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any, Final

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "helm" / "files" / "dashboards"
WIDTH, HEIGHT, ACROSS = 8, 8, 3
SOURCE: Final = {"type": "prometheus", "uid": "${source}"}
CHOSEN: Final = {
    "MESH": 'mesh="$mesh"',
    "AGENT": 'mesh="$mesh",agent="$agent"',
    "RATE": "$__rate_interval",
}


def boards() -> list[dict[str, Any]]:
    """Return the boards as they are written down."""
    found: list[dict[str, Any]] = tomllib.loads((ROOT / "docs/grafana.toml").read_text("utf-8"))[
        "board"
    ]
    return found


def dashboards() -> dict[Path, str]:
    """Return the text of each file."""
    return {FOLDER / f"{board['name']}.json": _text(board) for board in boards()}


def write() -> None:
    """Write the files."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for path, text in dashboards().items():
        path.write_text(text, "utf-8")


def _text(board: dict[str, Any]) -> str:
    source = {"name": "source", "label": "Data source", "type": "datasource", "query": "prometheus"}
    variables = [_variable(*own) for own in board["variables"].items()]
    whole = {
        "uid": f"parley-{board['name']}",
        "title": board["title"],
        "tags": ["parley"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": [source, *variables]},
        "panels": [_panel(number, own) for number, own in enumerate(board["panel"])],
    }
    return json.dumps(whole, indent=1) + "\n"


def _variable(name: str, query: str) -> dict[str, Any]:
    return {
        "name": name,
        "label": name.capitalize(),
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "sort": 1,
    }


def _panel(number: int, panel: dict[str, Any]) -> dict[str, Any]:
    row, column = divmod(number, ACROSS)
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": panel["title"],
        "description": panel["about"],
        "datasource": SOURCE,
        "gridPos": {"x": column * WIDTH, "y": row * HEIGHT, "w": WIDTH, "h": HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel["unit"], "min": 0}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}},
        "targets": [
            {
                "refId": chr(ord("A") + place),
                "datasource": SOURCE,
                "expr": _expression(query),
                "legendFormat": legend,
            }
            for place, (legend, query) in enumerate(panel["queries"].items())
        ],
    }


def _expression(query: str) -> str:
    for word, labels in CHOSEN.items():
        query = query.replace(word, labels)
    return query


if __name__ == "__main__":
    write()
