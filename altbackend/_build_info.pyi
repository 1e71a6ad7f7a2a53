"""Written by the build as _build_info.py: what it needs of a machine."""

TORCH_VERSION: str
ARCH: str
CPU_FEATURES: list[str]
