"""Attention and transformer layers: masks, gradients, the inference paths of the modules."""

import pytest
import torch
import torch.nn.functional as F
from agreement import FLOATING, assert_agrees, assert_same_error, use_threads
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

import altbackend

TOLERANCE = {"rtol": 1e-4, "atol": 1e-5}
BATCH, TOKENS, WIDTH, HEADS = 3, 6, 16, 4


def padding() -> torch.Tensor:
    mask = torch.zeros(BATCH, TOKENS, dtype=torch.bool)
    mask[0, 4:] = True
    mask[2, 5:] = True
    return mask


def causal() -> torch.Tensor:
    return torch.ones(TOKENS, TOKENS, dtype=torch.bool).triu(1)


def heads(
    batch: int, count: int, length: int, width: int, dtype: torch.dtype = torch.float32
) -> torch.Tensor:
    return torch.randn(batch, count, length, width, dtype=dtype, requires_grad=True)


def attend(q, k, v, options=None):
    return F.scaled_dot_product_attention(q, k, v, **(options or {}))


def is_fused(q, k, v, **options) -> bool:
    return torch._fused_sdp_choice(q, k, v, **options) == SDPBackend.FLASH_ATTENTION.value


@pytest.mark.parametrize("dtype", FLOATING, ids=str)
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(
    ("queries", "keys", "width"),
    [
        (1, 70, 16),  # decoding: lanes along the width
        (3, 5, 3),
        (6, 200, 20),
        (7, 1, 8),
        (17, 9, 1),
        (64, 64, 32),
        (70, 150, 24),  # blocks of queries and of keys that are not whole
        (200, 130, 64),
        (33, 64, 100),  # more vectors of width than a tile has
    ],
)
def test_attention(queries, keys, width, causal, dtype):
    torch.manual_seed(0)
    q, k, v = (heads(2, 3, n, width, dtype) for n in (queries, keys, keys))
    assert is_fused(q.to("alt"), k.to("alt"), v.to("alt"))
    assert_agrees(attend, q, k, v, {"is_causal": causal}, factor=4)


@pytest.mark.parametrize("shape", [(40, 70), (40, 1), (1, 70), (1, 1)])
@pytest.mark.parametrize("leading", [(), (1, 1), (2, 1), (1, 3), (2, 3)])
@pytest.mark.parametrize("queries", [40, 2])
def test_additive_masks(queries, leading, shape):
    torch.manual_seed(0)
    q, k, v = heads(2, 3, queries, 16), heads(2, 3, 70, 16), heads(2, 3, 70, 16)
    mask = torch.randn(*leading, min(shape[0], queries), shape[1])
    assert_agrees(attend, q, k, v, {"attn_mask": mask}, factor=4)
    assert_agrees(attend, q, k, v, {"attn_mask": mask, "is_causal": True}, factor=4)


@pytest.mark.parametrize("dtype", FLOATING, ids=str)
@pytest.mark.parametrize("mask_dtype", [torch.bool, torch.float32, None], ids=str)
def test_mask_dtypes(mask_dtype, dtype):
    torch.manual_seed(0)
    q, k, v = (heads(2, 2, 20, 16, dtype) for _ in range(3))
    mask = torch.randn(20, 20)
    mask = mask > 0 if mask_dtype == torch.bool else mask.to(mask_dtype or dtype)
    if mask.dtype == torch.float32 and dtype == torch.float64:
        # Stock reads every other half vector of such a mask; what it should read:
        expected = attend(q, k, v, {"attn_mask": mask.double()})
        ours = attend(*(t.to("alt") for t in (q, k, v)), {"attn_mask": mask.to("alt")})
        torch.testing.assert_close(ours.cpu(), expected)
    else:
        assert_agrees(attend, q, k, v, {"attn_mask": mask}, factor=4)


@pytest.mark.parametrize("queries", [30, 2])
def test_a_query_that_sees_no_key_gives_zeros(queries):
    q, k, v = heads(1, 2, queries, 16), heads(1, 2, 90, 16), heads(1, 2, 90, 16)
    mask = torch.zeros(queries, 90).index_fill(0, torch.tensor([0, queries - 1]), float("-inf"))
    mask[1, :80] = float("-inf")  # sees nothing in the first block of keys
    assert_agrees(attend, q, k, v, {"attn_mask": mask}, factor=4)
    assert_agrees(attend, q, k, v, {"attn_mask": mask == 0}, factor=4)
    assert (
        attend(q.to("alt"), k.to("alt"), v.to("alt"), {"attn_mask": mask.to("alt")})[:, :, 0]
        .eq(0)
        .all()
    )


@pytest.mark.parametrize("queries", [30, 2])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e30])
def test_attention_to_extreme_numbers(value, queries):
    torch.manual_seed(0)
    q, k, v = (torch.randn(1, 2, n, 8) for n in (queries, 30, 30))
    for tensor in (q, k, v):
        changed = [t.clone() for t in (q, k, v)]
        for t, original in zip(changed, (q, k, v), strict=True):
            if original is tensor:
                t[0, 1, 1, 3] = value
        assert_agrees(attend, *changed, factor=4)


@pytest.mark.parametrize("scale", [0.0, 0.5, -0.5, 3.0])
def test_scale(scale):
    torch.manual_seed(0)
    q, k, v = (heads(2, 2, 20, 16) for _ in range(3))
    assert_agrees(attend, q, k, v, {"scale": scale}, factor=4)


@pytest.mark.parametrize("key_heads", [1, 2])
@pytest.mark.parametrize("queries", [40, 2])
def test_grouped_queries(queries, key_heads):
    torch.manual_seed(0)
    q = heads(2, 4, queries, 16)
    k, v = heads(2, key_heads, 50, 16), heads(2, key_heads, 50, 16)
    assert is_fused(q.to("alt"), k.to("alt"), v.to("alt"), enable_gqa=True)
    assert_agrees(attend, q, k, v, {"enable_gqa": True, "is_causal": True}, factor=4)


def test_operands_of_any_strides():
    torch.manual_seed(0)
    qkv = torch.randn(2, 40, 3, 4, 16, requires_grad=True)
    assert_agrees(lambda x: attend(*x.permute(2, 0, 3, 1, 4)), qkv, factor=4)
    wide = torch.randn(2, 4, 40, 40, requires_grad=True)
    assert_agrees(lambda x: attend(x[..., :16], x[..., 3:19], x[..., 24:]), wide, factor=4)
    assert_agrees(lambda x: attend(x.mT, x.mT, x.mT), wide, factor=4)  # the composed route
    one = torch.randn(1, 1, 40, 16, requires_grad=True)
    assert_agrees(lambda x: attend(*[x.expand(2, 3, 40, 16)] * 3), one, factor=4)
    # An expanded gradient.
    assert_agrees(lambda x: attend(x, x, x).sum(), one, factor=4)
    # The result has the queries' order of dimensions, the gradients stock's.
    flash = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    backward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward
    q = torch.randn(2, 40, 3, 16).transpose(1, 2)
    k = torch.randn(2, 3, 50, 16)
    assert_agrees(lambda q, k: flash(q, k, k, attn_mask=None), q, k, factor=4)
    assert_agrees(
        lambda q, k: backward(q, q, k, k, *flash(q, k, k), dropout_p=0.0, is_causal=False),
        q,
        k,
        factor=8,
    )


def test_routes_are_chosen_as_stock_chooses_them():
    q, k, v = (torch.randn(2, 4, 8, 16) for _ in range(3))
    wider = torch.randn(2, 4, 8, 32)
    mask = torch.randn(8, 8)
    cases = [
        ((q, k, v), {}),
        ((q, k, wider), {}),
        ((q[0], k[0], v[0]), {}),
        ((q[:, :, :0], k, v), {}),
        ((q, k, v), {"dropout_p": 0.5}),
        ((q, k, v), {"attn_mask": mask.requires_grad_()}),
        ((q, k[:, :2], v[:, :2]), {}),
        ((q.mT, k, v), {}),
    ]
    for tensors, options in cases:
        moved = {n: o.to("alt") if isinstance(o, torch.Tensor) else o for n, o in options.items()}
        expected = torch._fused_sdp_choice(*tensors, **options)
        assert torch._fused_sdp_choice(*(t.to("alt") for t in tensors), **moved) == expected
    with sdpa_kernel(SDPBackend.MATH):
        assert not is_fused(q.to("alt"), k.to("alt"), v.to("alt"))
        assert_agrees(attend, q, k, v, factor=4)
    with sdpa_kernel(SDPBackend.EFFICIENT_ATTENTION):
        assert_same_error(attend, q, k, v, text="No viable backend")


@pytest.mark.parametrize("shape", [(2, 4, 6, 8), (3, 6, 8), (6, 8)])
def test_composed_route(shape):
    torch.manual_seed(0)
    q, k, v = (torch.randn(shape, requires_grad=True) for _ in range(3))
    mask = torch.randn(6, 6, requires_grad=True)
    assert_agrees(attend, q, k, v, {"attn_mask": mask}, factor=4)
    assert_agrees(attend, q, k, torch.cat([v, v], -1), {"is_causal": True}, factor=4)
    assert_agrees(attend, q, k, v, {"dropout_p": 0.5}, factor=4)  # the same elements dropped


@pytest.mark.parametrize("shape", [(0, 4, 6, 8), (2, 0, 6, 8), (2, 4, 0, 8), (2, 4, 6, 0)])
def test_attention_to_nothing(shape):
    q, k, v = (torch.randn(shape, requires_grad=True) for _ in range(3))
    if shape[-1] == 0:  # stock divides by zero and dies
        with altbackend.no_fallback():
            assert attend(q.to("alt"), k.to("alt"), v.to("alt")).shape == shape
        return
    assert_agrees(attend, q, k, v, strides=False)


def test_bad_operands():
    flash = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    q, k, v = (torch.randn(2, 4, 8, 16) for _ in range(3))

    def call(**options):
        return lambda *tensors: flash(*tensors, **options)

    assert_same_error(flash, q.long(), k.long(), v.long(), text="Expected data type in FP32")
    assert_same_error(flash, q[0], k[0], v[0], text="Accept only 4 dims")
    assert_same_error(flash, q, k, v[..., :8], text="the same head size")
    assert_same_error(flash, q, k.double(), v, text="expected scalar type")
    assert_same_error(call(dropout_p=0.5), q, k, v, text="do not support dropout")
    for mask, text in (
        (torch.ones(8, 8, dtype=torch.bool), "same data type"),
        (torch.zeros(8), "mask dim in {2, 4}"),
        (torch.zeros(3, 8), "expanded size"),
        (torch.zeros(3, 4, 8, 8), "is invalid for input of size"),
    ):
        assert_same_error(lambda q, k, v, m: flash(q, k, v, attn_mask=m), q, k, v, mask, text=text)
    # Stock reads past the end here.
    for keys in (k[:1], k[:, :3]):
        with pytest.raises(RuntimeError, match="do not belong to queries"):
            flash(q.to("alt"), keys.to("alt"), keys.to("alt"))
    with pytest.raises(RuntimeError, match="do not belong to queries"):
        flash(q.to("alt"), k.to("alt"), v[:, :, :5].to("alt"))


def test_no_second_derivative_of_the_fused_route():
    def second(q, k, v):
        (first,) = torch.autograd.grad(attend(q, k, v).sum(), q, create_graph=True)
        return torch.autograd.grad(first.sum(), q)

    q, k, v = (heads(1, 2, 8, 16) for _ in range(3))
    assert_same_error(second, q, k, v, text="is not implemented")
    with sdpa_kernel(SDPBackend.MATH):
        assert_agrees(attend, q, k, v, factor=4, double_backward=True)


def test_memory_grows_with_the_length_and_not_with_its_square():
    def peak(length: int) -> int:
        q, k, v = (torch.randn(1, 2, length, 16, device="alt", requires_grad=True) for _ in "qkv")
        torch.alt.reset_peak_memory_stats()
        before = torch.alt.memory_allocated()
        attend(q, k, v, {"is_causal": True}).sum().backward()
        return torch.alt.max_memory_allocated() - before

    assert peak(2048) <= 2.2 * peak(1024)


def test_one_thread_and_many_give_the_same_bits():
    torch.manual_seed(0)
    q, k, v = (heads(2, 3, 150, 24).detach().to("alt").requires_grad_() for _ in range(3))

    def run():
        result = attend(q, k, v, {"is_causal": True})
        return [result, *torch.autograd.grad(result.sum(), (q, k, v))]

    results = []
    for threads in (1, 3):
        with use_threads(threads):
            results.append(run())
    for one, many in zip(*results, strict=True):
        assert torch.equal(one, many)


@pytest.mark.parametrize("inference", [True, False])
@pytest.mark.parametrize("mask", [{}, {"key_padding_mask": padding()}, {"attn_mask": causal()}])
@pytest.mark.parametrize("weights", [{}, {"average_attn_weights": False}, {"need_weights": False}])
def test_multihead_attention(weights, mask, inference):
    torch.manual_seed(0)
    module = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True).train(not inference)
    x = torch.randn(BATCH, TOKENS, WIDTH)
    with torch.set_grad_enabled(not inference):
        expected = module(x, x, x, **weights, **mask)
        moved = module.to("alt")
        given = x.to("alt")
        with altbackend.no_fallback():
            ours = moved(
                given, given, given, **weights, **{k: m.to("alt") for k, m in mask.items()}
            )
    torch.testing.assert_close(ours[0].cpu(), expected[0], **TOLERANCE)
    assert (ours[1] is None) == (expected[1] is None)
    if expected[1] is not None:
        torch.testing.assert_close(ours[1].cpu(), expected[1], **TOLERANCE)


@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("norm_first", [True, False])
@pytest.mark.parametrize("inference", [True, False])
def test_transformer_encoder_layer(inference, norm_first, activation):
    torch.manual_seed(0)
    module = nn.TransformerEncoderLayer(
        WIDTH, HEADS, 32, 0.0, activation, batch_first=True, norm_first=norm_first
    ).train(not inference)
    x = torch.randn(BATCH, TOKENS, WIDTH)
    with torch.set_grad_enabled(not inference):
        for mask in (None, causal()):
            expected = module.to("cpu")(x, src_mask=mask)
            moved = module.to("alt")
            given = None if mask is None else mask.to("alt")
            with altbackend.no_fallback():
                ours = moved(x.to("alt"), src_mask=given)
            torch.testing.assert_close(ours.cpu(), expected, **TOLERANCE)


def test_padded_batches_agree_where_they_are_not_padding():
    """Stock goes through nested tensors there and leaves zeros in the padding; alt has none."""
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(WIDTH, HEADS, 32, batch_first=True)
    module = nn.TransformerEncoder(layer, 2).eval()
    x, mask = torch.randn(BATCH, TOKENS, WIDTH), padding()
    with torch.no_grad():
        expected = module(x, src_key_padding_mask=mask)
        ours = module.to("alt")(x.to("alt"), src_key_padding_mask=mask.to("alt")).cpu()
    torch.testing.assert_close(ours[~mask], expected[~mask], **TOLERANCE)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_transform_bias_rescale_qkv(dtype):
    qkv, bias = torch.randn(2, 3, 12, dtype=dtype), torch.randn(12, dtype=dtype)
    transform = torch.ops.aten._transform_bias_rescale_qkv
    assert_agrees(lambda x, b: transform(x, b, 2), qkv, bias)
    assert_same_error(lambda x, b: transform(x.long(), b.long(), 2), qkv, bias)
    assert_same_error(
        lambda x, b: transform(x, b, 5), qkv, bias, text="Expected D % num_head == 0 to be true"
    )
