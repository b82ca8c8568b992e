"""`python -m mesh.cli` is `mesh`."""

from mesh.cli.main import run

run()
