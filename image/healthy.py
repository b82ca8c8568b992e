"""The image's health check: exit code 0 where the process in this container takes work.

It asks `/readyz` at the port of MESH_HEALTH, on loopback. `python image/healthy.py` by hand tells
what the process answered.
"""

import os
import sys
import urllib.error
import urllib.request

ANSWER_S = 2.0
"""Below the check's own limit of three seconds."""


def main() -> int:
    """Ask, and tell."""
    port = os.environ.get("MESH_HEALTH", "").rpartition(":")[2]
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=ANSWER_S) as answer:
            told = answer.read().decode()
    except (OSError, ValueError) as error:
        told = error.read().decode() if isinstance(error, urllib.error.HTTPError) else f"{error}\n"
        sys.stdout.write(told)
        return 1
    sys.stdout.write(told)
    return 0


if __name__ == "__main__":
    sys.exit(main())
