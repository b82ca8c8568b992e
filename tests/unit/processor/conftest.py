from __future__ import annotations

import pytest

from mesh.processor.inputs import load_schemas


@pytest.fixture(scope="session", autouse=True)
def schemas() -> None:
    """Read the schemas before a loop runs, as whoever starts a processor does."""
    load_schemas()
