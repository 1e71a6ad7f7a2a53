"""``python -m altbackend bench``: how fast alt is, beside stock PyTorch on the same machine.

    scenario.py   what a row is: a group, a name, a size, and how to build its work on a device
    groups/       the rows, one file a group; models.py: the networks of whole steps and inference
    place.py      where a side's work is built: device, compiled or not, how it is waited for
    rivals.py     which sides there are on this machine
    check.py      the sides' results are equal, or the row is not timed
    measure.py    the sides take turns: blocks of calls, A B B A
    memory.py     peak memory of a step; load.py: what else this machine is doing
    limits.py     the machine's own: GEMM peak, copy bandwidth; flops.py: what a step asks of it
    run.py        one row, then all of them; records.py: what was found, as JSON
    table.py, summary.py, report.py, compare.py, profile.py: how it is shown

docs/bench.md says how the figures come about and how to read them.
"""
