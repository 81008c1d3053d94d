"""System metrics carry MLflow's names, and a source that fails takes only itself away."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from toolkit.system import SystemSampler

_NAMES = {
    "system/cpu_utilization_percentage",
    "system/system_memory_usage_megabytes",
    "system/system_memory_usage_percentage",
    "system/disk_usage_percentage",
    "system/disk_usage_megabytes",
    "system/disk_available_megabytes",
    "system/network_receive_megabytes",
    "system/network_transmit_megabytes",
}

# A driver with two GPUs, of which the second can't tell its power.
_PYNVML = """
from types import SimpleNamespace

class NVMLError(Exception):
    pass

def nvmlInit():
    pass

def nvmlDeviceGetCount():
    return 2

def nvmlDeviceGetHandleByIndex(index):
    return index

def nvmlDeviceGetUtilizationRates(handle):
    return SimpleNamespace(gpu=40 + handle)

def nvmlDeviceGetMemoryInfo(handle):
    return SimpleNamespace(used=2_000_000_000, total=8_000_000_000)

def nvmlDeviceGetPowerUsage(handle):
    if handle == 1:
        raise NVMLError("Not Supported")
    return 150_000

def nvmlDeviceGetEnforcedPowerLimit(handle):
    return 300_000
"""


def _keep_busy() -> None:
    """Give the processors something to do until the kernel's clock has counted it."""
    before = sum(psutil.cpu_times())
    while sum(psutil.cpu_times()) - before < 0.1:
        math.factorial(500)


def _sample_with(pynvml: str, folder: Path) -> dict[str, float]:
    """What is sampled in a process whose pynvml is this one."""
    (folder / "pynvml.py").write_text(pynvml)
    code = (
        f"import json, sys; sys.path.insert(0, {str(folder)!r})\n"
        "from toolkit.system import SystemSampler; print(json.dumps(SystemSampler().sample()))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    values: dict[str, float] = json.loads(done.stdout)
    return values


def _limit_memory(cgroup: Path, limit: str) -> Path:
    """A control group of 400 MB, of which 100 MB are file cache."""
    (cgroup / "memory.max").write_text(f"{limit}\n")
    (cgroup / "memory.current").write_text("400000000\n")
    (cgroup / "memory.stat").write_text("anon 1\ninactive_file 100000000\nactive_file 2\n")
    return cgroup


def test_names_and_ranges() -> None:
    """Processor, memory, disk and network are all read, and percentages are percentages."""
    sampler = SystemSampler()
    _keep_busy()

    values = sampler.sample()

    assert {name for name in values if "/gpu_" not in name} == _NAMES
    assert all(0 <= value <= 100 for name, value in values.items() if name.endswith("percentage"))
    assert all(value >= 0 for value in values.values())


def test_names_are_those_of_mlflow() -> None:
    """The names are the ones that MLflow's own monitors give, so that its page shows them."""
    metrics = "mlflow.system_metrics.metrics"
    monitors = (
        pytest.importorskip(f"{metrics}.cpu_monitor").CPUMonitor(),
        pytest.importorskip(f"{metrics}.disk_monitor").DiskMonitor(),
        pytest.importorskip(f"{metrics}.network_monitor").NetworkMonitor(),
    )
    names = set()
    for monitor in monitors:
        monitor.collect_metrics()
        names |= {f"system/{name}" for name in monitor.aggregate_metrics()}

    assert names == _NAMES


def test_processors_in_any_thread() -> None:
    """The processors' share is that since the last sample, whichever thread takes it."""
    sampler = SystemSampler()
    _keep_busy()
    values: dict[str, float] = {}
    thread = threading.Thread(target=lambda: values.update(sampler.sample()))
    thread.start()
    thread.join()

    assert values["system/cpu_utilization_percentage"] > 0


def test_memory_of_a_container(tmp_path: Path) -> None:
    """Where a control group limits memory, usage is the group's, without the file cache."""
    sampler = SystemSampler(cgroup=_limit_memory(tmp_path, "1200000000"))

    values = sampler.sample()

    assert values["system/system_memory_usage_megabytes"] == 300
    assert values["system/system_memory_usage_percentage"] == 25


def test_memory_without_limit(tmp_path: Path) -> None:
    """A control group without a limit leaves the machine's memory to be reported."""
    sampler = SystemSampler(cgroup=_limit_memory(tmp_path, "max"))

    used = sampler.sample()["system/system_memory_usage_megabytes"]

    assert used == pytest.approx(psutil.virtual_memory().used / 1e6, rel=0.5)


def test_failing_source(tmp_path: Path) -> None:
    """A disk that is gone takes away its own metrics only."""
    values = SystemSampler(disk=tmp_path / "missing").sample()

    assert {name for name in _NAMES - set(values) if "cpu" not in name} == {
        "system/disk_usage_percentage",
        "system/disk_usage_megabytes",
        "system/disk_available_megabytes",
    }


def test_gpus(tmp_path: Path) -> None:
    """Every GPU is read; what one of them can't tell is left out for that one."""
    values = _sample_with(_PYNVML, tmp_path)

    assert {name: value for name, value in values.items() if "/gpu_" in name} == {
        "system/gpu_0_utilization_percentage": 40,
        "system/gpu_0_memory_usage_percentage": 25,
        "system/gpu_0_memory_usage_megabytes": 2000,
        "system/gpu_0_power_usage_watts": 150,
        "system/gpu_0_power_usage_percentage": 50,
        "system/gpu_1_utilization_percentage": 41,
        "system/gpu_1_memory_usage_percentage": 25,
        "system/gpu_1_memory_usage_megabytes": 2000,
    }


@pytest.mark.parametrize("pynvml", ["raise ImportError('no driver')", "nvmlInit = None"])
def test_without_gpus(tmp_path: Path, pynvml: str) -> None:
    """Without a driver, or with a broken one, everything else is still read."""
    values = _sample_with(pynvml, tmp_path)

    assert not any("/gpu_" in name for name in values)
    assert "system/system_memory_usage_megabytes" in values


def test_light_import() -> None:
    """Importing the module imports neither psutil nor pynvml."""
    code = "import sys, toolkit.system; print({'psutil', 'pynvml'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)

    assert done.stdout.strip() == "set()"
