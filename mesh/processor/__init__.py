"""The processor: judges what is proposed on `M.changes`, and keeps the verdicts on `M.state`.

`keeper` does it, over any log; `app` gives it partitions and records by Faust.
"""
