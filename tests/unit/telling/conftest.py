"""The recorded mesh of the command's tests serves here, too."""

from __future__ import annotations

from tests.unit.cli.conftest import recorded

__all__ = ["recorded"]
