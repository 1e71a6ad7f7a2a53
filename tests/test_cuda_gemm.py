"""The CUDA engine's product of integer matrices, simulated, against stock torch."""

from __future__ import annotations

import torch
from cuda_kernels import Family
from cuda_simulator import Guarded


def test_integer_product() -> None:
    family = Family("gemm")
    generator = torch.Generator().manual_seed(0)
    for batch, m, k, n in ((1, 3, 5, 4), (2, 70, 20, 65), (1, 2, 0, 3)):
        a, b = (
            torch.randint(-(2**62), 2**62, s, generator=generator)
            for s in ((batch, m, k), (batch, n, k))
        )
        b = b.mT  # strided
        c = torch.randint(-9, 9, (batch, m, n), generator=generator)
        for alpha, beta in ((1, 0), (3, -2)):
            found = Guarded(c.shape, torch.int64)
            found.tensor.copy_(c)
            grid = (-(-n // 64), -(-m // 64), batch)
            family.run(
                "integer_product",
                (torch.int64,),
                [found, a, b],
                [alpha, beta],
                grid=grid,
                block=(256,),
            )
            assert torch.equal(found.tensor, torch.baddbmm(c, a, b, beta=beta, alpha=alpha))
