"""Meridian: one endpoint, and behind it the best place that may serve. This is the map; read `pipeline.py` first.

    caller ─► server ─► pipeline.serve ─► read ─► permit ─► plan ─► attempt ─► upstream
                                                                       │  next in the plan,
    caller ◄── server ◄──────────── stream back ◄──────────────────────┘  until the first content
                                        └─► settle: usage, cost, counters, log line, span (always, once)

Imports go down only:

    cli                          commands
    supervisor                   processes, sockets, reload, drain
    app                          one worker: settings in, a running data plane out
    server | control | mock      the front door; the control port; the stand-in model server
    pipeline                     the order of the stages
    stages                       one verb a file: authenticate, attempt, relay, settle
    upstream | telemetry         the places that answer; what we say of ourselves
    exchange | channel           the record of one request; what supervisor and workers say to one another
    settings                     YAML to frozen structs
    clock | sweep | outbox       the only door to real time and chance; deadlines; writes that leave together
    wire                         PURE: languages
    errors | features            words everyone shares

A provider is a row of `config/providers.yaml`; a language is one file in `wire/`; a credential is one function in
`upstream/credentials.py`. Why it is so: `deploy/decisions/`.
"""
