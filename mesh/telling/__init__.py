"""What the log says, for people: stories of workflows, reasons, plain sentences, JSON shapes.

Whoever shows a mesh uses it: the command line and the dashboard. It reads nothing and writes
nothing; it is given records, and returns values.
"""
