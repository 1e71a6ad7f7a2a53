"""Copies between all dtypes at any stride, 8-bit floats among them."""

import pytest
import torch

import altbackend

FLOAT8 = (
    torch.float8_e4m3fn, torch.float8_e4m3fnuz, torch.float8_e5m2, torch.float8_e5m2fnuz,
    torch.float8_e8m0fnu,
)  # fmt: skip
DTYPES = (
    *FLOAT8, torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.bool, torch.uint8,
    torch.int8, torch.int16, torch.int32, torch.int64, torch.uint16, torch.uint32, torch.uint64,
    torch.complex32, torch.complex64, torch.complex128,
)  # fmt: skip


def numbers(dtype: torch.dtype) -> torch.Tensor:
    """Numbers that every dtype holds: small powers of two, of which the unsigned have no sign."""
    return torch.tensor([1.0, 2.0, 4.0, 1.0, 8.0, 2.0, 1.0, 4.0, 2.0] * 9).to(dtype)


@pytest.mark.parametrize("source", DTYPES, ids=str)
@pytest.mark.parametrize("step", [1, 2, 3])
def test_conversions_at_any_stride(source: torch.dtype, step: int) -> None:
    expected = numbers(torch.float64)[::step]
    with altbackend.no_fallback():
        given = numbers(source).to("alt")[::step]
        for dtype in DTYPES:
            target = torch.zeros(len(expected) * 2, dtype=dtype).to("alt")[::2]
            for result in (given.to(dtype), target.copy_(given)):
                assert result.dtype == dtype
                values = result.cpu().to(torch.complex128)
                wanted = expected.to(torch.bool) if torch.bool in (source, dtype) else expected
                assert torch.equal(values, wanted.to(torch.complex128)), dtype


@pytest.mark.parametrize("step", [1, 3])
def test_any_byte_but_0_is_true(step: int) -> None:
    truths = torch.tensor([2, 0, 1, 255, 0, 7] * 40, dtype=torch.uint8).view(torch.bool)
    given = truths.to("alt")
    with altbackend.no_fallback():
        for dtype in DTYPES:
            converted = given[::step].to(dtype).cpu().to(torch.complex128)
            expected = truths[::step].to(dtype).to(torch.complex128)
            assert torch.equal(converted, expected), dtype


@pytest.mark.parametrize("dtype", FLOAT8, ids=str)
def test_float8_rounds_as_stock(dtype: torch.dtype) -> None:
    x = torch.randn(100, generator=torch.Generator().manual_seed(0)) * 30
    with altbackend.no_fallback():
        rounded = x.to("alt").to(dtype)
        assert torch.equal(rounded.view(torch.uint8).cpu(), x.to(dtype).view(torch.uint8))
        filled = torch.full((3,), 2.0, dtype=dtype, device="alt")
        assert filled.float().tolist() == [2.0] * 3
        assert filled[0].item() == 2.0


def test_a_zero_tensor_is_copied() -> None:
    zero = torch._efficientzerotensor((3,), device="alt")
    target = torch.ones(3, device="alt")
    assert target.copy_(zero).tolist() == [0.0, 0.0, 0.0]
