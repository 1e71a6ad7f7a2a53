"""Matrix products: square, of few rows, of many small matrices, and linear layers."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from altbackend.bench.scenario import Draw, Group, rand, randn

GROUP = Group("gemm")


def _mm(name: str, m: int, k: int, n: int, a: Draw, b: Draw, quick: bool = False) -> None:
    GROUP.add(name, (m, k, n), torch.mm, a, b, flops=2.0 * m * k * n, quick=quick)


for side in (16, 64, 128, 256, 512, 1024, 2048):
    _mm("mm", *3 * (side,), *2 * (randn(side, side),), quick=side in (64, 256, 1024))
for side in (128, 1024):
    x, turned = randn(side, side), randn(side, side).viewed(torch.t)
    _mm("mm, a transposed", side, side, side, turned, x)
    _mm("mm, b transposed", side, side, side, x, turned)
    for dtype in (torch.bfloat16, torch.float64):
        name = f"mm {str(dtype).removeprefix('torch.')}"
        loose = {"tolerance": 1e-2} if dtype == torch.bfloat16 else {}
        both = 2 * (randn(side, side, dtype=dtype),)
        GROUP.add(name, 3 * (side,), torch.mm, *both, flops=2.0 * side**3, **loose)

# Of few rows: what a batch gives a linear layer.
for m, k, n in ((1, 784, 256), (1, 1024, 4096), (32, 784, 256), (64, 256, 10), (128, 1024, 1024)):
    weight, bias = randn(n, k), randn(n)
    flops = 2.0 * m * k * n
    quick = m == 32
    GROUP.add("linear", (m, k, n), F.linear, randn(m, k), weight, bias, flops=flops, quick=quick)
    GROUP.gradient(
        "linear, backward",
        (m, k, n),
        F.linear,
        randn(m, k, grad=True),
        randn(n, k, grad=True),
        randn(n, grad=True),
        flops=3 * flops,
        quick=quick,
    )
GROUP.gradient(
    "linear, backward",
    (4096, 512, 2048),
    F.linear,
    randn(4096, 512, grad=True),
    randn(2048, 512, grad=True),
    randn(2048, grad=True),
    flops=6.0 * 4096 * 512 * 2048,
)
_mm("mm, tall by small", 100000, 64, 64, randn(100000, 64), randn(64, 64))
_mm("mm, wide by tall", 64, 100000, 64, randn(64, 100000), randn(100000, 64))

for side in (256, 4096):
    GROUP.add("mv", (side, side), torch.mv, randn(side, side), randn(side), flops=2.0 * side**2)
# Of one sign: a million terms that cancel leave a number that is no measure of what is right.
GROUP.add("dot", 1 << 20, torch.dot, rand(1 << 20), rand(1 << 20), flops=2.0 * (1 << 20))

for batch, m, k, n in ((64, 16, 16, 16), (512, 32, 32, 32), (64, 128, 64, 128), (16, 512, 64, 512)):
    flops = 2.0 * batch * m * k * n
    shape = (batch, m, k, n)
    GROUP.add(
        "bmm", shape, torch.bmm, randn(batch, m, k), randn(batch, k, n), flops=flops, quick=m == 32
    )
    GROUP.add(
        "bmm, b transposed",
        shape,
        torch.bmm,
        randn(batch, m, k),
        randn(batch, n, k).viewed(lambda x: x.transpose(1, 2)),
        flops=flops,
    )
