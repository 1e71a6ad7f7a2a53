"""RNN, LSTM and GRU, modules and cells: layers, directions, packed sequences, projections."""

import itertools

import pytest
import torch
from agreement import FLOATING, assert_agrees, assert_same, assert_same_error, copy_to
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pack_sequence, pad_packed_sequence

import altbackend

TOLERANCE = {"rtol": 1e-4, "atol": 1e-5}


def run_module(build, run, device):
    """Outputs, then gradients of all parameters, of `run(module)` on `device`."""
    torch.manual_seed(0)
    module = build().to(device)
    with altbackend.no_fallback():
        outputs = run(module)
        sum((o.square() * 0.7 + o).sum() for o in outputs).backward()
    return [o.detach().cpu() for o in outputs] + [p.grad.cpu() for p in module.parameters()]


def assert_module_agrees(build, run):
    """`run(module, device)` gives the same on both devices."""
    expected = run_module(build, lambda m: run(m, "cpu"), "cpu")
    ours = run_module(build, lambda m: run(m, "alt"), "alt")
    torch.testing.assert_close(ours, expected, **TOLERANCE)


def flat(result):
    outputs, states = result
    return [outputs, *(states if isinstance(states, tuple) else (states,))]


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_sequences(kind, layers, bidirectional):
    torch.manual_seed(1)
    x = torch.randn(7, 3, 5)
    for batch_first, bias in itertools.product((False, True), (False, True)):
        assert_module_agrees(
            lambda batch_first=batch_first, bias=bias: kind(
                5, 6, layers, bias=bias, batch_first=batch_first, bidirectional=bidirectional
            ),
            lambda m, device: flat(m(x.to(device))),
        )


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
def test_initial_state_and_unbatched(kind):
    torch.manual_seed(1)
    x, h, c = torch.randn(4, 3, 5), torch.randn(2, 3, 6), torch.randn(2, 3, 6)

    def run(module, device):
        states = tuple(t.to(device) for t in ((h, c) if kind is nn.LSTM else (h,)))
        batched = flat(module(x.to(device), states if kind is nn.LSTM else states[0]))
        unbatched = flat(module(x[:, 0].to(device)))
        return batched + unbatched

    assert_module_agrees(lambda: kind(5, 6, 2), run)


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("enforce_sorted", [False, True])
def test_packed_sequences(kind, bidirectional, enforce_sorted):
    torch.manual_seed(1)
    x = torch.randn(4, 7, 5)
    lengths = torch.tensor([7, 4, 4, 1] if enforce_sorted else [4, 7, 1, 4])

    def run(module, device):
        packed = pack_padded_sequence(
            x.to(device), lengths, batch_first=True, enforce_sorted=enforce_sorted
        )
        outputs, states = module(packed)
        padded, sizes = pad_packed_sequence(outputs, batch_first=True)
        assert sizes.tolist() == lengths.tolist()
        return flat((padded, states))

    assert_module_agrees(lambda: kind(5, 6, 2, batch_first=True, bidirectional=bidirectional), run)


def test_list_of_sequences():
    torch.manual_seed(1)
    sequences = [torch.randn(n, 5) for n in (5, 3, 2)]
    assert_module_agrees(
        lambda: nn.LSTM(5, 6),
        lambda m, device: flat(
            (lambda o, s: (o.data, s))(*m(pack_sequence([s.to(device) for s in sequences])))
        ),
    )


def test_relu_and_projection_and_dropout():
    torch.manual_seed(1)
    x = torch.randn(6, 3, 5)
    assert_module_agrees(
        lambda: nn.RNN(5, 6, 2, nonlinearity="relu"), lambda m, device: flat(m(x.to(device)))
    )
    assert_module_agrees(
        lambda: nn.LSTM(5, 6, 2, proj_size=3, bidirectional=True),
        lambda m, device: flat(m(x.to(device))),
    )

    def seeded(module, device):
        torch.manual_seed(3)
        return flat(module(x.to(device)))

    assert_module_agrees(lambda: nn.LSTM(5, 6, 3, dropout=0.4), seeded)


@pytest.mark.parametrize("dtype", FLOATING, ids=str)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("batch", "hidden"), [(6, 37), (1, 16), (64, 256), (2, 1)])
@pytest.mark.parametrize("kind", ["lstm_cell", "gru_cell"])
def test_cells(kind, batch, hidden, bias, dtype):
    torch.manual_seed(0)
    gates = 4 if kind == "lstm_cell" else 3
    x, h, c = torch.randn(batch, 5), torch.randn(batch, hidden), torch.randn(batch, hidden)
    scale = hidden**-0.5
    weights = [torch.randn(gates * hidden, n) * scale for n in (5, hidden)]
    biases = [torch.randn(gates * hidden) * scale for _ in range(2)] if bias else [None, None]
    state = (h, c) if kind == "lstm_cell" else h

    def leaf(value):
        return None if value is None else value.to(dtype).requires_grad_()

    state = tuple(leaf(s) for s in state) if isinstance(state, tuple) else leaf(state)
    assert_agrees(
        lambda x, state, *rest: getattr(torch, kind)(x, state, *rest),
        leaf(x),
        state,
        *(leaf(w) for w in weights + biases),
        factor=4,
    )


@pytest.mark.parametrize("cell", [nn.RNNCell, nn.LSTMCell, nn.GRUCell])
def test_cell_over_many_steps(cell):
    torch.manual_seed(1)
    x = torch.randn(20, 3, 5)

    def run(module, device):
        state = None
        for step in x.to(device):
            state = module(step, state)
        return list(state) if isinstance(state, tuple) else [state]

    assert_module_agrees(lambda: cell(5, 6), run)


@pytest.mark.parametrize("kind", ["lstm_cell", "gru_cell"])
def test_double_backward(kind):
    torch.manual_seed(0)
    gates = 4 if kind == "lstm_cell" else 3

    def leaf(*shape):
        return torch.randn(*shape, dtype=torch.float64).requires_grad_()

    state = (leaf(2, 3), leaf(2, 3)) if kind == "lstm_cell" else leaf(2, 3)
    arguments = [leaf(gates * 3, 4), leaf(gates * 3, 3), leaf(gates * 3), leaf(gates * 3)]
    assert_agrees(getattr(torch, kind), leaf(2, 4), state, *arguments, double_backward=True)


def test_only_one_of_the_outputs_is_used():
    torch.manual_seed(0)
    x, h, c = torch.randn(2, 4), torch.randn(2, 3), torch.randn(2, 3)
    weights = [torch.randn(12, 4), torch.randn(12, 3)]
    for output in (0, 1):
        assert_agrees(
            lambda x, h, c, *w, output=output: torch.lstm_cell(x, (h, c), *w)[output],
            *(t.requires_grad_() for t in (x, h, c, *weights)),
        )


def test_saturated_gates_stay_finite():
    gates = torch.tensor([[-200.0, 200.0, -90.0, 90.0] * 4]).repeat(3, 1)
    state = torch.full((3, 4), 5.0)
    zero = torch.zeros_like(gates)
    ours = torch.ops.aten._thnn_fused_lstm_cell(*copy_to((gates, zero, state), "alt"))
    i, f, g, o = (t.sigmoid() if k != 2 else t.tanh() for k, t in enumerate(gates.chunk(4, 1)))
    cy = f * state + i * g
    assert_same(ours[:2], (o * cy.tanh(), cy))


def test_errors():
    x, h, w = torch.randn(2, 4), torch.randn(2, 3), (torch.randn(12, 4), torch.randn(12, 3))
    assert_same_error(lambda x, h, *w: torch.lstm_cell(x, (h, h), *w), x, torch.randn(3, 3), *w)
    assert_same_error(lambda x, h, *w: torch.lstm_cell(x, (h, h), *w), torch.randn(2, 5), h, *w)
    with pytest.raises(RuntimeError, match="expected a state of shape"):
        torch.ops.aten._thnn_fused_lstm_cell(
            *copy_to((torch.randn(2, 12), torch.randn(2, 12), x), "alt")
        )
