"""How busy the machine is, under the names that MLflow's own system metrics have."""

from __future__ import annotations

import os
from collections.abc import Callable
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

_CGROUP = Path("/sys/fs/cgroup")
_MEGABYTE = 1e6


class SystemSampler:
    """Reads CPU, memory, disk, network and all NVIDIA GPUs of this machine.

    Memory is what the container may use, where control groups (v2) set a limit. Network traffic
    counts from when the sampler was made; the CPU's share is over the time since the last sample.

    Args:
        disk: any path on the disk to report.
        cgroup: where the control group's files are.
    """

    def __init__(self, disk: Path = Path(os.sep), cgroup: Path = _CGROUP) -> None:
        self._disk = disk
        self._cgroup = cgroup
        self._cpu_before = _reading(_cpu_seconds)
        self._network_before = _reading(_network_bytes)
        self._gpus = _reading(_gpu_handles)

    def sample(self) -> dict[str, float]:
        """One reading of everything that can be read now; what fails is left out."""
        values: dict[str, float] = {}
        for source in (self._cpu, self._memory, self._disk_usage, self._network):
            values |= _reading(source)
        for index, handle in self._gpus.items():
            for read in (_gpu_utilization, _gpu_memory, _gpu_power):
                found = _reading(partial(read, handle))
                values |= {f"gpu_{index}_{name}": value for name, value in found.items()}
        return {f"system/{name}": round(value, 1) for name, value in values.items()}

    def _cpu(self) -> dict[str, float]:
        # psutil.cpu_percent remembers its last call per thread; a sampler may be read from any.
        before, now = self._cpu_before, _cpu_seconds()
        self._cpu_before = now
        total = now["total"] - before["total"]
        share = 1 - (now["idle"] - before["idle"]) / total
        return {"cpu_utilization_percentage": 100 * min(max(share, 0.0), 1.0)}

    def _memory(self) -> dict[str, float]:
        import psutil

        machine = psutil.virtual_memory()
        used, total = machine.used, machine.total
        if limited := _reading(lambda: _cgroup_memory(self._cgroup)):
            used, total = limited["used"], limited["limit"]
        return {
            "system_memory_usage_megabytes": used / _MEGABYTE,
            "system_memory_usage_percentage": 100 * used / total,
        }

    def _disk_usage(self) -> dict[str, float]:
        import psutil

        disk = psutil.disk_usage(str(self._disk))
        return {
            "disk_usage_percentage": disk.percent,
            "disk_usage_megabytes": disk.used / _MEGABYTE,
            "disk_available_megabytes": disk.free / _MEGABYTE,
        }

    def _network(self) -> dict[str, float]:
        before, now = self._network_before, _network_bytes()
        return {f"network_{name}_megabytes": (now[name] - before[name]) / _MEGABYTE for name in now}


def _reading(source: Callable[[], Mapping[Any, Any]]) -> dict[Any, Any]:
    """What the source says, or nothing: a metric that can't be read must not end a training."""
    try:
        return dict(source())
    except Exception:
        return {}


def _cpu_seconds() -> dict[str, float]:
    """Seconds of all CPUs since the start, and those of them that were idle."""
    import psutil

    times = psutil.cpu_times()
    # Linux counts the guests' time within user and nice already.
    guests = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)
    return {"total": sum(times) - guests, "idle": times.idle + getattr(times, "iowait", 0.0)}


def _network_bytes() -> dict[str, int]:
    """Bytes that came and went through all interfaces since the start."""
    import psutil

    counters = psutil.net_io_counters()
    return {"receive": counters.bytes_recv, "transmit": counters.bytes_sent}


def _cgroup_memory(cgroup: Path) -> dict[str, int]:
    """The container's limit and its use without the file cache that can be given back.

    Raises:
        OSError: no control group of version 2 is mounted here.
        ValueError: it sets no limit.
    """
    limit = int((cgroup / "memory.max").read_text(encoding="ascii"))
    current = int((cgroup / "memory.current").read_text(encoding="ascii"))
    lines = (cgroup / "memory.stat").read_text(encoding="ascii").splitlines()
    cache = next(int(line.split()[1]) for line in lines if line.startswith("inactive_file "))
    return {"limit": limit, "used": max(current - cache, 0)}


def _gpu_handles() -> dict[int, Any]:
    """All NVIDIA GPUs of the machine, by their numbers; those set to be visible play no part."""
    import pynvml

    pynvml.nvmlInit()
    return {
        index: pynvml.nvmlDeviceGetHandleByIndex(index)
        for index in range(pynvml.nvmlDeviceGetCount())
    }


def _gpu_utilization(handle: Any) -> dict[str, float]:
    import pynvml

    return {"utilization_percentage": float(pynvml.nvmlDeviceGetUtilizationRates(handle).gpu)}


def _gpu_memory(handle: Any) -> dict[str, float]:
    import pynvml

    memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
    return {
        "memory_usage_percentage": 100 * memory.used / memory.total,
        "memory_usage_megabytes": memory.used / _MEGABYTE,
    }


def _gpu_power(handle: Any) -> dict[str, float]:
    import pynvml

    watts = pynvml.nvmlDeviceGetPowerUsage(handle) / 1000
    limit = pynvml.nvmlDeviceGetEnforcedPowerLimit(handle) / 1000
    return {"power_usage_watts": watts, "power_usage_percentage": 100 * watts / limit}
