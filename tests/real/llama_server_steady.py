"""llama.cpp's server, computing each token of a prompt as it does those of an answer: `llama_server_steady.py PORT`.

It reads a prompt in batches, whose rounding isn't that of one token after the other: at temperature 0 a text that it is
given and the same text as it wrote it itself may then be followed by different words.
"""

import signal
import sys

import xllamacpp
from llama_server import SLOT_TOKENS, parameters  # type: ignore[import-not-found]  # beside it, where it is run


def main() -> None:
    params = parameters(int(sys.argv[1]))
    params.n_ubatch = 1
    params.n_parallel = 1  # it does not start with several answers to a batch of one token
    params.n_ctx = SLOT_TOKENS
    params.embedding = False
    server = xllamacpp.Server(params)
    sys.stdout.write(f"ready at {server.listening_address}\n")
    sys.stdout.flush()
    signal.pause()


if __name__ == "__main__":
    main()
