"""What the machine does while a run goes on, sampled in a thread, under the names that MLflow gives it."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping

import psutil

from tidemill.backends.trackers._gpu import gpu_sample, has_gpu

EVERY = 2.0  # seconds
_GPU_EVERY = 5  # samples: each starts nvidia-smi
_MB = 1e6


class SystemSampler:
    """Hands a sample to `record(metrics, step)` at once, every two seconds, and when it is stopped.

    When `record` fails it says so once and takes no more samples: the run goes on without them.
    """

    def __init__(self, record: Callable[[Mapping[str, float], int], None]) -> None:
        self._record = record
        self._stopped = threading.Event()
        self._process = psutil.Process()
        psutil.cpu_percent()  # the first call only sets the point from which it counts
        self._disk, self._network = psutil.disk_io_counters(), psutil.net_io_counters()
        self._thread = threading.Thread(target=self._run, name="system-metrics", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Take a last sample and end."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            self._sample_until_stopped()
        except Exception as error:  # whatever the store, its driver or psutil says: the run meets it too if it matters
            said = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
            print(f"note: the machine's load is not tracked any more: {said}", file=sys.stderr, flush=True)

    def _sample_until_stopped(self) -> None:
        step, gpu = 0, has_gpu()
        while True:
            last = self._stopped.wait(EVERY)
            values = self._sample() | (gpu_sample() if gpu and (last or step % _GPU_EVERY == 0) else {})
            self._record({f"system/{name}": value for name, value in values.items()}, step)
            step += 1
            if last:
                return

    def _sample(self) -> dict[str, float]:
        memory = psutil.virtual_memory()
        values = {
            "cpu_utilization_percentage": psutil.cpu_percent(),
            "system_memory_usage_megabytes": memory.used / _MB,
            "system_memory_usage_percentage": memory.percent,
            "process_memory_megabytes": self._process.memory_info().rss / _MB,
        }
        disk, network = psutil.disk_io_counters(), psutil.net_io_counters()
        if disk and self._disk:
            values["disk_read_megabytes"] = (disk.read_bytes - self._disk.read_bytes) / _MB
            values["disk_write_megabytes"] = (disk.write_bytes - self._disk.write_bytes) / _MB
        if network and self._network:
            values["network_receive_megabytes"] = (network.bytes_recv - self._network.bytes_recv) / _MB
            values["network_transmit_megabytes"] = (network.bytes_sent - self._network.bytes_sent) / _MB
        return values
