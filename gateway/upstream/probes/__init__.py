"""How each kind of model server is looked at: a reader a file, chosen by the `probe:` of a provider's row.

A new kind is one file and one line here.
"""

from collections.abc import Callable, Mapping
from typing import Final

from gateway.upstream.probes.llamacpp import Llamacpp
from gateway.upstream.probes.ollama import Ollama
from gateway.upstream.probes.openai_models import OpenaiModels
from gateway.upstream.probes.reading import Reader, Site
from gateway.upstream.probes.sglang import Sglang
from gateway.upstream.probes.tensorrt_llm import TensorrtLlm
from gateway.upstream.probes.tf_serving import TfServing
from gateway.upstream.probes.tgi import Tgi
from gateway.upstream.probes.triton import Triton
from gateway.upstream.probes.vllm import Vllm

KINDS: Final[Mapping[str, Callable[[Site], Reader]]] = {
    "llamacpp": Llamacpp,
    "ollama": Ollama,
    "openai_models": OpenaiModels,
    "sglang": Sglang,
    "tensorrt_llm": TensorrtLlm,
    "tf_serving": TfServing,
    "tgi": Tgi,
    "triton": Triton,
    "vllm": Vllm,
}


def reports_load(probe: str) -> bool:
    """Whether answers of this kind of server can carry a load report (upstream/orca.py)."""
    return probe in KINDS and KINDS[probe](Site()).orca
