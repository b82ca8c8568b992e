"""Bytes to facts, messages and requests, and back.

How to read it: `schemas` finds the schemas and names them by fingerprint; `source`, `encoder` and
`decoder` compile each into code for its class, on the `primitives`; `codec` guards that code
against strangers. On it stand `facts`, `messages`, `requests` and `entries`, one module for what
stands on a kind of topic. `canonical` is JSON in the one form over which hashes are made, `topics`
the table of topics, `headers` keys and headers. `docs/protocol.md` is all of it in prose.
"""
