"""RNN, LSTM and GRU, modules and cells: layers, directions, packed sequences, projections."""

import copy
import itertools

import pytest
import torch
from agreement import (
    FLOATING,
    assert_agrees,
    assert_same,
    assert_same_error,
    copy_to,
    noncontiguous,
    use_threads,
)
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
@pytest.mark.parametrize(("batch", "hidden"), [(6, 37), (1, 16), (64, 256), (2, 1), (30, 37)])
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


KINDS = {"lstm": 4, "gru": 3, "rnn_tanh": 1, "rnn_relu": 1}


def layer_arguments(kind, input_size, hidden, directions, batch, *, dtype=torch.float64, bias=True):
    """hx, and the parameters of one layer, as torch.lstm and its relatives take them."""
    states = [
        torch.randn(directions, batch, hidden, dtype=dtype) for _ in range(1 + (kind == "lstm"))
    ]
    gates = KINDS[kind] * hidden
    shapes = [(gates, input_size), (gates, hidden), *([(gates,), (gates,)] if bias else [])]
    parameters = [
        torch.randn(*shape, dtype=dtype) * hidden**-0.5
        for _ in range(directions)
        for shape in shapes
    ]
    return states, parameters


def run_layer(kind, x, states, parameters, batch_sizes=None, *, bias=True, both=False):
    hx = states if kind == "lstm" else states[0]
    if batch_sizes is None:
        return getattr(torch, kind)(x, hx, parameters, bias, 1, 0.0, True, both, False)
    return getattr(torch, kind)(x, batch_sizes, hx, parameters, bias, 1, 0.0, True, both)


@pytest.mark.parametrize("dtype", FLOATING, ids=str)
@pytest.mark.parametrize(("batch", "hidden"), [(1, 16), (13, 37), (30, 70), (2, 1)])
@pytest.mark.parametrize("kind", KINDS)
def test_layer_in_every_dtype(kind, batch, hidden, dtype):
    torch.manual_seed(0)
    states, parameters = layer_arguments(kind, 5, hidden, 2, batch, dtype=torch.float32)
    x = torch.randn(4, batch, 5)
    given = [t.to(dtype).requires_grad_() for t in (x, *states, *parameters)]
    n = len(states)
    # Stock rounds a half type at every step, which may turn a relu's derivative over.
    factor = 100 if kind == "rnn_relu" and dtype.itemsize == 2 else 4
    assert_agrees(
        lambda x, *rest: run_layer(kind, x, rest[:n], rest[n:], both=True), *given, factor=factor
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize(("batch", "hidden"), [(23, 37), (24, 37), (61, 70), (30, 1)])
@pytest.mark.parametrize("kind", KINDS)
def test_layer_of_one_step(kind, batch, hidden, dtype):
    """Of many rows, whose weights each task packs for itself, and of few; trained and not."""
    torch.manual_seed(0)
    states, parameters = layer_arguments(kind, 29, hidden, 2, batch, dtype=dtype)
    given = (torch.randn(1, batch, 29, dtype=dtype), *states, *parameters)
    n = len(states)
    for trained in (True, False):
        assert_agrees(
            lambda x, *rest: run_layer(kind, x, rest[:n], rest[n:], both=True),
            *(t.clone().requires_grad_(trained) for t in given),
            factor=4,
        )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_layer_larger_than_a_block_of_the_product(kind, dtype):
    """More than 256 rows, an input of more than 256, more than 512 columns of gates."""
    torch.manual_seed(0)
    states, parameters = layer_arguments(kind, 270, 150, 1, 31, dtype=dtype)
    x = torch.randn(9, 31, 270, dtype=dtype)
    given = [t.requires_grad_() for t in (x, *states, *parameters)]
    n = len(states)
    assert_agrees(lambda x, *rest: run_layer(kind, x, rest[:n], rest[n:]), *given, factor=4)


@pytest.mark.parametrize("kind", KINDS)
def test_packed_layer_from_given_states(kind):
    torch.manual_seed(0)
    states, parameters = layer_arguments(kind, 5, 20, 2, 7)
    sizes = torch.tensor([7, 7, 4, 3, 3, 1])
    x = torch.randn(int(sizes.sum()), 5, dtype=torch.float64)
    given = [t.requires_grad_() for t in (x, *states, *parameters)]
    n = len(states)
    assert_agrees(lambda x, *rest: run_layer(kind, x, rest[:n], rest[n:], sizes, both=True), *given)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_double_backward_of_a_layer(kind, packed):
    torch.manual_seed(0)
    states, parameters = layer_arguments(kind, 3, 4, 2, 3)
    sizes = torch.tensor([3, 2, 2, 1]) if packed else None
    x = torch.randn(*((8, 3) if packed else (4, 3, 3)), dtype=torch.float64)
    given = [t.requires_grad_() for t in (x, *states, *parameters)]
    n = len(states)
    assert_agrees(
        lambda x, *rest: run_layer(kind, x, rest[:n], rest[n:], sizes, both=True),
        *given,
        double_backward=True,
    )


def test_double_backward_where_one_input_depends_on_another():
    """The gradient for x through the weight is the graph's to add, not the layer's."""
    torch.manual_seed(0)
    states, parameters = layer_arguments("lstm", 4, 4, 1, 4, bias=False)

    def run(x, *rest):
        weight = (x.sum(0).repeat(4, 1) + parameters_like(rest[2])) * 0.5
        return run_layer("lstm", x, rest[:2], (weight, rest[3]), bias=False)

    def parameters_like(weight):
        return weight.tanh()

    given = [t.requires_grad_() for t in (torch.randn(3, 4, 4).double(), *states, *parameters)]
    assert_agrees(run, *given, double_backward=True)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_of_some_inputs_only(kind):
    torch.manual_seed(0)
    states, parameters = layer_arguments(kind, 5, 9, 1, 3)
    tensors = [torch.randn(4, 3, 5).double(), *states, *parameters]
    n = len(states)
    for wanted in range(len(tensors)):
        given = [t.clone().requires_grad_(i == wanted) for i, t in enumerate(tensors)]
        for output in range(1 + n):
            assert_agrees(
                lambda x, *rest, output=output: run_layer(kind, x, rest[:n], rest[n:])[output],
                *given,
            )


def test_operands_of_any_strides():
    torch.manual_seed(0)
    states, parameters = layer_arguments("gru", 5, 9, 1, 3)
    x = torch.randn(4, 3, 5).double()
    given = [noncontiguous(t).requires_grad_() for t in (x, *states, *parameters)]
    assert_agrees(lambda x, h, *w: run_layer("gru", x, [h], w), *given, strides=False)


def test_dropout_between_layers_draws_the_numbers_of_stock():
    torch.manual_seed(1)
    x = torch.randn(6, 3, 5)

    def seeded(module, device):
        torch.manual_seed(3)
        return flat(module(x.to(device)))

    for kind in (nn.LSTM, nn.GRU, nn.RNN):
        assert_module_agrees(
            lambda kind=kind: kind(5, 6, 3, dropout=0.4, bidirectional=True), seeded
        )


def test_the_batch_and_the_threads_do_not_change_a_sequence():
    torch.manual_seed(0)
    module = nn.LSTM(40, 50, bidirectional=True).to("alt")
    x = torch.randn(9, 40, 40, device="alt")
    whole = module(x)[0]
    with use_threads(3):
        split = module(x)[0]
    assert torch.equal(whole, split)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_threads_that_share_a_step_do_not_change_it(kind):
    """Few sequences and more weights than a core's cache holds."""
    torch.manual_seed(0)
    module = kind(30, 400 if kind is nn.RNN else 230).to("alt")
    x = torch.randn(7, 2, 30, device="alt", requires_grad=True)
    leaves = [x, *module.parameters()]

    def run(threads: int) -> list[torch.Tensor]:
        with use_threads(threads):
            y = module(x)[0]
            return [y.detach(), *torch.autograd.grad(y.square().sum(), leaves)]

    for one, several in zip(run(1), run(3), strict=True):
        assert torch.equal(one, several)


def test_a_layer_saves_no_more_than_its_gates_and_cells():
    steps, batch, hidden = 20, 4, 32
    module = nn.LSTM(hidden, hidden).to("alt")
    x = torch.randn(steps, batch, hidden, device="alt")
    before = torch.alt.memory_allocated()
    outputs = module(x)
    held = torch.alt.memory_allocated() - before
    # Gates (4), cells and output; then the two last states, and the initial zeros.
    assert held <= 6 * steps * batch * hidden * 4 + 4 * batch * hidden * 4 + 4096
    assert outputs[0].grad_fn is not None


def test_modes_of_autograd():
    torch.manual_seed(0)
    module = nn.GRU(5, 6, 2).to("alt")
    x = torch.randn(4, 3, 5, device="alt")
    expected = module(x)[0].detach()
    with altbackend.no_fallback():
        for mode in (torch.no_grad, torch.inference_mode):
            with mode():
                assert torch.equal(module(x)[0], expected)
        output = module(x)[0]
        first = torch.autograd.grad(output.sum(), module.weight_hh_l0, retain_graph=True)
        again = torch.autograd.grad(output.sum(), module.weight_hh_l0)
        assert torch.equal(first[0], again[0])
    with torch.no_grad():
        module.weight_hh_l0.mul_(1)
    output = module(x)[0]
    with torch.no_grad():
        module.weight_hh_l0.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        output.sum().backward()


@pytest.mark.parametrize("kind", KINDS)
def test_forward_mode_and_functorch(kind):
    torch.manual_seed(0)
    states, parameters = layer_arguments(kind, 3, 4, 1, 2)
    x, tangent = torch.randn(4, 2, 3).double(), torch.randn(4, 2, 3).double()

    def run(device):
        s, p = copy_to(states, device), copy_to(parameters, device)

        def f(x):
            return run_layer(kind, x, s, p)[0]

        at, along = x.to(device), tangent.to(device)
        with altbackend.no_fallback():
            results = [torch.func.grad(lambda x: f(x).sin().sum())(at)]
            if kind.startswith("rnn"):  # PyTorch has no forward-mode formula for the fused cells
                results += torch.func.jvp(f, (at,), (along,))
        return results

    assert_same(run("alt"), run("cpu"), strides=False)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.LSTMCell, nn.GRUCell])
def test_batched_gradients(kind):
    """One backward pass of many gradients, which are no ordinary tensors, is made of operators."""

    def run(device):
        torch.manual_seed(0)
        module, x = kind(3, 4), torch.randn(2, 5, 3)
        at = copy_to(x if isinstance(module, nn.RNNBase) else x[0], device).requires_grad_()
        output = module.to(device)(at)
        output = output[0] if isinstance(output, tuple) else output
        wanted = [at, *module.parameters()]
        many = torch.randn(7, *output.shape).to(device)
        return torch.autograd.grad(output, wanted, many, is_grads_batched=True)

    assert_same(run("alt"), run("cpu"), strides=False)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.LSTMCell])
def test_lazy_negation(kind):
    """What memory holds is not the number; the dispatcher resolves that below autograd."""

    def run(device):
        torch.manual_seed(0)
        module, x = kind(3, 4), torch.randn(2, 5, 3)
        x = copy_to(x if kind is nn.LSTM else x[0], device).requires_grad_()
        output = module.to(device)(torch._neg_view(x))[0]
        grad = torch._neg_view(torch.ones_like(output))
        plain = module(x)[0]
        return [
            output,
            *torch.autograd.grad(output, [x, *module.parameters()], grad),
            *torch.autograd.grad(plain, [x, *module.parameters()], grad),
        ]

    assert_same(run("alt"), run("cpu"), strides=False)


def test_nodes_have_names():
    x = torch.randn(2, 3, device="alt")
    assert "grad_fn=<RecurrentCellBackward>)" in str(nn.LSTMCell(3, 4).to("alt")(x)[0])
    assert "grad_fn=<RecurrentLayerBackward>)" in str(nn.LSTM(3, 4).to("alt")(x[None])[0])


def test_saved_tensor_hooks_keep_what_they_were_given():
    torch.manual_seed(0)
    module = nn.LSTM(5, 6).to("alt")
    x = torch.randn(4, 3, 5, device="alt")
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        output = module(x)[0]
    before = [t.clone() for t in kept]
    output.sum().backward()
    assert before and all(torch.equal(a, b) for a, b in zip(before, kept, strict=True))


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_autocast(kind):
    torch.manual_seed(0)
    module = kind(5, 6, 2).to("alt")
    x = torch.randn(4, 3, 5, device="alt")
    full = module(x)[0]
    with torch.autocast("alt", torch.bfloat16), altbackend.no_fallback():
        output, states = module(x)
        output.sum().backward()
    for tensor in (output, *(states if isinstance(states, tuple) else (states,))):
        assert tensor.dtype == torch.bfloat16
    torch.testing.assert_close(output.float(), full, rtol=5e-2, atol=5e-2)
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in module.parameters())


def test_errors_of_layers():
    states, parameters = layer_arguments("gru", 3, 4, 1, 2, dtype=torch.float32)
    x = torch.randn(4, 2, 3)

    def run(x, h, *w):
        return run_layer("gru", x, [h], w)

    wrong = torch.randn(4, 2, 5)
    assert_same_error(run, wrong, *states, *parameters, text="shapes cannot be multiplied")
    assert_same_error(run, x, *states, *parameters[:3])
    assert_same_error(run, torch.randn(0, 2, 3), *states, *parameters)
    with pytest.raises(RuntimeError, match="not at the same device"):
        run(x.to("alt"), states[0].to("alt"), *parameters)


CELLS = {nn.LSTMCell: 4, nn.GRUCell: 3, nn.RNNCell: 1}


def cell_loop(module, x, states=None):
    outputs = []
    for step in x:
        states = module(step, states)
        outputs.append(states[0] if isinstance(states, tuple) else states)
    return torch.stack(outputs)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("bias", [True, False])
def test_loops_that_share_weights(cell, bias):
    """Two loops and a loop over the first's outputs: one gradient a weight, of all of them."""

    def run(module, device):
        torch.manual_seed(1)
        x, y = torch.randn(5, 3, 6).to(device), torch.randn(4, 2, 6).to(device)
        first = cell_loop(module, x)
        return [cell_loop(module, first), cell_loop(module, y)]

    assert_module_agrees(lambda: cell(6, 6, bias=bias), run)


@pytest.mark.parametrize("cell", CELLS)
def test_loop_of_many_rows(cell):
    """The steps' rows are joined by some hundred for the gradients of the weights."""

    def run(module, device):
        torch.manual_seed(1)
        return cell_loop(module, torch.randn(7, 100, 6).to(device))

    assert_module_agrees(lambda: cell(6, 9), run)


def test_weights_of_a_loop_get_one_gradient_a_backward_pass():
    torch.manual_seed(0)
    module = nn.LSTMCell(4, 5).to("alt")
    calls = []
    module.weight_hh.register_hook(lambda g: calls.append(g.clone()))
    x = torch.randn(6, 3, 4, device="alt")
    output = cell_loop(module, x)
    output[:3].sum().backward(retain_graph=True)
    output[3:].sum().backward(retain_graph=True)
    halves = module.weight_hh.grad.clone()
    module.zero_grad()
    output.sum().backward()
    torch.testing.assert_close(halves, module.weight_hh.grad)
    assert len(calls) == 3
    torch.testing.assert_close(calls[0] + calls[1], calls[2])


def test_an_old_graph_does_not_disturb_a_new_one():
    torch.manual_seed(0)
    module = nn.GRUCell(4, 5).to("alt")
    x = torch.randn(6, 3, 4, device="alt")
    old = cell_loop(module, x).sum()
    new = cell_loop(module, x).sum()
    parameters = list(module.parameters())
    first = torch.autograd.grad(new, parameters)
    second = torch.autograd.grad(old, parameters)
    for a, b in zip(first, second, strict=True):
        assert torch.equal(a, b)
    with torch.no_grad():
        for p in parameters:
            p.add_(1e-3)
    third = torch.autograd.grad(cell_loop(module, x).sum(), parameters)
    assert not torch.equal(first[0], third[0])


@pytest.mark.parametrize("cell", CELLS)
def test_loop_with_weights_that_are_computed_or_frozen(cell):
    """A weight that is no leaf, one that wants no gradient, a backward pass inside another."""
    torch.manual_seed(0)
    function = {nn.LSTMCell: torch.lstm_cell, nn.GRUCell: torch.gru_cell}.get(
        cell, torch.rnn_tanh_cell
    )
    rows = CELLS[cell] * 4
    w_ih, w_hh = torch.randn(rows, 3).double(), torch.randn(rows, 4).double() * 0.5
    x, h = torch.randn(5, 2, 3).double(), torch.randn(2, 4).double()

    def run(x, h, w_ih, w_hh):
        scaled = w_hh * 0.7
        state = (h, h.tanh()) if cell is nn.LSTMCell else h
        outputs = []
        for step in x:
            state = function(step, state, w_ih, scaled)
            outputs.append(state[0] if isinstance(state, tuple) else state)
        return torch.stack(outputs)

    for frozen in (None, 0, 1, 2, 3):
        given = [t.clone().requires_grad_(i != frozen) for i, t in enumerate((x, h, w_ih, w_hh))]
        assert_agrees(run, *given, double_backward=True)

    def penalised(x, h, w_ih, w_hh):
        output = run(x, h, w_ih, w_hh)
        (inner,) = torch.autograd.grad(output.sin().sum(), x, create_graph=True)
        return output.sum() + inner.square().sum()

    assert_agrees(penalised, *(t.clone().requires_grad_() for t in (x, h, w_ih, w_hh)))


def test_checkpointed_steps():
    from torch.utils.checkpoint import checkpoint

    def run(module, device):
        torch.manual_seed(1)
        x = torch.randn(5, 3, 4).to(device)
        h = torch.zeros(3, 5, device=device)
        for i, step in enumerate(x):
            h = module(step, h) if i % 2 else checkpoint(module, step, h, use_reentrant=False)
        return [h]

    assert_module_agrees(lambda: nn.GRUCell(4, 5), run)


def test_a_loop_saves_no_more_than_its_gates_and_states():
    steps, batch, hidden = 20, 4, 64
    module = nn.LSTMCell(hidden, hidden).to("alt")
    x = torch.randn(steps, batch, hidden, device="alt")
    before = torch.alt.memory_allocated()
    state = None
    for step in x:
        state = module(step, state)
    held = torch.alt.memory_allocated() - before
    assert held <= (6 * steps + 2) * batch * hidden * 4 + 64 * 3 * steps
    assert state[0].grad_fn is not None


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_without_gradients_many_rows_need_no_buffer_of_gates(kind, dtype):
    torch.manual_seed(0)
    for hidden, bidirectional in ((21, True), (32, False), (3, True)):
        layer = kind(5, hidden, bidirectional=bidirectional, dtype=dtype)
        lengths = torch.tensor([9] * 6 + [5] * 10 + [2] * 7)
        padded = torch.randn(9, 23, 5, dtype=dtype)
        on_alt = copy.deepcopy(layer).to("alt")
        for x in (padded, nn.utils.rnn.pack_padded_sequence(padded, lengths)):
            with torch.no_grad():
                expected, result = layer(x), on_alt(x.to("alt"))
            torch.testing.assert_close(torch_data(result), torch_data(expected))


def torch_data(outcome):
    """The tensors that a recurrent layer returns, on the cpu."""
    output, states = outcome
    output = output.data if isinstance(output, nn.utils.rnn.PackedSequence) else output
    states = states if isinstance(states, tuple) else (states,)
    return [t.cpu() for t in (output, *states)]
