"""What processes and the machine use, as Linux counts it."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np


def processor_seconds() -> np.ndarray:
    """Used so far by this process, and by all."""
    own = os.times()
    ticks = [int(value) for value in Path("/proc/stat").read_text().split("\n")[0].split()[1:]]
    busy = sum(ticks[k] for k in (0, 1, 2, 5, 6))  # user, nice, system, interrupts
    return np.array([own.user + own.system, busy / os.sysconf("SC_CLK_TCK")])


def memory_mb(process: int | str = "self") -> tuple[float, float]:
    """Memory of a process now, and the most that it has had."""
    status = Path(f"/proc/{process}/status").read_text()
    now, peak = (int(re.findall(rf"{name}:\s+(\d+) kB", status)[0]) / 1024 for name in ("VmRSS", "VmHWM"))
    return now, peak
