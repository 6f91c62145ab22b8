"""The stand-in model server: it answers like one, breaks like one, and remembers what it saw.

`gateway.mock.server.MockServer` is what tests use, `gateway.mock.cli_mock` is the command.
"""
