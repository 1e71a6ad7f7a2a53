"""The steps that programs are made of, as hypothesis strategies.

Steps are drawn without looking at shapes: one that stock refuses must be refused by alt with the
same exception, and the program goes on without it.
"""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st

from conformance.fuzz.program import Step

DTYPES = (
    "float32", "float64", "float16", "bfloat16", "int64", "int32", "int8", "uint8", "bool",
    "complex64",
)  # fmt: skip
UNARY = ("abs", "neg", "exp", "tanh", "sigmoid", "sin", "square", "relu", "floor", "sign", "sqrt")
BINARY = ("+", "-", "*", "/", "<", "==", ">=")
METHODS = ("maximum", "minimum", "matmul", "lerp", "atan2", "pow")
REDUCTIONS = ("sum", "mean", "amax", "amin", "prod", "std", "argmax", "any", "all", "cumsum")
VIEWS = (
    "{t}.t()", "{t}.transpose(0, -1)", "{t}[{i}]", "{t}[{i}:]", "{t}[::2]", "{t}[..., {i}:]",
    "{t}.unsqueeze({i})", "{t}.squeeze()", "{t}.expand(2, *{t}.shape)", "{t}.reshape(-1)",
    "{t}.flatten()", "{t}.view(-1)", "{t}.diagonal()", "{t}.unfold(0, 2, 1)", "{t}.movedim(0, -1)",
    "{t}.flip(0)", "{t}.narrow(0, {i}, 1)", "{t}.detach()",
    "{t}.permute(*reversed(range({t}.dim())))",
)  # fmt: skip
INPLACE = (
    "{t}.add_({n})", "{t}.mul_({u})", "{t}.fill_({n})", "{t}.zero_()", "{t}.copy_({u})",
    "{t}[{i}] = {n}", "{t}[{t} > 0] = {n}", "{t}.clamp_(min={n})", "{t}.masked_fill_({t} < 0, {n})",
    "{t}.t_()", "{t}.index_fill_(0, torch.tensor([{i}], device=device), {n})",
)  # fmt: skip
INDEXING = (
    "{t}[torch.tensor([{i}, 0], device=device)]", "{t}[{t} > {n}]", "{t}[:, torch.tensor([{i}])]",
    "{t}.index_select(0, torch.tensor([{i}, {i}], device=device))", "{t}.nonzero()",
    "{t}.gather(0, torch.zeros_like({t}, dtype=torch.int64))", "torch.cat([{t}, {u}])",
    "torch.stack([{t}, {t}])", "torch.where({t} > 0, {t}, {u})", "{t}.sort(0).values",
    "{t}.topk(1, 0).values", "{t}.roll(1, 0)", "{t}.tril()",
)  # fmt: skip
COPIES = ("{t}.cpu().clone().to(device)", "{t}.clone()", "{t}.contiguous()")
AUTOGRAD = (
    "{t}.requires_grad_()", "{t}.sum().backward()", "({t} * {t}).mean().backward()",
    "{t}.detach_()",
)  # fmt: skip

sizes = st.lists(st.integers(0, 5), min_size=0, max_size=4)
numbers = st.sampled_from([0, 1, -2, 3, 0.5])


def creation(dtypes: Sequence[str]) -> st.SearchStrategy[Step]:
    """A new tensor, drawn on the CPU from a fixed seed and moved."""

    def make(size: list[int], dtype: str, seed: int) -> Step:
        generator = f"torch.Generator().manual_seed({seed})"
        drawn = f"torch.randn({size}, generator={generator})"
        return Step(f"({drawn} * 3).to(torch.{dtype}).to(device)", makes=True)

    return st.builds(make, sizes, st.sampled_from(dtypes), st.integers(0, 9))


@st.composite
def step(draw: st.DrawFn, tensors: int, dtypes: Sequence[str]) -> Step:
    """Any step over the tensors t0 ... t(tensors - 1)."""
    if tensors == 0 or draw(st.integers(0, 7)) == 0:
        return draw(creation(dtypes))
    values = {
        "t": f"t{draw(st.integers(0, tensors - 1))}",
        "u": f"t{draw(st.integers(0, tensors - 1))}",
        "i": draw(st.integers(0, 3)),
        "n": draw(numbers),
    }
    kind = draw(st.integers(0, 8))
    if kind == 0:
        return Step(f"{values['t']}.{draw(st.sampled_from(UNARY))}()", makes=True)
    if kind == 1:
        other = draw(st.sampled_from([values["u"], str(values["n"])]))
        return Step(f"{values['t']} {draw(st.sampled_from(BINARY))} {other}", makes=True)
    if kind == 2:
        name = draw(st.sampled_from(REDUCTIONS))
        arguments = draw(st.sampled_from(["", "0", "-1"])) if name != "cumsum" else "0"
        return Step(f"{values['t']}.{name}({arguments})", makes=True)
    if kind == 3:
        method = draw(st.sampled_from(METHODS))
        more = ", 0.25" if method == "lerp" else ""
        return Step(f"{values['t']}.{method}({values['u']}{more})", makes=True)
    if kind == 4:
        return Step(f"{values['t']}.to(torch.{draw(st.sampled_from(dtypes))})", makes=True)
    if kind == 5:
        return Step(draw(st.sampled_from(COPIES)).format(**values), makes=True)
    if kind == 6:
        return Step(draw(st.sampled_from(INPLACE + AUTOGRAD)).format(**values), makes=False)
    table = VIEWS if kind == 7 else INDEXING
    return Step(draw(st.sampled_from(table)).format(**values), makes=True)
