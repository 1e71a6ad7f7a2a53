"""dtypes by the names that torch and NumPy give them, and what they are in a kernel."""

from __future__ import annotations

CPP = {
    "bool": "bool",
    "uint8": "uint8_t",
    "int8": "int8_t",
    "int16": "int16_t",
    "int32": "int32_t",
    "int64": "int64_t",
    "uint16": "uint16_t",
    "uint32": "uint32_t",
    "uint64": "uint64_t",
    "float16": "alt::Half",
    "bfloat16": "alt::BFloat16",
    "float32": "float",
    "float64": "double",
    "complex32": "alt::ComplexHalf",
    "complex64": "c10::complex<float>",
    "complex128": "c10::complex<double>",
}
SIZES = {
    "bool": 1,
    "uint8": 1,
    "int8": 1,
    "int16": 2,
    "int32": 4,
    "int64": 8,
    "uint16": 2,
    "uint32": 4,
    "uint64": 8,
    "float16": 2,
    "bfloat16": 2,
    "float32": 4,
    "float64": 8,
    "complex32": 4,
    "complex64": 8,
    "complex128": 16,
}
_COMPUTED_IN = {"float16": "float32", "bfloat16": "float32", "complex32": "complex64"}


def opmath(dtype: str) -> str:
    """The dtype that arithmetic on `dtype` is done in."""
    return _COMPUTED_IN.get(dtype, dtype)
