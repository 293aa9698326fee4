"""How busy and how full the device is."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from time import perf_counter, process_time

import torch

from scaffold_runtime.dispatcher import AnyEvent
from scaffold_runtime.engine import Engine
from scaffold_runtime.events import Events
from scaffold_runtime.listeners import RemovableEventHandle

MEGABYTE = 1e6


class DeviceStats:
    """
    Put memory and utilisation of the device and this process into `state.metrics`.

    Memory is in MB. `cpu_memory` is what the process holds, `cpu_percent` what it
    computed since the last look, 100 for each core. On CUDA there are
    `gpu_memory`, `gpu_memory_peak`, `gpu_memory_reserved` and, where the package
    `nvidia-ml-py` is installed, `gpu_percent`; on Apple's MPS `gpu_memory`. None of
    them waits for the device.

    >>> engine = Engine(lambda engine, batch: None)
    >>> handle = DeviceStats("cpu").attach(engine, Events.EPOCH_COMPLETED)
    >>> sorted(engine.run([0]).metrics)
    ['cpu_memory', 'cpu_percent']
    """

    def __init__(self, device: str | torch.device) -> None:
        """Look at this device, besides the process itself."""
        self._device = torch.device(device)
        self._looked_at = perf_counter(), process_time()

    def attach(
        self, engine: Engine, event_name: AnyEvent = Events.EPOCH_COMPLETED
    ) -> RemovableEventHandle:
        """Look whenever the event happens; attach it before the logger that is to show it."""
        return engine.add_event_handler(event_name, self)

    def __call__(self, engine: Engine) -> None:
        engine.state.metrics.update(self.read())

    def read(self) -> dict[str, float]:
        """Return the numbers as they are now."""
        now = perf_counter(), process_time()
        wall, computed = (new - old for new, old in zip(now, self._looked_at, strict=True))
        self._looked_at = now
        stats = {"cpu_memory": _process_memory(), "cpu_percent": 100.0 * computed / wall}
        return {**stats, **self._read_device()}

    def _read_device(self) -> dict[str, float]:
        if self._device.type == "mps":
            return {"gpu_memory": torch.mps.current_allocated_memory() / MEGABYTE}
        if self._device.type != "cuda":
            return {}
        stats = {
            "gpu_memory": torch.cuda.memory_allocated(self._device) / MEGABYTE,
            "gpu_memory_peak": torch.cuda.max_memory_allocated(self._device) / MEGABYTE,
            "gpu_memory_reserved": torch.cuda.memory_reserved(self._device) / MEGABYTE,
        }
        with suppress(ModuleNotFoundError, RuntimeError):  # The package or the driver cannot tell.
            stats["gpu_percent"] = float(torch.cuda.utilization(self._device))
        return stats


def _process_memory() -> float:
    """Return the memory this process holds or, where only that is known, its peak, in MB."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        import resource

        return int(statm.read_text().split()[1]) * resource.getpagesize() / MEGABYTE
    if sys.platform == "win32":
        return float("nan")  # The standard library cannot tell.
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / MEGABYTE if sys.platform == "darwin" else peak * 1024 / MEGABYTE
