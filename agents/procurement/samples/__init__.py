"""Sample releases, all names made up, and what writes them: `python -m agents.procurement.samples`.

Each publisher has the habits and the defects of a kind of real publisher. Every variation is
arithmetic, so the files come out the same each time.
"""
