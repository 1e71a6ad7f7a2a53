"""The CUDA engine's attention, simulated, against stock torch."""

from __future__ import annotations

import pytest
import torch
from agreement import TOLERANCE
from cuda_kernels import Family
from cuda_simulator import Guarded, assert_near

functional = torch.nn.functional
WARPS = 4


@pytest.fixture(scope="module")
def family() -> Family:
    return Family("attention")


# Queries, keys, width of queries and keys, width of values.
SIZES = [(5, 7, 8, 8), (40, 70, 33, 17), (33, 33, 128, 128), (1, 65, 16, 16)]


CASES = [(torch.float32, sizes) for sizes in SIZES]
CASES += [(torch.float16, SIZES[0]), (torch.bfloat16, SIZES[3])]


@pytest.mark.parametrize("mask", ["none", "causal", "bias", "bool"])
@pytest.mark.parametrize(("dtype", "sizes"), CASES)
def test_agrees_with_stock(
    family: Family, dtype: torch.dtype, sizes: tuple[int, ...], mask: str
) -> None:
    torch.manual_seed(0)
    batch, heads = 2, 1 if sizes[0] > 30 else 2
    queries, keys, width, value_width = sizes
    # heads x length, as attention modules lay them out
    q, k, v = (
        torch.randn(batch, n, heads, w).to(dtype).transpose(1, 2)
        for n, w in ((queries, width), (keys, width), (keys, value_width))
    )
    bias = None
    if mask == "bias":
        bias = torch.randn(queries, keys).to(dtype).expand(batch, heads, queries, keys)
    elif mask == "bool":
        seen = torch.rand(queries, keys) < 0.6
        seen[0] = False  # a query that may see nothing
        nothing = torch.zeros(queries, keys).masked_fill(~seen, float("-inf"))
        bias = nothing.to(dtype).expand(batch, heads, queries, keys)
    leaves = [t.detach().float().requires_grad_() for t in (q, k, v)]
    wide = None if bias is None else bias.float()
    expected = functional.scaled_dot_product_attention(
        *leaves, attn_mask=wide, is_causal=mask == "causal"
    )
    scale = width**-0.5
    output = Guarded((batch, heads, queries, value_width), dtype)
    log = Guarded((batch, heads, queries), torch.float32)
    causal = int(mask == "causal")
    block = (32 * WARPS,)
    family.run(
        "attention_forward",
        (dtype,),
        [output, log, q, k, v, bias],
        [causal],
        [scale],
        grid=(-(-queries // WARPS), heads, batch),
        block=block,
    )
    bound = 2 * TOLERANCE[dtype]
    assert_near(output.tensor, expected.detach().to(dtype), bound, mask)

    gradient = torch.randn(expected.shape).to(dtype)
    wanted = torch.autograd.grad(expected, leaves, gradient.float())
    delta = (gradient.float() * expected.detach()).sum(-1).contiguous()
    given = [causal, log.tensor.data_ptr(), delta.data_ptr()]
    found = [Guarded(t.shape, dtype) for t in (q, k, v)]
    family.run(
        "attention_backward_query",
        (dtype,),
        [found[0], None, q, k, v, bias, gradient],
        given,
        [scale],
        grid=(-(-queries // WARPS), heads, batch),
        block=block,
        beside=[log, delta],
    )
    family.run(
        "attention_backward_key",
        (dtype,),
        [found[1], found[2], q, k, v, bias, gradient],
        given,
        [scale],
        grid=(-(-keys // WARPS), heads, batch),
        block=block,
        beside=[log, delta],
    )
    for name, ours, theirs in zip("qkv", found, wanted, strict=True):
        assert_near(ours.tensor, theirs.to(dtype), 2 * bound, f"gradient of {name}, {mask}")


def test_threads_in_another_order_give_the_same(family: Family) -> None:
    q, k, v = (torch.randn(1, 1, n, 16) for n in (6, 40, 40))
    results = []
    for backwards in (False, True):
        output = Guarded((1, 1, 6, 16), torch.float32)
        log = Guarded((1, 1, 6), torch.float32)
        tensors = [output, log, q, k, v, None]
        family.run(
            "attention_forward",
            (torch.float32,),
            tensors,
            [0],
            [0.25],
            grid=(2,),
            block=(128,),
            backwards=backwards,
        )
        results.append(output.tensor.clone())
    assert torch.equal(*results)
