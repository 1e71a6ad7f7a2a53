"""alt's operators on the CUDA engine, simulated, against the same operators on the CPU.

Each test is a process whose engine is CUDA (tests/cuda_engine.py), and what it computes on `alt`
falls back neither on stock nor on the host engine. Inputs are op_db's where it has some.
"""

from __future__ import annotations

import pytest
from cuda_engine import on_cuda

# `same(name)` runs op_db's samples of an operator on both devices, and says how many there were.
PREAMBLE = """
import torch
from torch.testing._internal.common_methods_invocations import op_db

torch.manual_seed(0)
functional = torch.nn.functional

def moved(value, device, dtype=None):
    if isinstance(value, torch.Tensor):
        return value.detach().to(device)
    if isinstance(value, (list, tuple)):
        return type(value)(moved(v, device) for v in value)
    if isinstance(value, dict):
        return {k: moved(v, device) for k, v in value.items()}
    return value

def flat(result):
    if isinstance(result, torch.Tensor):
        return [result]
    if isinstance(result, (list, tuple)):
        return [t for r in result for t in flat(r)]
    return []

def agree(ours, theirs, bound, where):
    ours, theirs = flat(ours), flat(theirs)
    assert len(ours) == len(theirs), where
    for a, b in zip(ours, theirs):
        assert a.device.type == "alt", where
        torch.testing.assert_close(
            a.cpu(), b, rtol=bound, atol=bound, equal_nan=True, msg=lambda m: f"{where}: {m}"
        )

def same(name, dtype=torch.float32, bound=1e-4, grad=True, most=8, variant="", skip=None):
    op = next(o for o in op_db if o.name == name and o.variant_test_name == variant)
    samples = list(op.sample_inputs("cpu", dtype, requires_grad=grad))
    if skip is not None:
        samples = [s for s in samples if not skip(s)]
    samples = samples[:: -(-len(samples) // most) | 1]
    assert samples, name
    for s in samples:
        where = f"{name} {s}"
        results, leaves = [], []
        for device in ("cpu", "alt"):
            given = moved([s.input, list(s.args), s.kwargs], device)
            before = flat([s.input, list(s.args)])
            after = flat(given[:2])
            leaves.append([t for t, old in zip(after, before) if old.requires_grad])
            for t in leaves[-1]:
                t.requires_grad_()
            results.append(op.op(given[0], *given[1], **given[2]))
        cpu, alt = results
        agree([t.detach() for t in flat(alt)], [t.detach() for t in flat(cpu)], bound, where)
        pairs = [(a, b) for a, b in zip(flat(alt), flat(cpu)) if b.requires_grad]
        if grad and pairs:
            seeds = [torch.randn_like(b) for _, b in pairs]
            ours = torch.autograd.grad(
                [a for a, _ in pairs], leaves[1], moved(seeds, "alt"), allow_unused=True
            )
            theirs = torch.autograd.grad(
                [b for _, b in pairs], leaves[0], seeds, allow_unused=True
            )
            for a, b in zip(ours, theirs):
                assert (a is None) == (b is None), where
                if b is not None:
                    agree(a, b, 4 * bound, f"gradient of {where}")
    print(name, len(samples))
"""


def run(code: str) -> str:
    return on_cuda(PREAMBLE + code, ALT_FALLBACK="forbid")


def names(*given: str) -> str:
    return "".join(f"same({name!r})\n" for name in given)


def test_softmax_and_losses() -> None:
    run(
        names(
            "softmax", "log_softmax", "nn.functional.nll_loss", "nn.functional.binary_cross_entropy"
        )
        + """
x = torch.randn(2, 3, 4, 5)
target = torch.randint(0, 3, (2, 4, 5))
for reduction in ("none", "sum", "mean"):
    theirs = functional.cross_entropy(x, target, reduction=reduction)
    ours = functional.cross_entropy(x.to("alt"), target.to("alt"), reduction=reduction)
    agree(ours, theirs, 1e-5, reduction)
"""
    )


def test_products() -> None:
    run(
        names("mm", "bmm", "addmm", "baddbmm", "addmv", "mv", "matmul", "nn.functional.linear")
        + """
same("mm", torch.complex64, grad=False)
same("addmm", torch.float64, 1e-10)
same("mm", torch.bfloat16, 2e-2, grad=False)
for dtype in (torch.int32, torch.uint8):
    a, b = torch.randint(0, 99, (5, 4)).to(dtype), torch.randint(0, 99, (4, 3)).to(dtype)
    agree(a.to("alt") @ b.to("alt"), a @ b, 0, "integers")
x, y = torch.randn(9, dtype=torch.complex64), torch.randn(9, dtype=torch.complex64)
agree(torch.vdot(x.to("alt"), y.to("alt")), torch.vdot(x, y), 1e-5, "vdot")
"""
    )


def test_convolution_and_pooling() -> None:
    run(
        names(
            "nn.functional.conv1d", "nn.functional.conv2d", "nn.functional.conv_transpose2d",
            "nn.functional.max_pool2d", "nn.functional.avg_pool2d",
            "nn.functional.adaptive_avg_pool2d", "nn.functional.adaptive_max_pool2d",
        )
        + """
x, w = torch.randint(-9, 9, (1, 2, 5, 5)), torch.randint(-9, 9, (3, 2, 3, 3))
agree(functional.conv2d(x.to("alt"), w.to("alt")), functional.conv2d(x, w), 0, "integers")
x = torch.randn(2, 3, 8, 8).to(memory_format=torch.channels_last)
w = torch.randn(4, 3, 3, 3)
ours, theirs = functional.conv2d(x.to("alt"), w.to("alt")), functional.conv2d(x, w)
assert ours.stride() == theirs.stride()
agree(ours, theirs, 1e-4, "channels last")
"""
    )  # fmt: skip


def test_normalisation() -> None:
    run(
        names(
            "nn.functional.batch_norm", "nn.functional.layer_norm", "nn.functional.group_norm",
            "nn.functional.instance_norm",
        )
        + """
x = torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last)
running = [torch.zeros(3), torch.ones(3)]
mine = [t.to("alt") for t in running]
theirs = functional.batch_norm(x, *running, training=True)
ours = functional.batch_norm(x.to("alt"), *mine, training=True)
agree([ours, *mine], [theirs, *running], 1e-5, "running statistics")
"""
    )  # fmt: skip


def test_indexing() -> None:
    run(
        names("gather", "scatter_add", "index_select", "index_add", "index_copy",
              "index_fill", "__getitem__", "index_put", "take", "masked_fill", "masked_select",
              "nn.functional.embedding", "nn.functional.embedding_bag", "cat", "stack", "flip",
              "roll", "tril", "triu")
        + """
same("scatter", grad=False)
same("scatter_reduce", variant="amax", grad=False)
same("scatter_reduce", variant="prod", grad=False)
x = torch.randn(3, 4, dtype=torch.complex64)
index = torch.tensor([0, 2, 0])
for accumulate in (False, True):
    ours, theirs = x.to("alt"), x.clone()
    values = torch.randn(2, 4, dtype=torch.complex64)
    where = index[:2]
    ours.index_put_((where.to("alt"),), values.to("alt"), accumulate)
    theirs.index_put_((where,), values, accumulate)
    agree(ours, theirs, 1e-6, "complex")
try:
    print(torch.ones(3, device="alt")[torch.tensor([3], device="alt")].cpu())
except IndexError as error:
    assert "index 3 is out of bounds" in str(error), error
else:
    raise AssertionError("an index out of range was not raised")
"""
    )  # fmt: skip


def test_order_and_transforms() -> None:
    run(
        """
no = {"grad": False}
for name in ("sort", "topk", "cumsum", "cumprod", "cummax", "cummin", "logcumsumexp", "nonzero",
             "kthvalue", "searchsorted", "bincount"):
    same(name, torch.int64 if name == "bincount" else torch.float32, **no)
same("median", grad=False, skip=lambda s: not s.args and not s.kwargs)
same("unique_consecutive", grad=False, skip=lambda s: s.kwargs.get("dim") is not None)
x = torch.randint(0, 5, (4, 6))
agree(torch.unique(x.to("alt"), return_inverse=True, return_counts=True),
      torch.unique(x, return_inverse=True, return_counts=True), 0, "unique")
for name in ("fft.fft", "fft.rfft", "fft.irfft", "fft.fftn", "fft.ifft2"):
    same(name, torch.float32 if "rfft" in name else torch.complex64, grad=False)
for make in (
    lambda d: torch.arange(-3, 9, 2, device=d),
    lambda d: torch.arange(0.5, 4, 0.25, device=d),
    lambda d: torch.linspace(-2, 5, 9, device=d),
    lambda d: torch.linspace(1, 2j, 5, dtype=torch.complex64, device=d),
    lambda d: torch.linspace(0, 10, 7, dtype=torch.int32, device=d),
    lambda d: torch.logspace(0, 3, 7, device=d),
):
    agree(make("alt"), make("cpu"), 1e-5, "sequence")
agree(torch.eye(3, device="alt"), torch.eye(3), 0, "eye")
agree(torch.tril_indices(3, 4, device="alt"), torch.tril_indices(3, 4), 0, "tril_indices")
"""
    )


def test_linear_systems() -> None:
    """LAPACK plays cuSOLVER, so that even signs agree."""
    run(
        """
for name in ("linalg.cholesky", "linalg.inv", "linalg.solve"):
    same(name, bound=1e-3, most=4)
for name in ("linalg.det", "linalg.slogdet", "linalg.lu_factor", "linalg.lu", "lu_solve",
             "triangular_solve", "cholesky_inverse", "linalg.solve_triangular", "cholesky_solve"):
    same(name, bound=1e-3, most=4, grad=False)
for name in ("linalg.cholesky", "linalg.solve", "linalg.solve_triangular", "cholesky_solve"):
    same(name, torch.complex64, 1e-3, most=4, grad=False)
"""
    )


def test_factorizations() -> None:
    run(
        """
bound = 1e-3
for name in ("linalg.eigvalsh", "linalg.svdvals", "matrix_exp", "linalg.pinv"):
    same(name, bound=bound, most=4, grad=False)
for dtype in (torch.float32, torch.complex64):
    for name in ("geqrf", "ormqr", "linalg.householder_product", "linalg.qr", "linalg.eigh"):
        same(name, dtype, bound, most=4, grad=False)
    for shape in ((5, 3), (3, 5), (2, 2, 3, 6), (0, 3), (2, 3, 0)):
        a = torch.randn(shape, dtype=dtype)
        for full in (False, True):
            u, s, vh = torch.linalg.svd(a.to("alt"), full_matrices=full)
            theirs = torch.linalg.svd(a, full_matrices=full)
            agree(s, theirs.S, bound, f"svd of {shape}")
            assert [t.shape for t in (u, vh)] == [theirs.U.shape, theirs.Vh.shape]
            assert [t.stride() for t in (u, vh)] == [theirs.U.stride(), theirs.Vh.stride()]
            n = s.shape[-1]
            again = (u[..., :n] * s[..., None, :]) @ vh[..., :n, :]
            agree(again, a, bound, f"its product for {shape}")
            one = torch.eye(u.shape[-1], dtype=dtype).expand(u.mH.shape[:-2] + 2 * u.shape[-1:])
            agree(u.mH @ u, one, bound, f"its left vectors for {shape}")
"""
    )


def test_matrices_that_cannot_be_factored() -> None:
    run(
        """
def refused(call):
    found = []
    for device in ("cpu", "alt"):
        try:
            call(device)
        except Exception as error:
            found.append((type(error), str(error)))
    assert len(found) == 2 and found[0] == found[1], found

singular = torch.tensor([[[1.0, 2.0], [3.0, 4.0]], [[1.0, 2.0], [2.0, 4.0]]])
negative = torch.tensor([[2.0, 0.0], [0.0, -1.0]])
lower = torch.tensor([[1.0, 0.0], [5.0, 0.0]])
pivots = torch.ones(2, dtype=torch.int32)
for call in (
    lambda d: torch.linalg.inv(singular.to(d)),
    lambda d: torch.linalg.inv(singular[1].to(d)),
    lambda d: torch.linalg.solve(singular.to(d), singular.to(d)),
    lambda d: torch.linalg.lu_factor(singular.to(d)) and torch.linalg.inv(lower.to(d)),
    lambda d: torch.linalg.cholesky(negative.to(d)),
    lambda d: torch.linalg.cholesky(torch.stack([negative.abs(), negative]).to(d)),
    lambda d: torch.cholesky_inverse(lower.to(d)),
    lambda d: torch.linalg.lu_solve(lower.to(d), 0 * pivots.to(d), lower.to(d)),
    lambda d: torch.linalg.lu_solve(lower.to(d), 3 * pivots.to(d), lower.to(d)),
    lambda d: torch.linalg.cholesky(torch.ones(2, 2, dtype=torch.int64, device=d)),
    lambda d: torch.linalg.eigh(torch.full((3, 3), float("nan"), device=d)),
):
    refused(call)
for check in (False, True):
    info = torch.linalg.cholesky_ex(negative.to("alt")).info
    assert info.device.type == "alt" and info.item() == 2
assert torch.linalg.inv_ex(singular.to("alt")).info.tolist() == [0, 2]
assert torch.linalg.det(singular.to("alt")).cpu()[1] == 0
"""
    )


def test_linear_algebra_without_cusolver_is_the_host_s() -> None:
    on_cuda(
        PREAMBLE
        + """
import sys, altbackend
sys.modules["cupy_backends.cuda.libs.cusolver"] = None
a = torch.randn(3, 4, 4)
a = a @ a.mT + torch.eye(4)
for call in (torch.linalg.cholesky, torch.linalg.inv, torch.linalg.svdvals,
             torch.linalg.eigvalsh, torch.cholesky_inverse):
    altbackend.reset_fallback_report()
    agree(call(a.to("alt")), call(a), 1e-3, call.__name__)
    assert {row["kind"] for row in altbackend.fallback_report()} == {"host"}, call.__name__
"""
    )


def test_resampling() -> None:
    run(
        """
for variant in ("bilinear", "bicubic", "nearest", "trilinear"):
    same("nn.functional.interpolate", variant=variant, most=5)
for variant in ("reflect", "replicate", "constant", "circular"):
    same("nn.functional.pad", variant=variant, most=5)
same("nn.functional.grid_sample", most=12)
"""
    )


def test_random_numbers() -> None:
    run(
        """
def fills(seed):
    torch.manual_seed(seed)
    x = torch.empty(50, device="alt")
    return torch.stack([x.uniform_(), x.normal_(), x.exponential_(), x.bernoulli_(0.4)]).cpu()

assert torch.equal(fills(1), fills(1)) and not torch.equal(fills(1), fills(2))
state = torch.alt.get_rng_state()
first = torch.rand(4, device="alt").cpu()
torch.alt.set_rng_state(state)
assert torch.equal(first, torch.rand(4, device="alt").cpu())
assert torch.randperm(30, device="alt").sort().values.cpu().tolist() == list(range(30))
assert torch.randint(3, 7, (200,), device="alt").cpu().unique().tolist() == [3, 4, 5, 6]
p = torch.tensor([[0.0, 1.0, 0.0], [0.5, 0.0, 0.5]], device="alt")
drawn = torch.multinomial(p, 40, replacement=True).cpu()
assert (drawn[0] == 1).all() and set(drawn[1].tolist()) == {0, 2}
x = torch.randn(20, 30, device="alt", requires_grad=True)
y = functional.dropout(x, 0.25)
y.sum().backward()
kept = (y != 0).cpu()
assert 0.6 < kept.float().mean() < 0.9
agree(y.detach(), x.detach().cpu() * kept / 0.75, 1e-6, "dropout")
agree(x.grad, kept.float() / 0.75, 1e-6, "its gradient")
"""
    )


def test_recurrent_layers_and_attention() -> None:
    run(
        """
import copy

def compare(module, *inputs, bound=1e-4):
    mine = copy.deepcopy(module).to("alt")
    results = []
    for m, device in ((module, "cpu"), (mine, "alt")):
        given = [t.detach().to(device).requires_grad_() for t in inputs]
        outputs = flat(m(given[0], *( [tuple(given[1:])] if len(given) > 2 else given[1:])))
        sum((o * (i + 1)).sum() for i, o in enumerate(outputs)).backward()
        results.append([*outputs, *(t.grad for t in given), *(p.grad for p in m.parameters())])
    agree([t.detach() for t in results[1]], [t.detach() for t in results[0]], bound, str(module))

nn = torch.nn
compare(nn.LSTMCell(5, 7), torch.randn(3, 5), torch.randn(3, 7), torch.randn(3, 7))
compare(nn.GRUCell(5, 7), torch.randn(3, 5), torch.randn(3, 7))
compare(nn.LSTM(4, 6, num_layers=2, bidirectional=True), torch.randn(3, 2, 4))
compare(nn.GRU(4, 6, batch_first=True), torch.randn(2, 3, 4))

for causal in (False, True):
    q, k, v = (torch.randn(2, 2, 5, 8) for _ in range(3))
    results = []
    for device in ("cpu", "alt"):
        given = [t.detach().to(device).requires_grad_() for t in (q, k, v)]
        y = functional.scaled_dot_product_attention(*given, is_causal=causal)
        (y * y).sum().backward()
        results.append([y.detach(), *(t.grad for t in given)])
    agree(results[1], results[0], 1e-4, "attention")
"""
    )


@pytest.mark.parametrize("fused", [True, False])
def test_training_steps(fused: bool) -> None:
    """LeNet and an LSTM learn alike on both devices, with every optimizer's kernel."""
    run(
        f"""
import copy
nn = torch.nn

class Tagger(nn.Module):
    def __init__(self):
        super().__init__()
        self.words, self.layer = nn.Embedding(11, 6), nn.LSTM(6, 8)
        self.tags = nn.Linear(8, 3)
    def forward(self, x):
        return self.tags(self.layer(self.words(x))[0]).flatten(0, 1)

lenet = nn.Sequential(
    nn.Conv2d(1, 4, 5, padding=2), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2),
    nn.Conv2d(4, 6, 5), nn.Tanh(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(6, 10),
)
tasks = [
    (lenet, torch.randn(4, 1, 12, 12), torch.randint(0, 10, (4,)), torch.optim.SGD,
     dict(lr=0.05, momentum=0.9, nesterov=True)),
    (Tagger(), torch.randint(0, 11, (5, 3)), torch.randint(0, 3, (15,)), torch.optim.AdamW,
     dict(lr=0.01)),
]
for model, x, y, optimizer, options in tasks:
    mine = copy.deepcopy(model).to("alt")
    losses = []
    for m, device in ((model, "cpu"), (mine, "alt")):
        given, wanted = x.to(device), y.to(device)
        steps = optimizer(m.parameters(), fused={fused}, **options)
        losses.append([])
        for _ in range(3):
            steps.zero_grad()
            loss = functional.cross_entropy(m(given), wanted)
            loss.backward()
            norm = nn.utils.clip_grad_norm_(m.parameters(), 10.0)
            steps.step()
            losses[-1].append(loss.detach().cpu().item())
    torch.testing.assert_close(losses[1], losses[0], rtol=1e-3, atol=1e-3)
    for ours, theirs in zip(mine.state_dict().values(), model.state_dict().values()):
        torch.testing.assert_close(ours.cpu(), theirs, rtol=2e-3, atol=2e-3)
    assert losses[1][-1] < losses[1][0]
"""
    )
