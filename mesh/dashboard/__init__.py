"""The dashboard: a reader of the audit stream, for people.

A read model folded from the log (`model`), a documented JSON API and server-sent events over it
(`web`, `stream`), and whoever may see and do what (`access`). It commits nothing, and writes
nothing but what a person orders (`acts`).
"""
