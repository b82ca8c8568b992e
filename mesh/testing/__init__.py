"""For tests of a mesh: a whole one in memory, its clock, and the seeded simulator."""

from mesh.testing.clock import ManualClock
from mesh.testing.crashes import crash_at_every_step
from mesh.testing.mesh import MemoryMesh, Result, Submitted
from mesh.testing.sim_run import Simulation

__all__ = [
    "ManualClock",
    "MemoryMesh",
    "Result",
    "Simulation",
    "Submitted",
    "crash_at_every_step",
]
