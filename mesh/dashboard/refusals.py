"""Why something that was asked for cannot be had; the web server makes a status of each."""

from __future__ import annotations


class Missing(Exception):
    """There is no such thing."""


class Conflicting(Exception):
    """It stands otherwise by now: look again."""
