"""Attention and transformer layers: masks, gradients, the inference paths of the modules."""

import pytest
import torch
import torch.nn.functional as F
from agreement import assert_agrees, assert_same_error
from torch import nn

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


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize(
    "options",
    [{}, {"is_causal": True}, {"scale": 0.5}, {"attn_mask": causal().logical_not()}],
    ids=lambda o: ",".join(o) or "plain",
)
def test_scaled_dot_product_attention(options, dtype):
    torch.manual_seed(0)
    q, k, v = (torch.randn(2, 4, TOKENS, 8, dtype=dtype, requires_grad=True) for _ in range(3))
    assert_agrees(
        lambda q, k, v, o: F.scaled_dot_product_attention(q, k, v, **o), q, k, v, options, factor=4
    )


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
