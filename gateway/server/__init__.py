"""The data plane's front door: HTTP/1.1 in, answers out, nothing decided here but who may come in."""
