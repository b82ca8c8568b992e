import pytest

from mesh.errors import TransportError, Unreachable
from mesh.runtime import reading
from mesh.runtime.reading import patiently


class Away:
    """A log whose broker is away for so many questions; `failed` says that it is for good."""

    def __init__(self, times: int, failed: bool = False) -> None:
        self.times = times
        self.failed = failed
        self.asked = 0

    def failure(self) -> TransportError | None:
        return TransportError("over") if self.failed else None

    async def read(self) -> str:
        self.asked += 1
        if self.asked <= self.times:
            raise Unreachable("nobody there")
        return "answer"


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "AGAIN_S", 0.0)


async def test_an_outage_is_waited_for() -> None:
    log = Away(3)
    assert await patiently(log, log.read) == "answer"  # type: ignore[arg-type] # all it asks for
    assert log.asked == 4


async def test_a_log_that_failed_is_not_asked_again() -> None:
    log = Away(3, failed=True)
    with pytest.raises(Unreachable):
        await patiently(log, log.read)  # type: ignore[arg-type] # all it asks for
    assert log.asked == 1
