"""The protocol without I/O. Begin with `facts`, then `ledger` (what counts), then `node`."""
