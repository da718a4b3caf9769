"""A Ray cluster on this machine, of nodes that can be killed, in a folder of its own."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray.cluster_utils

_STORE_BYTES = 80_000_000
_SOON = {
    "health_check_initial_delay_ms": 0, "health_check_period_ms": 500, "health_check_timeout_ms": 2000,
    "health_check_failure_threshold": 8,
}  # fmt: skip
"""A dead node is missed in seconds; one that has no processor for some seconds is not taken for dead."""


class SmallCluster:
    """A head that does no work, and nodes of one processor each."""

    def __init__(self) -> None:
        head = {"num_cpus": 0, "object_store_memory": _STORE_BYTES, "include_dashboard": False, "_system_config": _SOON}
        self._cluster: Any = ray.cluster_utils.Cluster(True, head_node_args=head, shutdown_at_exit=False)
        self.address: str = self._cluster.address

    def add(self, **variables: str) -> Any:
        """One more node, in whose environment these variables are."""
        return self._cluster.add_node(num_cpus=1, object_store_memory=_STORE_BYTES, env_vars=variables)

    def kill(self, node: Any) -> None:
        """End a node without warning, as a power cut does."""
        self._cluster.remove_node(node, allow_graceful=False)

    def stop(self) -> None:
        """End all processes."""
        self._cluster.shutdown()


@contextmanager
def small_cluster() -> Iterator[SmallCluster]:
    """A cluster with a head alone. Its files are in a short-named temporary folder, which is removed."""
    folder = tempfile.mkdtemp(prefix="r", dir="/tmp")  # names of sockets may have 107 letters
    own = {"RAY_TMPDIR": folder, "RAY_USAGE_STATS_ENABLED": "0", "PYTHONPATH": _path(), "RAY_ADDRESS": ""}
    before = {name: os.environ.get(name) for name in own}
    os.environ.update(own)
    del os.environ["RAY_ADDRESS"]
    cluster = SmallCluster()
    try:
        yield cluster
    finally:
        cluster.stop()
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})
        shutil.rmtree(folder, ignore_errors=True)


def _path() -> str:
    """Where the processes of nodes find this code."""
    import ctgi

    return os.pathsep.join([str(Path(ctgi.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
