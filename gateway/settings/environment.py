"""The process environment, for those who are configured by it alone: OpenTelemetry, and the C library."""

import os

# glibc gives memory back to the system as soon as 128 KiB at the top of its heap are free, and a body of 64 KiB takes
# it again: a system call and fresh pages for each request, a third of its cost. So the top keeps some megabytes; what
# is large is mapped by itself, and given back when it is done with (mallopt(3)).
_MEMORY = {"MALLOC_TRIM_THRESHOLD_": str(32 * 1024 * 1024), "MALLOC_MMAP_THRESHOLD_": str(1024 * 1024)}


def of_worker() -> dict[str, str]:
    """What a worker's process is started with: all of ours, and how it keeps memory unless that is said already."""
    return {**_MEMORY, **os.environ}


def otel() -> dict[str, str]:
    """The variables OpenTelemetry defines."""
    return {name: value for name, value in os.environ.items() if name.startswith("OTEL_")}
