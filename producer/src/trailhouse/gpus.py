"""What NVML says of GPUs. Where there is none, or no `pynvml` (extra `gpu`), there is nothing to say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["sample_gpus"]


class _Nvml:
    #: The module, once it has been initialised in this process; False where that did not work.
    module: Any = None


def sample_gpus(named: Collection[str]) -> list[dict[str, Any]]:
    """Return the fields of ResourcesSampled for the GPUs that are `named` (UUID or index), or for all of the node.

    `also_named` are the other names of the device. Nothing is raised.
    """
    nvml = _nvml()
    if not nvml:
        return []
    found = []
    try:
        count = nvml.nvmlDeviceGetCount()
    except nvml.NVMLError:
        return []
    for index in range(count):
        try:
            gpu = nvml.nvmlDeviceGetHandleByIndex(index)
            uuid = _text(nvml.nvmlDeviceGetUUID(gpu))
            names = {uuid, str(index), f"cuda:{index}", f"gpu{index}"}
            if not named or names & set(named):
                found.append({"device": uuid, "also_named": names, **_measured(nvml, gpu)})
        except nvml.NVMLError:
            continue
    return found


def _measured(nvml: Any, gpu: Any) -> dict[str, Any]:
    def ask(question: Any, *arguments: Any) -> Any:
        try:
            return question(gpu, *arguments)
        except nvml.NVMLError:
            return None

    memory, use = ask(nvml.nvmlDeviceGetMemoryInfo), ask(nvml.nvmlDeviceGetUtilizationRates)
    milliwatts, name = ask(nvml.nvmlDeviceGetPowerUsage), ask(nvml.nvmlDeviceGetName)
    celsius = ask(nvml.nvmlDeviceGetTemperature, nvml.NVML_TEMPERATURE_GPU)
    return {
        "model": "" if name is None else _text(name),
        "utilization": None if use is None else use.gpu / 100,
        "memory_used_bytes": None if memory is None else int(memory.used),
        "memory_total_bytes": None if memory is None else int(memory.total),
        "power_watts": None if milliwatts is None else milliwatts / 1000,
        "temperature_celsius": None if celsius is None else float(celsius),
    }


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _nvml() -> Any:
    if _Nvml.module is None:
        try:
            import pynvml  # noqa: PLC0415 - the extra `gpu`

            pynvml.nvmlInit()
            _Nvml.module = pynvml
        except Exception:  # noqa: BLE001 - no module, no driver, no permission: no GPUs to sample
            _Nvml.module = False
    return _Nvml.module
