"""The exporter's page of a simulated node.

What a machine and its GPUs say stands in the golden pages of the exporter, so the names and the
labels here are those that it has; what a model server and a lease add stands below.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from tests.fakes.fleet_nodes import Box, Kind, Model

GOLDEN = Path(__file__).parents[1] / "exporter" / "golden"
PAGES: Mapping[Kind, str] = {
    "cpu": "linux-cpu",
    "pc": "nvidia-2-cards",
    "server": "nvidia-2-cards",
    "vllm": "nvidia-2-cards",
    "mac": "apple",
}
NOT_ON_A_MAC = re.compile(
    r"dpl_node_cpu_seconds\w+{mode=.(io|irq|soft|steal)"
    r"|dpl_node_swap_(in|out)_|dpl_node_network_transmit_drops_"
)


def template(box: Box) -> str:
    """Every line of the node's page, values as `~` or as they stay."""
    golden = (GOLDEN / f"{PAGES[box.kind]}.prom").read_text("utf-8")
    lines = [line for each in golden.splitlines() for line in _lines_of(box, each)]
    return "\n".join([*lines, *_others(box), *_llm_lines(box), *_collector_lines(box), ""])


def _lines_of(box: Box, line: str) -> Iterator[str]:
    """A golden line as this node has it; those of the first GPU stand for all of its GPUs."""
    if line.startswith("#"):
        yield line
    elif box.kind == "mac" and NOT_ON_A_MAC.match(line):
        return
    elif 'gpu="' in line:
        yield from _gpu_lines(box, line)
    elif 'mountpoint="~"' in line:
        yield _named(box, line, mountpoint="/", device="/dev/nvme0n1p2")
        models = _named(box, line, mountpoint="/models", device="/dev/nvme1n1")
        yield models.replace('role="root"', 'role="models"')
    elif line.startswith("dpl_node_disk_"):
        yield _named(box, line, device="disk0" if box.kind == "mac" else "nvme0n1")
    else:
        yield _named(box, line, device="en0" if box.kind == "mac" else "eth0")


def _gpu_lines(box: Box, line: str) -> Iterator[str]:
    if 'gpu="0"' not in line:
        return
    for gpu in range(box.machine.gpus):
        one = line.replace('gpu="0"', f'gpu="{gpu}"')
        one = re.sub(r'\bname="[^"]*"', f'name="{box.machine.gpu_name}"', one)
        one = re.sub(r'uuid="[^"]*"', f'uuid="GPU-{box.name}-{gpu}"', one)
        yield re.sub(r'pci_bus_id="[^"]*"', f'pci_bus_id="00000000:{gpu + 1:02X}:00.0"', one)


def _named(box: Box, line: str, **more: str) -> str:
    """The labels that the golden page leaves open."""
    mac = box.kind == "mac"
    own = {
        "arch": "arm64" if mac else "x86_64",
        "cpu_model": "Apple M4 Pro" if mac else "AMD EPYC 7763",
        "hostname": box.name,
        "kernel": "24.5.0" if mac else "6.8.0-60-generic",
        "fstype": "apfs" if mac else "ext4",
        "python": "3.11.9",
        "version": "0.1.0",
        "revision": "",
        **more,
    }
    for label, value in own.items():
        line = line.replace(f'{label}="~"', f'{label}="{value}"')
    return line.replace('os="linux"', 'os="darwin"') if mac else line


def _others(box: Box) -> Iterator[str]:
    """What the machines of the golden pages lack."""
    device = "en0" if box.kind == "mac" else "eth0"
    yield "# TYPE dpl_node_network_speed_bytes gauge"
    yield f'dpl_node_network_speed_bytes{{device="{device}"}} 125000000.0'
    if box.kind == "mac":
        yield "# TYPE dpl_node_memory_pressure_level gauge"
        yield "dpl_node_memory_pressure_level 1.0"
    else:
        yield "# TYPE dpl_node_temperature_celsius gauge"
        yield 'dpl_node_temperature_celsius{sensor="Package id 0"} ~'
    if box.kind in ("server", "vllm"):
        yield from _ecc_lines(box)
    if leased(box):
        yield "# TYPE dpl_lock_lease_expires_timestamp_seconds gauge"
        yield "dpl_lock_lease_expires_timestamp_seconds ~"


def _ecc_lines(box: Box) -> Iterator[str]:
    yield "# TYPE dpl_gpu_ecc_errors_total counter"
    for gpu in range(box.machine.gpus):
        yield f'dpl_gpu_ecc_errors_total{{gpu="{gpu}",severity="corrected"}} {gpu}.0'
        yield f'dpl_gpu_ecc_errors_total{{gpu="{gpu}",severity="uncorrected"}} 0.0'
    for name in ("failure", "pending"):
        yield f"# TYPE dpl_gpu_row_remap_{name} gauge"
        yield from (f'dpl_gpu_row_remap_{name}{{gpu="{n}"}} 0.0' for n in range(box.machine.gpus))


def _collector_lines(box: Box) -> Iterator[str]:
    for name in ("success", "duration_seconds", "last_success_timestamp_seconds"):
        yield f'dpl_exporter_collector_{name}{{collector="llm_{box.machine.backend}"}} ~'
        if box.kind != "mac":
            yield f'dpl_exporter_collector_{name}{{collector="temperature"}} ~'


def _llm_lines(box: Box) -> Iterator[str]:
    backend = f'backend="{box.machine.backend}"'
    yield "# TYPE dpl_llm_up gauge"
    yield f"dpl_llm_up{{{backend}}} {float(box.up)}"
    if not box.up:
        return
    yield "# TYPE dpl_llm_info gauge"
    yield f'dpl_llm_info{{api="{box.machine.backend}",{backend},version="1.0.0"}} 1.0'
    for name, kind in SERVER.items():
        yield f"# TYPE {name} {kind}"
        yield f"{name}{{{backend}}} ~"
    yield "# TYPE dpl_llm_model_info gauge"
    yield from (_model_info(backend, model) for model in box.machine.installed)
    for name, kind in PER_MODEL.items():
        yield f"# TYPE {name} {kind}"
        for model in _models_with(box, name):
            yield f'{name}{{{backend},model="{model.name}"}} ~'


def _model_info(backend: str, model: Model) -> str:
    labels = {
        "digest": f"{model.weights}0000",
        "family": model.family,
        "model": model.name,
        "parameter_size": model.parameters,
        "quantization": "Q4_K_M",
        "weights": model.weights,
    }
    said = ",".join(f'{name}="{value}"' for name, value in labels.items())
    return f"dpl_llm_model_info{{{backend},{said}}} 1.0"


SERVER = {
    "dpl_llm_probe_duration_seconds": "gauge",
    "dpl_llm_process_resident_memory_bytes": "gauge",
    "dpl_llm_process_cpu_seconds_total": "counter",
}
PER_MODEL = {
    "dpl_llm_model_loaded": "gauge",
    "dpl_llm_model_size_bytes": "gauge",
    "dpl_llm_model_memory_bytes": "gauge",
    "dpl_llm_model_gpu_memory_bytes": "gauge",
    "dpl_llm_model_context_tokens": "gauge",
    "dpl_llm_model_context_max_tokens": "gauge",
    "dpl_llm_model_expires_timestamp_seconds": "gauge",
    "dpl_llm_model_loads_total": "counter",
    "dpl_llm_model_unloads_total": "counter",
    "dpl_llm_requests_running": "gauge",
    "dpl_llm_requests_waiting": "gauge",
}
ALL_MODELS = re.compile(r".*_(loaded|size_bytes|max_tokens|loads_total|unloads_total)$")


def _models_with(box: Box, name: str) -> Iterable[Model]:
    """Ollama tells no requests; what is not loaded has no memory and no context."""
    if name.startswith("dpl_llm_requests_") and box.machine.backend == "ollama":
        return ()
    return box.machine.installed if ALL_MODELS.match(name) else box.machine.loaded


def leased(box: Box) -> bool:
    return box.kind not in ("cpu", "mac") or box.trouble == "exclusive"
