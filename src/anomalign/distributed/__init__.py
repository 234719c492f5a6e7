"""Work on many processes: those of this machine, or those of a Ray cluster.

`anomalign.distributed.crew` gives tasks to workers and returns the results in order; `processes` and `cluster` are two
sites that have workers; `tasks` is what workers do. `inspecting`, `fitting` and `calibrating` put these together.
"""
