"""torch.fft, and stft and istft above it, against cpu."""

from __future__ import annotations

import itertools

import pytest
import torch
from agreement import (
    assert_agrees,
    assert_same_error,
    check_op_samples,
    noncontiguous,
    op_samples,
)

NORMS = [None, "ortho", "forward"]
# A power of two, composites, primes (31 and below, and above), and the trivial.
LENGTHS = [1, 2, 3, 8, 12, 31, 37, 60, 97, 128]


@pytest.mark.parametrize(
    ("op", "dtype"),
    op_samples(
        [
            *(
                f"fft.{inverse}{kind}{dims}"
                for inverse in ("", "i")
                for kind in ("fft", "hfft", "rfft")
                for dims in ("", "2", "n")
            ),
            "fft.fftshift",
            "fft.ifftshift",
            "istft",
        ],
        [torch.float64, torch.complex64, torch.int32],
    ),
)
def test_samples(op, dtype):
    check_op_samples(op, dtype, factor=4, most=12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("norm", NORMS)
def test_lengths(norm, dtype):
    torch.manual_seed(0)
    for n in LENGTHS:
        x = torch.randn(3, n, dtype=dtype)
        z = torch.complex(x, torch.randn(3, n, dtype=dtype))
        for function in (torch.fft.fft, torch.fft.ifft, torch.fft.rfft, torch.fft.ihfft):
            assert_agrees(lambda t, f=function: f(t, norm=norm), x, factor=4)
        for function in (torch.fft.fft, torch.fft.ifft):
            assert_agrees(lambda t, f=function: f(t, norm=norm), z, factor=4)
        for function, length in itertools.product(
            (torch.fft.irfft, torch.fft.hfft), {max(1, 2 * n - 2), 2 * n - 1}
        ):
            assert_agrees(lambda t, f=function, k=length: f(t, n=k, norm=norm), z, factor=4)


@pytest.mark.parametrize("dim", [(0,), (1,), (2,), (0, 1), (2, 0), (1, 2), (2, 1, 0), (0, 1, 2)])
def test_dims_and_strides(dim):
    torch.manual_seed(0)
    x = torch.randn(4, 5, 6, dtype=torch.float64)
    z = torch.randn(4, 5, 6, dtype=torch.complex128)
    layouts = [lambda t: t, lambda t: t.permute(2, 0, 1), lambda t: t[::2, 1:, ::3].mT]
    for layout in layouts:
        assert_agrees(lambda t, v=layout: torch.fft.fftn(v(t), dim=dim), x)
        assert_agrees(lambda t, v=layout: torch.fft.rfftn(v(t), dim=dim), x)
        assert_agrees(lambda t, v=layout: torch.fft.fftn(v(t), dim=dim), z)
        assert_agrees(lambda t, v=layout: torch.fft.ifftn(v(t), dim=dim, norm="ortho"), z)
        assert_agrees(lambda t, v=layout: torch.fft.irfftn(v(t), dim=dim), z)
        assert_agrees(lambda t, v=layout: torch.fft.hfftn(v(t), dim=dim), z)
    for function in (torch.fft.fftn, torch.fft.irfftn):
        assert_agrees(lambda t, f=function: f(t.conj(), dim=dim), noncontiguous(z), strides=False)
        assert_agrees(lambda t, f=function: f(t.expand(2, 5, 6), dim=dim), z[:1])


def test_many_lanes():
    """More lanes than a thread's share, contiguous and not."""
    torch.manual_seed(0)
    x = torch.randn(130, 140, dtype=torch.float64)
    for dim in (0, 1):
        assert_agrees(lambda t, d=dim: torch.fft.fft(t, dim=d), x)
        assert_agrees(lambda t, d=dim: torch.fft.irfft(torch.fft.rfft(t, dim=d), dim=d), x)
    assert_agrees(torch.fft.fft2, x)


def test_gradients():
    torch.manual_seed(0)
    x = torch.randn(3, 6, 7, dtype=torch.float64, requires_grad=True)
    for function in (
        torch.fft.rfft2,
        torch.fft.fftn,
        lambda t: torch.fft.irfft(t, n=5),
        lambda t: torch.fft.irfft2(t),
    ):
        assert_agrees(lambda t, f=function: torch.view_as_real(f(t) + 0j), x, double_backward=True)


@pytest.mark.parametrize("shape", [(0,), (3, 9), (3, 6)])
def test_out(shape):
    torch.manual_seed(0)
    x = torch.randn(3, 9, dtype=torch.float64)
    complex_out = torch.empty(shape, dtype=torch.complex128)
    real_out = torch.empty(shape, dtype=torch.float64)
    for function in (torch.fft.fft, torch.fft.ifft):
        assert_agrees(lambda t, o, f=function: f(t + 0j, out=o), x, complex_out)
        assert_agrees(lambda t, o, f=function: f(t, out=o), x, complex_out)
    assert_agrees(lambda t, o: torch.fft.rfft(t, out=o), x, complex_out)
    assert_agrees(lambda t, o: torch.fft.irfft(t + 0j, out=o), x, real_out)


BAD_INPUT = {
    "no_points": lambda x: torch.fft.fft(x[:0], dim=0),
    "no_lanes": lambda x: torch.fft.fft(x[:0], dim=1),
    "no_lanes_rfft": lambda x: torch.fft.rfft(x[:0], dim=1),
    "no_lanes_irfft": lambda x: torch.fft.irfft(x[:0], dim=1),
    "n_zero": lambda x: torch.fft.fft(x, n=0),
    "irfft_zero": lambda x: torch.fft.irfft(x[:, :1]),
    "dim": lambda x: torch.fft.fft(x, dim=2),
    "twice": lambda x: torch.fft.fftn(x, dim=(0, 0)),
    "norm": lambda x: torch.fft.fft(x, norm="backwards"),
    "half": lambda x: torch.fft.fft(x.half()),
    "bfloat16": lambda x: torch.fft.rfft(x.bfloat16()),
    "complex_rfft": lambda x: torch.fft.rfft(x + 0j),
    "r2c_of_complex": lambda x: torch._fft_r2c(x + 0j, [0], 0, True),
    "c2c_of_real": lambda x: torch._fft_c2c(x, [0], 0, True),
    "c2r_of_real": lambda x: torch._fft_c2r(x, [0], 0, 4),
    "out_dtype": lambda x: torch.fft.fft(x, out=torch.empty(0, device=x.device)),
}


@pytest.mark.parametrize("name", BAD_INPUT)
def test_bad_input(name):
    assert_same_error(BAD_INPUT[name], torch.ones(3, 4))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_stft(dtype):
    torch.manual_seed(0)
    signal = torch.randn(2, 200, dtype=dtype)
    padded = {"pad_mode": "constant"}
    window = torch.hann_window(32, dtype=dtype)

    def there(x, w, **options):
        return torch.stft(x, 32, hop_length=8, window=w, return_complex=True, **options)

    for options in ({}, {"normalized": True}, {"onesided": False}, {"center": False}):
        assert_agrees(lambda x, w, o=options: there(x, w, **padded, **o), signal, window, factor=4)
    assert_agrees(
        lambda x, w: torch.istft(there(x, w, **padded), 32, hop_length=8, window=w, length=200),
        signal.requires_grad_(),
        window,
        factor=4,
    )
