"""NVIDIA GPUs as `nvidia-smi` tells of them: a text for the record, figures while a run goes on."""

from __future__ import annotations

import shutil
import subprocess

NONE = "no GPU\n"
_TIMEOUT = 10.0  # seconds; the driver may have to wake up first
_MB = 1.048576  # of a MiB
_ASKED = ("index", "utilization.gpu", "memory.used", "memory.total", "power.draw")


def gpu_text() -> str:
    """What `nvidia-smi` prints; 'no GPU' where there is none."""
    return _asked() or NONE


def has_gpu() -> bool:
    """Whether `nvidia-smi` is there and sees a GPU."""
    return bool(_asked("--list-gpus").strip())


def gpu_sample() -> dict[str, float]:
    """Utilisation (percent), memory (MB and percent) and power (watts) of each GPU, by the names MLflow gives them."""
    told = _asked(f"--query-gpu={','.join(_ASKED)}", "--format=csv,noheader,nounits")
    values: dict[str, float] = {}
    for line in told.splitlines():
        number, *figures = (cell.strip() for cell in line.split(","))
        use, used, total, watts = (_number(figure) for figure in figures)
        found = {
            "utilization_percentage": use,
            "memory_usage_megabytes": None if used is None else used * _MB,
            "memory_usage_percentage": None if used is None or not total else 100 * used / total,
            "power_usage_watts": watts,
        }
        values |= {f"gpu_{number}_{name}": value for name, value in found.items() if value is not None}
    return values


def _number(figure: str) -> float | None:
    """A figure, or None where the GPU has no such sensor ('[N/A]')."""
    try:
        return float(figure)
    except ValueError:
        return None


def _asked(*arguments: str) -> str:
    program = shutil.which("nvidia-smi")
    if program is None:
        return ""
    try:
        return subprocess.run(
            [program, *arguments], capture_output=True, text=True, timeout=_TIMEOUT, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
