"""What the agents know about procurement: pure functions, no context, no clock, no network."""
