"""Sequences and index patterns on alt, to the bit what stock makes on cpu."""

from collections.abc import Callable

import pytest
import torch

import altbackend

FLOATING = [torch.float32, torch.float64, torch.float16, torch.bfloat16]
INTEGRAL = [torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8]
COMPLEX = [torch.complex64, torch.complex128]
# Around the sizes of vectors and of the parts that threads take.
SIZES = [0, 1, 2, 3, 7, 8, 15, 16, 17, 31, 33, 64, 100, 1000]
LONG_SIZES = [32_768, 32_769, 40_001, 100_003]


def identical(actual: torch.Tensor, expected: torch.Tensor) -> None:
    assert actual.device.type == "alt"
    assert actual.dtype == expected.dtype
    assert actual.shape == expected.shape
    assert actual.stride() == expected.stride()
    assert torch.equal(actual.cpu(), expected)


@pytest.mark.parametrize("dtype", [*FLOATING, *INTEGRAL])
@pytest.mark.parametrize("step", [1, 0.1, -0.37, 3])
def test_arange(dtype: torch.dtype, step: float) -> None:
    if not dtype.is_floating_point and step != int(step):
        step = 2 if step > 0 else -2
    for size in SIZES + (LONG_SIZES if dtype.itemsize > 2 else []):
        if dtype.itemsize == 1 and size > 31:
            continue
        for start in (0, 0.3) if dtype.is_floating_point else (0, 3):
            arguments = (start, start + step * size, step)
            with altbackend.no_fallback():
                actual = torch.arange(*arguments, dtype=dtype, device="alt")
            identical(actual, torch.arange(*arguments, dtype=dtype))


@pytest.mark.parametrize("dtype", [*FLOATING, *INTEGRAL, *COMPLEX])
@pytest.mark.parametrize("end", [1, 7.3, 100])
def test_linspace(dtype: torch.dtype, end: float) -> None:
    for size in SIZES + LONG_SIZES:
        with altbackend.no_fallback():
            actual = torch.linspace(0.1, end, size, dtype=dtype, device="alt")
        identical(actual, torch.linspace(0.1, end, size, dtype=dtype))


@pytest.mark.parametrize("dtype", [*FLOATING, *INTEGRAL, *COMPLEX])
@pytest.mark.parametrize("base", [2.0, 10.0])
def test_logspace(dtype: torch.dtype, base: float) -> None:
    # Stock counts in the output's dtype, which for the half types ends where steps of one do.
    for size in [s for s in SIZES if s <= 100]:
        with altbackend.no_fallback():
            actual = torch.logspace(0.1, 2, size, base, dtype=dtype, device="alt")
        identical(actual, torch.logspace(0.1, 2, size, base, dtype=dtype))


@pytest.mark.parametrize("dtype", [*FLOATING, *INTEGRAL])
@pytest.mark.filterwarnings("ignore:torch.range is deprecated")
def test_range(dtype: torch.dtype) -> None:
    step = 0.7 if dtype.is_floating_point else 1
    for size in (1, 5, 16, 33, 100):
        with altbackend.no_fallback():
            actual = torch.range(0.3, size, step, dtype=dtype, device="alt")
        identical(actual, torch.range(0.3, size, step, dtype=dtype))


def test_out_may_be_strided() -> None:
    for function, arguments in (
        (torch.arange, (10,)),
        (torch.linspace, (0, 1, 10)),
        (torch.logspace, (0, 1, 10)),
    ):
        out, reference = torch.zeros(10, 2, device="alt"), torch.zeros(10, 2)
        function(*arguments, out=out[:, 1])
        function(*arguments, out=reference[:, 1])
        identical(out, reference)


@pytest.mark.parametrize("n", [0, 1, 3, 6])
@pytest.mark.parametrize("m", [0, 1, 4, 6])
def test_eye_and_triangles(n: int, m: int) -> None:
    with altbackend.no_fallback():
        for dtype in (torch.float32, torch.int64, torch.bool, torch.complex64):
            identical(torch.eye(n, m, dtype=dtype, device="alt"), torch.eye(n, m, dtype=dtype))
        identical(torch.eye(n, device="alt"), torch.eye(n))
        for offset in range(-8, 9):
            for dtype in (torch.int64, torch.int32):
                for function in (torch.tril_indices, torch.triu_indices):
                    expected = function(n, m, offset, dtype=dtype)
                    identical(function(n, m, offset, dtype=dtype, device="alt"), expected)


@pytest.mark.parametrize(
    "call",
    [
        lambda d: torch.arange(0, 1, 0, device=d),
        lambda d: torch.arange(0, float("nan"), device=d),
        lambda d: torch.arange(3, -3, device=d),
        lambda d: torch.arange(3, dtype=torch.bool, device=d),
        lambda d: torch.linspace(0, 1, -1, device=d),
        lambda d: torch.logspace(0, 1, -1, device=d),
        lambda d: torch.linspace(0, 1, 3, dtype=torch.bool, device=d),
        lambda d: torch.range(0, 1, 0, device=d),
        lambda d: torch.range(0, -1, device=d),
        lambda d: torch.range(0, float("inf"), device=d),
        lambda d: torch.eye(-1, device=d),
        lambda d: torch.tril_indices(-1, 2, device=d),
        lambda d: torch.triu_indices(2, 2, dtype=torch.float32, device=d),
    ],
)
@pytest.mark.filterwarnings("ignore:torch.range is deprecated")
def test_errors(call: Callable[[str], torch.Tensor]) -> None:
    with pytest.raises(Exception) as expected:
        call("cpu")
    with pytest.raises(expected.type) as raised:
        call("alt")
    assert str(raised.value).splitlines()[0] == str(expected.value).splitlines()[0]
