"""Every metric's name, words, labels and buckets, in the order they are shown.

Names starting with gen_ai are OpenTelemetry's (semantic-conventions-genai, gen-ai-metrics.md) as its exporters spell
them for Prometheus: dots become underscores, seconds are appended, a unit in braces is not. Their buckets are the ones
that page advises.
"""

from gateway.telemetry.slots import Family

# OpenTelemetry's well-known words for operations, where they differ from ours.
_GEN_AI_OPERATIONS = {"completions": "text_completion"}
_OVERHEAD_S = (*(round(1e-5 * 1.25**step, 9) for step in range(52)), 1.0)
_GEN_AI = ("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model", "backend")

REQUESTS = Family(
    "gateway_requests_total",
    "counter",
    "Requests settled, by what was asked, who answered and how it ended.",
    ("operation", "model", "backend", "status", "outcome"),
)
OVERHEAD = Family(
    "gateway_overhead_seconds",
    "histogram",
    "The gateway's own time in a request: the whole, less waiting for upstreams and callers.",
    ("operation",),
    _OVERHEAD_S,
)
ATTEMPTS = Family("gateway_attempts_total", "counter", "Tries at backends, by how each ended.", ("backend", "outcome"))
TIME_TO_FIRST_TOKEN = Family(
    "gen_ai_server_time_to_first_token_seconds",
    "histogram",
    "From the request written to a backend until its first content; answered streams only.",
    _GEN_AI,
    (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0),
)
TIME_PER_OUTPUT_TOKEN = Family(
    "gen_ai_server_time_per_output_token_seconds",
    "histogram",
    "Seconds for each output token after the first; answered streams only.",
    _GEN_AI,
    (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5),
)
TOKEN_USAGE = Family(
    "gen_ai_client_token_usage",
    "histogram",
    "Tokens of a request, as the backend counted them.",
    (*_GEN_AI, "gen_ai_token_type"),
    tuple(4**step for step in range(14)),
)
COST = Family("gateway_cost_usd_total", "counter", "US dollars charged, where a price is known.", ("model", "backend"))
LOSSES = Family(
    "gateway_losses_total", "counter", "Request fields a backend could not carry as sent.", ("backend", "field")
)
STATE_UP = Family("gateway_state_up", "gauge", "Workers whose shared state answers.")
LOOP_LAG = Family(
    "gateway_loop_lag_seconds",
    "histogram",
    "How late a worker's timer fired; what a request may wait.",
    (),
    _OVERHEAD_S,
)
PROBE_UP = Family("gateway_probe_up", "gauge", "1 where the last look at a server found it alive.", ("backend",))
PROBE_SECONDS = Family("gateway_probe_seconds", "gauge", "How long the last look at a server took.", ("backend",))
PROBE_UNMATCHED = Family(
    "gateway_probe_unmatched",
    "gauge",
    "1 where a server's metrics have no name we know for a signal.",
    ("backend", "signal"),
)
HEDGES = Family(
    "gateway_hedges_total",
    "counter",
    "Second attempts beside a slow one, by their backend and what came of them: won, lost, failed, left.",
    ("backend", "outcome"),
)
HEDGE_COST = Family(
    "gateway_hedge_cost_usd_total",
    "counter",
    "US dollars for prompts of attempts that lost to another; an estimate, and charged to nobody.",
    ("backend",),
)
SHADOW_ATTEMPTS = Family(
    "gateway_shadow_attempts_total", "counter", "Copies of requests, by how each ended.", ("backend", "outcome")
)
SHADOW_COST = Family(
    "gateway_shadow_cost_usd_total", "counter", "US dollars for copies of requests; charged to nobody.", ("backend",)
)
SHADOWS_DROPPED = Family(
    "gateway_shadows_dropped_total",
    "counter",
    "Copies not sent: too many were under way, or they could not be said there.",
    ("backend",),
)
SPLIT_ENDED = Family(
    "gateway_split_ended", "gauge", "Workers in which a split was ended by its rule, and why.", ("split", "why")
)
QUEUE_LENGTH = Family("gateway_queue_length", "gauge", "Requests that wait for a place at a backend.")
QUEUE_WAIT = Family(
    "gateway_queue_wait_seconds",
    "histogram",
    "How long requests waited for a place at a backend, those refused included, by what came of it.",
    ("priority", "outcome"),
    (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)
RESIDENCY_REFUSALS = Family(
    "gateway_residency_refusals_total",
    "counter",
    "What was not let out of the countries a request must stay in: a request at a POP outside (pop) or without a "
    "backend inside (backend), an attempt stopped before it was sent (connect), spans (otlp), log lines (access_log).",
    ("what",),
)
EJECTIONS = Family(
    "gateway_ejections_total",
    "counter",
    "Times a worker asked a backend nothing for a while because it failed, by what it had seen.",
    ("backend", "why"),
)
RETRY_BUDGET = Family(
    "gateway_retry_budget_ratio",
    "gauge",
    "Attempts after a failure as a share of the last ten seconds' requests, which retry.budget bounds.",
)
LOG_LINES_DROPPED = Family(
    "gateway_log_lines_dropped_total", "counter", "Log lines dropped because nobody read them fast enough."
)

# Counted by the workers, in their slots.
WORKER = (
    REQUESTS,
    OVERHEAD,
    ATTEMPTS,
    TIME_TO_FIRST_TOKEN,
    TIME_PER_OUTPUT_TOKEN,
    TOKEN_USAGE,
    COST,
    LOSSES,
    STATE_UP,
    LOOP_LAG,
    PROBE_UP,
    PROBE_SECONDS,
    PROBE_UNMATCHED,
    HEDGES,
    HEDGE_COST,
    SHADOW_ATTEMPTS,
    SHADOW_COST,
    SHADOWS_DROPPED,
    SPLIT_ENDED,
    QUEUE_LENGTH,
    QUEUE_WAIT,
    EJECTIONS,
    RETRY_BUDGET,
    RESIDENCY_REFUSALS,
    LOG_LINES_DROPPED,
)

BACKEND_STATE = Family(
    "gateway_backend_state", "gauge", "Workers that see a backend in this state.", ("backend", "provider", "state")
)
BACKEND_IN_FLIGHT = Family(
    "gateway_backend_in_flight", "gauge", "Requests a backend is working on for us.", ("backend",)
)
BACKEND_LOAD = Family(
    "gateway_backend_load",
    "gauge",
    "Requests in flight as a share of a backend's slots, where those are known.",
    ("backend",),
)
CONFIG_INFO = Family(
    "gateway_config_info", "gauge", "Always 1; which version and configuration run.", ("version", "revision", "pop")
)
CONFIG_RELOADS = Family(
    "gateway_config_reloads_total", "counter", "Reloads asked for, by what came of them.", ("outcome",)
)
WORKERS_READY = Family("gateway_workers_ready", "gauge", "Workers that serve.")
WORKER_RESTARTS = Family("gateway_worker_restarts_total", "counter", "Workers that died and were replaced.")

# Known to the supervisor.
SUPERVISOR = (
    BACKEND_STATE,
    BACKEND_IN_FLIGHT,
    BACKEND_LOAD,
    CONFIG_INFO,
    CONFIG_RELOADS,
    WORKERS_READY,
    WORKER_RESTARTS,
)


def gen_ai_operation(operation: str) -> str:
    """An operation in OpenTelemetry's words."""
    return _GEN_AI_OPERATIONS.get(operation, operation)
