"""The command `mesh`.

`main` puts the commands together and turns every failure into one line and an exit code. A module
in `commands` is one command: its options, and nothing heavy imported before it runs. What a command
says about a log is decided by pure modules that take decoded records: `story` (what happened),
`reasons` (why), `chains` (hash chains), `tally` (counts of a run), `replaying` (a handler against
its journal). `words` puts figures and facts into words, `picture` lays a story out for a terminal.
"""
