"""The CUDA engine's LSTM and GRU cells, simulated, against stock torch."""

from __future__ import annotations

import pytest
import torch
from agreement import TOLERANCE
from cuda_kernels import Family
from cuda_simulator import Guarded, assert_near

DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16]


@pytest.fixture(scope="module")
def family() -> Family:
    return Family("rnn")


def random(*shape: int, dtype: torch.dtype) -> torch.Tensor:
    return torch.randn(shape, dtype=torch.float64).to(dtype)


def cell(kind: str, batch: int, hidden: int, dtype: torch.dtype, biased: bool):
    """Stock's cell with weights that pass the gates through: input and state, and what it gives."""
    gates = 4 if kind == "lstm" else 3
    wide = torch.float64  # half types are held against the exact result
    x, h = (random(batch, gates * hidden, dtype=dtype).to(wide) for _ in range(2))
    state = random(batch, hidden, dtype=dtype).to(wide)
    biases = [random(gates * hidden, dtype=dtype).to(wide) for _ in range(2)] if biased else []
    leaves = [t.requires_grad_() for t in (x, h, state)]
    sums = [t + b for t, b in zip((x, h), biases, strict=True)] if biased else [x, h]
    if kind == "lstm":
        i, f, g, o = (sums[0] + sums[1]).chunk(4, 1)
        cy = torch.sigmoid(f) * state + torch.sigmoid(i) * torch.tanh(g)
        return leaves, biases, (torch.sigmoid(o) * torch.tanh(cy), cy)
    (ir, iz, inew), (hr, hz, hnew) = (t.chunk(3, 1) for t in sums)
    z = torch.sigmoid(iz + hz)
    new = torch.tanh(inew + torch.sigmoid(ir + hr) * hnew)
    return leaves, biases, (new + z * (state - new),)


@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_cell(family: Family, kind: str, dtype: torch.dtype, biased: bool) -> None:
    torch.manual_seed(0)
    batch, hidden = 5, 37
    leaves, biases, results = cell(kind, batch, hidden, dtype, biased)
    given = [t.detach().to(dtype) for t in leaves]
    both = [b.to(dtype) for b in biases] or [None, None]
    bound = 4 * TOLERANCE[dtype]
    sizes = [batch, hidden]
    kept = Guarded((batch, (4 if kind == "lstm" else 5) * hidden), dtype)
    found = [Guarded((batch, hidden), dtype) for _ in results]
    family.run(f"{kind}_cell", (dtype,), [*found, kept, *given, *both], sizes)
    for ours, expected in zip(found, results, strict=True):
        assert_near(ours.tensor, expected.detach().to(dtype), bound, kind)

    grads = [random(batch, hidden, dtype=dtype) for _ in results]
    wanted = torch.autograd.grad(results, leaves, [g.double() for g in grads])
    state_gradient = Guarded((batch, hidden), dtype)
    if kind == "lstm":
        of_gates = Guarded(given[0].shape, dtype)
        tensors = [of_gates, state_gradient, *grads, given[2], found[1], kept]
        family.run("lstm_cell_backward", (dtype,), tensors, sizes)
        assert_near(of_gates.tensor, wanted[0].to(dtype), bound, "gates")
    else:
        both_gates = [Guarded(given[0].shape, dtype) for _ in range(2)]
        tensors = [*both_gates, state_gradient, *grads, kept]
        family.run("gru_cell_backward", (dtype,), tensors, sizes)
        for ours, expected in zip(both_gates, wanted[:2], strict=True):
            assert_near(ours.tensor, expected.to(dtype), bound, "gates")
    assert_near(state_gradient.tensor, wanted[2].to(dtype), bound, "state")


@pytest.mark.parametrize("missing", [2, 3])
def test_lstm_cell_backward_with_one_gradient(family: Family, missing: int) -> None:
    """Stock leaves out the gradient of an output that nothing used."""
    torch.manual_seed(0)
    leaves, _, results = cell("lstm", 3, 8, torch.float32, False)
    dtype = torch.float32
    given = [t.detach().to(dtype) for t in leaves]
    kept, hy, cy = (Guarded((3, n), dtype) for n in (32, 8, 8))
    family.run("lstm_cell", (dtype,), [hy, cy, kept, *given, None, None], [3, 8])
    gradient = random(3, 8, dtype=dtype)
    pair: list = [gradient, gradient]
    pair[missing - 2] = None
    used = results[3 - missing]
    wanted = torch.autograd.grad(used, leaves, gradient.double(), retain_graph=True)
    to, state = Guarded((3, 32), dtype), Guarded((3, 8), dtype)
    family.run("lstm_cell_backward", (dtype,), [to, state, *pair, given[2], cy, kept], [3, 8])
    assert_near(to.tensor, wanted[0].float(), 1e-5, "gates")
    assert_near(state.tensor, wanted[2].float(), 1e-5, "state")


def test_simulated_layer_is_stocks_cell(family: Family) -> None:
    """torch.nn.LSTMCell itself, its products by stock and its gates by the kernel."""
    torch.manual_seed(0)
    stock = torch.nn.LSTMCell(6, 11)
    x, hx, cx = torch.randn(4, 6), torch.randn(4, 11), torch.randn(4, 11)
    with torch.no_grad():
        gates = [x @ stock.weight_ih.T, hx @ stock.weight_hh.T]
        hy, cy, kept = (
            Guarded((4, 11), x.dtype),
            Guarded((4, 11), x.dtype),
            Guarded((4, 44), x.dtype),
        )
        biases = [stock.bias_ih.detach(), stock.bias_hh.detach()]
        family.run("lstm_cell", (x.dtype,), [hy, cy, kept, *gates, cx, *biases], [4, 11])
        expected = stock(x, (hx, cx))
    assert_near(hy.tensor, expected[0], 2e-5, "hy")
    assert_near(cy.tensor, expected[1], 2e-5, "cy")
