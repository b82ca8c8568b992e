"""The driver of an instance: it runs the handlers, and does what the core decides.

Read `agent.py` and `context.py` for what an author sees, `handlers.py` for how a handler is run
and replayed, `instance.py` for the loop that polls, steps the core and performs its effects.
"""
