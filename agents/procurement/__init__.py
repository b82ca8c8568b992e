"""Review of public-procurement releases (OCDS) by a small firm of agents.

`demo.py` names the agents and reads releases; `lead.py` is where a review begins. What an agent
knows stands in `domain/` as pure functions; the modules beside this one only delegate, spend and
record. `README.md` tells who does what, and why.
"""
