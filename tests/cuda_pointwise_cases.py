"""What each pointwise row of ops.yaml is held against: stock's operator, on op_db's samples.

A row whose operands are just the tensors of an operator in op_db needs no word here. The others say
how a sample becomes operands and numbers, or, for derivatives that op_db has no samples of, what
stock calls them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

aten = torch.ops.aten
functional = torch.nn.functional

# Rows by the name of their operator in op_db, where that is not the stub's.
NAMES = {
    "div_true_stub": "div.no_rounding_mode",
    "div_trunc_stub": "div.trunc_rounding",
    "div_floor_stub": "div.floor_rounding",
    "clamp_stub": "clamp",
    "pow_tensor_tensor_stub": "pow",
    "lshift_stub": "bitwise_left_shift",
    "rshift_stub": "bitwise_right_shift",
    "silu_stub": "nn.functional.silu",
    "mish_stub": "nn.functional.mish",
    "hardsigmoid_stub": "nn.functional.hardsigmoid",
    "hardswish_stub": "nn.functional.hardswish",
    "gelu_exact": "nn.functional.gelu",
    "log_sigmoid": "nn.functional.logsigmoid",
}


# Row: (stock's function of operands and numbers, lists of the numbers).
DIRECT: dict[str, tuple[Callable[..., Any], list[tuple]]] = {
    "add_stub": (lambda x, y, alpha: torch.add(x, y, alpha=alpha), [(1,), (2,)]),
    "sub_stub": (lambda x, y, alpha: torch.sub(x, y, alpha=alpha), [(1,), (2,)]),
    "add_clamp_stub": (
        lambda x, y, alpha, low, high: torch.clamp(x + alpha * y, low, high),
        [(1, 0, 3)],
    ),
    "pow_tensor_scalar_stub": (torch.pow, [(2,), (3,), (0.5,), (-1,), (-2,), (2.5,)]),
    "clamp_scalar_stub": (torch.clamp, [(-1, 2), (3, 1)]),
    "clamp_min_scalar_stub": (torch.clamp_min, [(1,)]),
    "clamp_max_scalar_stub": (torch.clamp_max, [(1,)]),
    "replace_nonfinite": (torch.nan_to_num, [(0.5, 3.0, -3.0)]),
    "lerp_kernel_scalar_weight": (torch.lerp, [(0.25,), (0.75,)]),
    "lerp_kernel_tensor_weight": (torch.lerp, [()]),
    "addcmul_stub": (lambda x, a, b, v: torch.addcmul(x, a, b, value=v), [(1,), (2,)]),
    "addcdiv_stub": (lambda x, a, b, v: torch.addcdiv(x, a, b, value=v), [(1,), (2,)]),
    "addr_stub": (lambda x, a, b, beta, alpha: beta * x + alpha * a * b, [(1, 2), (0, 1)]),
    "where_kernel": (lambda c, x, y: torch.where(c != 0, x, y), [()]),
    "heaviside_stub": (torch.heaviside, [()]),
    "round_decimals_stub": (lambda x, d: torch.round(x, decimals=d), [(2,), (-1,), (0,)]),
    "logit_stub": (torch.logit, [(0.1,), (-1.0,)]),
    "polygamma_stub": (lambda x, n: torch.polygamma(n, x), [(0,), (1,), (3,)]),
    "trigamma_stub": (lambda x: torch.polygamma(1, x), [()]),
    "elu_stub": (aten.elu, [(1.0, 1.0, 1.0), (0.5, 2.0, 0.7)]),
    "elu_backward_stub": (
        lambda g, x, a, s, i, r: aten.elu_backward(g, a, s, i, r, x),
        [(1.0, 1.0, 1.0, False), (0.5, 2.0, 0.7, True)],
    ),
    "leaky_relu_stub": (functional.leaky_relu, [(0.1,)]),
    "leaky_relu_backward_stub": (
        lambda x, g, s: aten.leaky_relu_backward(g, x, s, False),
        [(0.1,)],
    ),
    "softplus_stub": (aten.softplus, [(1.0, 20.0), (2.0, 3.0)]),
    "softplus_backward_stub": (aten.softplus_backward, [(1.0, 20.0), (2.0, 3.0)]),
    "hardshrink_stub": (aten.hardshrink, [(0.5,)]),
    "softshrink_stub": (aten.softshrink, [(0.5,)]),
    "threshold_stub": (lambda x, other, b, v: torch.where(x <= b, v, other), [(0, 1)]),
    "silu_backward_stub": (aten.silu_backward, [()]),
    "mish_backward_stub": (aten.mish_backward, [()]),
    "hardsigmoid_backward_stub": (aten.hardsigmoid_backward, [()]),
    "hardswish_backward_stub": (aten.hardswish_backward, [()]),
    "hardtanh_backward_stub": (aten.hardtanh_backward, [(-1.0, 1.0)]),
    "shrink_backward_stub": (aten.hardshrink_backward, [(0.5,)]),
    "glu_stub": (lambda x, gate: x * torch.sigmoid(gate), [()]),
    "glu_jvp_stub": (
        lambda v, gate, x_t, gate_t: (
            x_t * torch.sigmoid(gate) + v * (gate_t - torch.sigmoid(gate) * gate_t)
        ),
        [()],
    ),
    "glu_backward": (
        lambda x, gate, g: (
            g * torch.sigmoid(gate),
            g * x * torch.sigmoid(gate) * (1 - torch.sigmoid(gate)),
        ),
        [()],
    ),
    "prelu_stub": (lambda x, w: torch.where(x > 0, x, w * x), [()]),
    "prelu_backward_stub": (
        lambda x, w, g: (
            torch.where(x > 0, g, w * g),
            torch.where(x > 0, torch.zeros_like(x), x * g),
        ),
        [()],
    ),
    "sigmoid_backward_stub": (aten.sigmoid_backward, [()]),
    "tanh_backward_stub": (aten.tanh_backward, [()]),
    "logit_backward_stub": (aten.logit_backward, [(0.1,), (-1.0,)]),
    "gelu_tanh": (lambda x: functional.gelu(x, approximate="tanh"), [()]),
    "gelu_exact_backward": (aten.gelu_backward, [()]),
    "gelu_tanh_backward": (lambda g, x: aten.gelu_backward(g, x, approximate="tanh"), [()]),
    "log_sigmoid_backward": (lambda x, g: g * torch.sigmoid(-x), [()]),
    "smooth_l1_stub": (
        lambda x, y, beta: functional.smooth_l1_loss(x, y, reduction="none", beta=beta),
        [(0.7,)],
    ),
    "huber_stub": (
        lambda x, y, delta: functional.huber_loss(x, y, reduction="none", delta=delta),
        [(0.7,)],
    ),
    "mse_stub": (lambda x, y: functional.mse_loss(x, y, reduction="none"), [()]),
    "mse_backward_stub": (lambda x, y, g, f: f * (x - y) * g, [(2.0,)]),
    "smooth_l1_backward_stub": (
        lambda x, y, g, n, beta: n * aten.smooth_l1_loss_backward(g, x, y, 0, beta),
        [(1.0, 0.7), (0.5, 0.7)],
    ),
    "huber_backward_stub": (
        lambda x, y, g, n, delta: n * aten.huber_loss_backward(g, x, y, 0, delta),
        [(1.0, 0.7), (0.5, 0.7)],
    ),
    "renorm_scale_factor_stub": (
        lambda x, m: torch.where(x > m, m / (x + 1e-7), torch.ones_like(x)),
        [(1.0,)],
    ),
}
