"""``python -m altbackend info``: what is installed here, and how it is set."""

from __future__ import annotations

import json
import os
import platform
from typing import Any

import torch

import altbackend
import altbackend.alt as alt
from altbackend import _C, _build_info, _compatible


def collect() -> dict[str, Any]:
    """Everything that ``info`` shows. Amounts of memory are bytes."""
    build = _C.build_info()
    return {
        "versions": {
            "altbackend": altbackend.__version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
        "build": {
            "torch": build["torch_version"],
            "arch": build["arch"],
            "compiler": build["compiler"],
            "cpu_features": list(_build_info.CPU_FEATURES),
            "extension": str(_C.__spec__.origin) if _C.__spec__ else "",
        },
        "engine": _C.engine(),
        "threads": _C.num_threads(),
        "fallback": _C.get_fallback_mode(),
        "devices": [_device(index) for index in range(alt.device_count())],
        "environment": {name: os.environ.get(name) for name in sorted(_compatible.ENVIRONMENT)},
    }


def _device(index: int) -> dict[str, Any]:
    free, total = alt.mem_get_info(index)
    return {
        "device": f"alt:{index}",
        "name": alt.get_device_name(index),
        "memory_total": total,
        "memory_free": free,
        "memory_limit": _C.get_memory_limit(index),
        "memory_allocated": alt.memory_allocated(index),
        "memory_reserved": alt.memory_reserved(index),
        "initial_seed": alt.default_generator(index).initial_seed(),
    }


def as_json() -> str:
    """The report for programs."""
    return json.dumps(collect(), indent=2)


def as_text() -> str:
    """The report for people."""
    info = collect()
    versions, build, engine = info["versions"], info["build"], info["engine"]
    lines = [
        f"altbackend {versions['altbackend']}, torch {versions['torch']}, "
        f"Python {versions['python']}",
        "",
        f"built for    torch {build['torch']}, ALT_ARCH={build['arch']}",
        f"compiler     {build['compiler']}",
        f"needs        {', '.join(build['cpu_features']) or 'no particular instructions'}",
        f"extension    {build['extension']}",
        f"engine       {engine['name']} ({engine['reason']})",
        f"threads      {info['threads']}",
        f"fallback     {info['fallback']}",
        "",
    ]
    for device in info["devices"]:
        lines += [
            f"{device['device']:<12} {device['name']}",
            f"             {_gib(device['memory_free'])} free of {_gib(device['memory_total'])}, "
            f"limit {_limit(device)}; tensors hold {_gib(device['memory_allocated'])}, "
            f"the allocator {_gib(device['memory_reserved'])}",
        ]
    lines += ["", "settings"]
    for name, value in info["environment"].items():
        lines.append(f"  {name:<18} {'not set' if value is None else value}")
    return "\n".join(lines)


def _limit(device: dict[str, Any]) -> str:
    limit = device["memory_limit"]
    return _gib(limit) if 0 <= limit < device["memory_total"] else "none"


def _gib(amount: int) -> str:
    return f"{amount / 2**30:.2f} GiB"
