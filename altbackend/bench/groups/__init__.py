"""The rows of the bench, one file a group."""

from __future__ import annotations

from altbackend.bench.groups import (
    attention,
    conv,
    copy,
    dispatch,
    gemm,
    indexing,
    inference,
    loss,
    norm,
    optimizer,
    pointwise,
    random,
    reduction,
    rnn,
    softmax,
    sort,
    steps,
)
from altbackend.bench.scenario import Group, Scenario

GROUPS: list[Group] = [
    dispatch.GROUP,
    pointwise.GROUP,
    reduction.GROUP,
    norm.GROUP,
    softmax.GROUP,
    loss.GROUP,
    copy.GROUP,
    indexing.GROUP,
    sort.GROUP,
    random.GROUP,
    gemm.GROUP,
    conv.GROUP,
    rnn.GROUP,
    attention.GROUP,
    optimizer.GROUP,
    steps.GROUP,
    inference.GROUP,
]


def scenarios() -> list[Scenario]:
    """Every row, group by group."""
    return [row for group in GROUPS for row in group.rows]
