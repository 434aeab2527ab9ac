"""What is asked of NVML and what becomes of its answers; a driver that answers is stood in for, it needs a GPU."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from trailhouse import gpus


class NVMLError(Exception):
    """What NVML raises."""


def unsupported(*_: Any) -> Any:
    """Answer as a device that does not measure this."""
    raise NVMLError("not supported")


def driver(**answers: Any) -> SimpleNamespace:
    """Make a driver with two GPUs, whose answers are those given or plain ones."""
    plain = {
        "NVMLError": NVMLError,
        "NVML_TEMPERATURE_GPU": 0,
        "nvmlDeviceGetCount": lambda: 2,
        "nvmlDeviceGetHandleByIndex": lambda index: index,
        "nvmlDeviceGetUUID": lambda gpu: f"GPU-{gpu}",
        "nvmlDeviceGetName": lambda _: b"H100",
        "nvmlDeviceGetMemoryInfo": lambda _: SimpleNamespace(used=1 << 30, total=80 << 30),
        "nvmlDeviceGetUtilizationRates": lambda _: SimpleNamespace(gpu=25),
        "nvmlDeviceGetPowerUsage": lambda _: 350_500,
        "nvmlDeviceGetTemperature": lambda _gpu, _sensor: 61,
    }
    return SimpleNamespace(**(plain | answers))


def test_a_gpu_is_measured_in_the_units_of_the_event(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shares of 1, bytes, watts, degrees Celsius."""
    monkeypatch.setattr(gpus._Nvml, "module", driver())
    first, second = gpus.sample_gpus([])
    assert (first["device"], second["device"]) == ("GPU-0", "GPU-1")
    assert (first["model"], first["utilization"], first["power_watts"], first["temperature_celsius"]) == (
        "H100",
        0.25,
        350.5,
        61.0,
    )
    assert (first["memory_used_bytes"], first["memory_total_bytes"]) == (1 << 30, 80 << 30)


@pytest.mark.parametrize("name", ["GPU-1", "1", "cuda:1"])
def test_only_the_devices_of_the_allocation_are_measured(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """By whichever of its names the allocation knows the device."""
    monkeypatch.setattr(gpus._Nvml, "module", driver())
    (only,) = gpus.sample_gpus([name])
    assert only["device"] == "GPU-1"
    assert name in only["also_named"]


def test_what_a_device_does_not_measure_is_null(monkeypatch: pytest.MonkeyPatch) -> None:
    """Never 0."""
    silent = driver(nvmlDeviceGetPowerUsage=unsupported, nvmlDeviceGetUtilizationRates=unsupported)
    monkeypatch.setattr(gpus._Nvml, "module", silent)
    assert [(g["power_watts"], g["utilization"]) for g in gpus.sample_gpus([])] == [(None, None)] * 2


@pytest.mark.parametrize("question", ["nvmlDeviceGetCount", "nvmlDeviceGetHandleByIndex", "nvmlDeviceGetUUID"])
def test_a_driver_that_fails_has_no_gpus(monkeypatch: pytest.MonkeyPatch, question: str) -> None:
    """And does not stop the sampling of everything else."""
    monkeypatch.setattr(gpus._Nvml, "module", driver(**{question: unsupported}))
    assert gpus.sample_gpus([]) == []
