"""The page of the simulated node's vLLM itself, names as vLLM 0.32 has them."""

from tests.fakes.fleet_laws import Labels, Law, LawOf, of_histogram
from tests.fakes.fleet_nodes import Box

GAUGES = ("num_requests_running", "num_requests_waiting", "kv_cache_usage_perc")
COUNTERS = (
    "prompt_tokens_total",
    "generation_tokens_total",
    "num_preemptions_total",
    "prefix_cache_queries_total",
    "prefix_cache_hits_total",
)
MEDIANS = {
    "time_to_first_token_seconds": 0.35,
    "inter_token_latency_seconds": 0.012,
    "e2e_request_latency_seconds": 4.0,
    "request_queue_time_seconds": 0.05,
}
BOUNDS = ("0.01", "0.02", "0.05", "0.1", "0.25", "0.5", "1.0", "2.5", "5.0", "10.0", "30.0", "+Inf")
TOKENS_OF_AN_ANSWER = 220.0


def template(box: Box) -> str:
    own = f'engine="0",model_name="{box.machine.loaded[0].name}"'
    lines = []
    for name in GAUGES:
        lines += [f"# TYPE vllm:{name} gauge", f"vllm:{name}{{{own}}} ~"]
    for name in COUNTERS:
        lines += [f"# TYPE vllm:{name} counter", f"vllm:{name}{{{own}}} ~"]
    lines.append("# TYPE vllm:request_success_total counter")
    for reason in ("stop", "length", "abort"):
        lines.append(f'vllm:request_success_total{{finished_reason="{reason}",{own}}} ~')
    for name in MEDIANS:
        lines.append(f"# TYPE vllm:{name} histogram")
        lines += [f'vllm:{name}_bucket{{{own},le="{bound}"}} ~' for bound in BOUNDS]
        lines += [f"vllm:{name}_count{{{own}}} ~", f"vllm:{name}_sum{{{own}}} ~"]
    return "\n".join([*lines, ""])


def laws(box: Box) -> LawOf:
    answers = box.tokens.scaled(1 / TOKENS_OF_AN_ANSWER)
    prompts = answers.scaled(900)
    ended = {"stop": 0.9, "length": 0.08, "abort": 0.02}
    plain: dict[str, Law] = {
        "num_requests_running": lambda t: round(box.running.now(t)),
        "num_requests_waiting": lambda t: round(max(0.0, box.busy.now(t) - 0.5) * 20),
        "kv_cache_usage_perc": box.busy.scaled(0.8).now,
        "prompt_tokens_total": prompts.total,
        "generation_tokens_total": box.tokens.total,
        "num_preemptions_total": answers.scaled(0.01).total,
        "prefix_cache_queries_total": prompts.total,
        "prefix_cache_hits_total": prompts.scaled(0.4).total,
    }

    def law_of(name: str, labels: Labels) -> Law | None:
        own = name.removeprefix("vllm:")
        if own == "request_success_total":
            return answers.scaled(ended[labels["finished_reason"]]).total
        for family, median in MEDIANS.items():
            if own.startswith(family):
                every = TOKENS_OF_AN_ANSWER if "inter_token" in family else 1.0
                return of_histogram(name, labels, answers.scaled(every), median)
        return plain.get(own)

    return law_of
