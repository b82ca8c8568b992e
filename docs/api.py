"""The generated part of dashboard.md: every route of the dashboard's API."""

from __future__ import annotations

from mesh.dashboard.routes import ROUTES


def routes() -> str:
    """Return the routes as a table."""
    rows = ["| route | role | answers | parameters |", "| --- | --- | --- | --- |"]
    for route in ROUTES:
        asked = ", ".join(f"`{param.name}`" for param in route.params if not param.path)
        answer = f" (`{route.answer}`)" if route.answer else ""
        what = f"{route.summary}{answer}"
        rows.append(f"| `{route.method} {route.path}` | {route.role} | {what} | {asked} |")
    return "\n".join(rows)
