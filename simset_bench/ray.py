"""Connecting to a Ray cluster, within seconds or not at all."""

import socket

from simset_bench.errors import RequestError, missing_extra


def connect(address: str) -> None:
    """Connect this process to the Ray cluster at an address; `local` starts one on this machine.

    Raises RequestError where Ray is not installed, and where no cluster answers.
    """
    try:
        import ray
    except ImportError as error:
        raise missing_extra("ray", "--ray") from error
    host, colon, port = address.rpartition(":")
    try:
        if colon and port.isdecimal() and "/" not in host:
            # Ray itself tries for minutes, and then leaves the process.
            socket.create_connection((host, int(port)), timeout=5).close()
        if address == "local":
            ray.init(log_to_driver=False, configure_logging=False, include_dashboard=False)
        else:
            ray.init(address=address, log_to_driver=False, configure_logging=False)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise RequestError(f"--ray {address}: no Ray cluster answers there ({reason})") from error
