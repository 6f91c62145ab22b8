"""The process that starts, watches, tells and replaces the workers, and answers on the control port."""

from collections.abc import Sequence

from gateway.settings.options import ServeOptions


def run(options: ServeOptions, *, worker_command: Sequence[str] | None = None) -> int:
    """Serve until told to stop; the exit code."""
    if not options.dev:
        from gateway.supervisor.serving import serve  # noqa: PLC0415  (the stand-ins' process needs none of it)

        return serve(options, worker_command=worker_command)
    from gateway.supervisor.stand_ins import StandIns  # noqa: PLC0415  (see above)

    servers = StandIns()
    try:
        from gateway.supervisor.serving import serve  # noqa: PLC0415  (only now: the stand-ins load at the same time)

        return serve(options, worker_command=worker_command, stand_ins=servers)
    finally:
        servers.close()
