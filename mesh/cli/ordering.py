"""Who orders something at the command line, and why: both stand in the log."""

from __future__ import annotations

from mesh.core.settings import MAX_REASON
from mesh.errors import UsageError


def person() -> str:
    """Return the name of the user on this machine; in a container it may have a number alone."""
    import os
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"user-{os.getuid()}"


def reason(because: str) -> str:
    """Return the reason that was given by `--because`.

    Raises:
        UsageError: It says nothing, or is too long.
    """
    text = because.strip()
    if not text:
        raise UsageError("--because: say why; it stands in the log")
    if len(text) > MAX_REASON:
        raise UsageError(f"--because: at most {MAX_REASON} characters")
    return text
