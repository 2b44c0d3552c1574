"""dpl-llm: what clients feel of each model, where it is served, and at what cost."""

from grafana.build import common
from grafana.build.board import Board, model
from grafana.build.limits import bound, budget, fastest
from grafana.build.panels import heat, lines, stacked, stat_of
from grafana.build.parts import BAD, ODD, Limits, Query, above, below
from grafana.build.sdk import dashboard, units

OBJECTIVES = {
    "ttft": ("First token", "DplTtftSloBurn"),
    "tpot": ("Speed", "DplTpotSloBurn"),
    "availability": ("Served", "DplAvailabilitySloBurn"),
}
"""Word in the names of the recorded series -> its heading and the alert that has its budget."""
MONTH = "30d"


def board() -> Board:
    page = Board(
        "llm",
        "Models",
        "Objectives, speed and traffic of the models.",
        model(),
        refresh="1m",  # three of its numbers are over 30 days
    )
    page.row("Objectives", *objectives(), height=5)
    page.more(*burning(), height=8)
    page.row("What clients feel", *feeling())
    page.row("Traffic", *traffic())
    page.row("By node", *by_node())
    page.row("Engines (vLLM, SGLang, llama.cpp)", *engines())
    return page


def objectives() -> list[dashboard.Panel]:
    """Over 30 days whatever the time shown is, so the limit is the objective itself."""
    soon = f"{bound('model:dpl_slo_ttft_errors:ratio_rate5m'):g}"
    fast = f"{bound('model:dpl_slo_tpot_errors:ratio_rate5m'):g}"
    ttft = f'le=~"{soon}(\\\\.0)?"'
    tpot = f'le=~"{fast}"'.replace(".", "\\\\.")
    served = [
        of_a_month(
            "First token in time",
            f"Share of answers that began within {soon} s, over 30 days; the objective is "
            f"{1 - budget('DplTtftSloBurn'):.1%}.",
            f"sum(increase(dpl_router_time_to_first_token_seconds_bucket{{@model,{ttft}}}[$__range]))"
            " / sum(increase(dpl_router_time_to_first_token_seconds_count{@model}[$__range]))",
            1 - budget("DplTtftSloBurn"),
        ),
        of_a_month(
            "Fast enough",
            f"Share of answers at {fast} s a token or faster, over 30 days; the objective is "
            f"{1 - budget('DplTpotSloBurn'):.1%}.",
            "sum(increase("
            f"dpl_router_time_per_output_token_seconds_bucket{{@model,{tpot}}}[$__range]))"
            " / sum(increase(dpl_router_time_per_output_token_seconds_count{@model}[$__range]))",
            1 - budget("DplTpotSloBurn"),
        ),
        of_a_month(
            "Served",
            f"Share of requests that were served, over 30 days, without what clients did wrong; "
            f"the objective is {1 - budget('DplAvailabilitySloBurn'):.1%}.",
            "sum(increase("
            'dpl_router_requests_total{@model,model!="other",outcome="ok"}[$__range]))'
            " / sum(increase(dpl_router_requests_total"
            '{@model,model!="other",outcome!~"client_error|cancelled"}[$__range]))',
            1 - budget("DplAvailabilitySloBurn"),
        ),
    ]
    left = stat_of(
        "Budgets left",
        "Of the worst model, if 30 days went like the last three. Under 0 the objective is missed.",
        *(
            Query(
                f"1 - max(model:dpl_slo_{word}_errors:ratio_rate3d{{@model}}) / {budget(alert):g}",
                heading,
            )
            for word, (heading, alert) in OBJECTIVES.items()
        ),
        unit=units.PercentUnit,
        width=12,
        limits=below(0),
    )
    return [*served, left]


def of_a_month(title: str, text: str, promql: str, objective: float) -> dashboard.Panel:
    panel = stat_of(
        title,
        text,
        Query(promql, at_once=True),
        unit=units.PercentUnit,
        decimals=2,
        limits=below(objective),
    )
    panel.time_from = MONTH
    return panel


def burning() -> list[dashboard.Panel]:
    return [
        lines(
            f"Budget burnt: {heading}",
            "How many times too fast the budget of 30 days is spent, over an hour and six. At 1 "
            "it lasts just as long.",
            Query(
                f"max by (model) (model:dpl_slo_{word}_errors:ratio_rate1h{{@model}})"
                f" / {budget(alert):g}",
                "{{model}} 1 h",
            ),
            Query(
                f"max by (model) (model:dpl_slo_{word}_errors:ratio_rate6h{{@model}})"
                f" / {budget(alert):g}",
                "{{model}} 6 h",
            ),
            unit=units.Short,
            limits=Limits(((1, ODD), (fastest(alert), BAD))),
        )
        for word, (heading, alert) in OBJECTIVES.items()
    ]


def feeling() -> list[dashboard.Panel]:
    return [
        lines(
            "Time to the first token",
            "From arrival to the first token sent. A dot is one request: it leads to its page.",
            *percentiles("dpl_router_time_to_first_token_seconds", exemplars=True),
            unit=units.Seconds,
            limits=above(bound("model:dpl_slo_ttft_errors:ratio_rate5m")),
        ),
        heat(
            "First tokens, all of them",
            "How many answers began after how long.",
            "sum by (le) "
            "(increase(dpl_router_time_to_first_token_seconds_bucket{@model}[$__rate_interval]))",
            unit=units.Seconds,
            width=16,
        ),
        lines(
            "Time per output token",
            "Between tokens, once per answer.",
            *percentiles("dpl_router_time_per_output_token_seconds"),
            unit=units.Seconds,
            limits=above(bound("model:dpl_slo_tpot_errors:ratio_rate5m")),
        ),
        lines(
            "Between two pieces",
            "From one arrival of an answer's words to the next: what a reader feels as stutter.",
            *percentiles("dpl_router_inter_token_latency_seconds"),
            unit=units.Seconds,
        ),
        lines(
            "Duration",
            "From arrival to the last byte.",
            *percentiles("dpl_router_request_duration_seconds"),
            unit=units.Seconds,
        ),
        lines(
            "Wait for a node",
            "In the router's own queue.",
            *percentiles("dpl_router_queue_wait_seconds"),
            unit=units.Seconds,
        ),
        lines(
            "Clients that left",
            "By what they were waiting for.",
            Query(
                "sum by (phase) (rate(dpl_router_client_disconnects_total{@}[$__rate_interval]))",
                "{{phase}}",
            ),
            unit=units.RequestsPerSecond,
        ),
    ]


def percentiles(histogram: str, *, exemplars: bool = False) -> list[Query]:
    return [
        Query(
            f"histogram_quantile({share}, sum by (le) "
            f"(rate({histogram}_bucket{{@model}}[$__rate_interval])))",
            f"p{share * 100:g}",
            exemplars=exemplars,
        )
        for share in (0.5, 0.95, 0.99)
    ]


def traffic() -> list[dashboard.Panel]:
    return [
        stacked(
            "Requests by outcome",
            "Finished ones.",
            Query(
                "sum by (outcome) (rate(dpl_router_requests_total{@model}[$__rate_interval]))",
                "{{outcome}}",
            ),
            unit=units.RequestsPerSecond,
        ),
        stacked(
            "Requests in flight",
            "Open ones.",
            Query("sum by (model) (dpl_router_requests_in_flight{@model})", "{{model}}"),
            unit=units.Short,
        ),
        lines(
            "Queue",
            "Waiting for a node, and how many may.",
            Query("sum by (model) (dpl_router_queue_depth{@model})", "{{model}}"),
            Query("max(dpl_router_queue_limit{@model})", "limit"),
            unit=units.Short,
        ),
        stacked(
            "Output tokens by model",
            "Per second.",
            Query(
                "sum by (model) "
                '(rate(dpl_router_tokens_total{@model,direction="output"}[$__rate_interval]))',
                "{{model}}",
            ),
            unit=units.Short,
        ),
        lines(
            "Tokens by direction",
            "Per second, as the servers reported them.",
            Query(
                "sum by (direction) (rate(dpl_router_tokens_total{@model}[$__rate_interval]))",
                "{{direction}}",
            ),
            unit=units.Short,
        ),
        stacked(
            "How answers ended",
            "length: cut by a limit on tokens, the client's or the context's.",
            Query(
                "sum by (reason) (rate(dpl_router_finish_reasons_total{@model}[$__rate_interval]))",
                "{{reason}}",
            ),
            unit=units.RequestsPerSecond,
        ),
        lines(
            "Length of prompts and answers",
            "Tokens: the median, and what one in twenty exceeds.",
            *(
                Query(
                    f"histogram_quantile({share}, sum by (le) "
                    f"(rate(dpl_router_request_{way}_tokens_bucket{{@model}}[$__rate_interval])))",
                    f"{heading} p{share * 100:g}",
                )
                for way, heading in (("input", "prompt"), ("output", "answer"))
                for share in (0.5, 0.95)
            ),
            unit=units.Short,
        ),
        lines(
            "Tokens for nobody",
            "Written by a node and read by no one: the client left, or another node was asked.",
            Query(
                "sum by (reason) (rate(dpl_router_wasted_tokens_total{@}[$__rate_interval]))",
                "{{reason}}",
            ),
            unit=units.Short,
        ),
        lines(
            "Refused by the scheduler",
            "Why a node was left out, per decision.",
            Query(
                "sum by (reason) "
                "(rate(dpl_router_scheduling_rejections_total{@model}[$__rate_interval]))",
                "{{reason}}",
            ),
            Query(
                "sum(rate(dpl_router_scheduling_rejections_total{@model}[$__rate_interval]))"
                " or vector(0)",
                "all",
            ),
            unit=units.OpsPerSecond,
        ),
    ]


def by_node() -> list[dashboard.Panel]:
    return [
        stacked(
            "In flight by node",
            "Open requests of the router.",
            Query("sum by (node) (dpl_router_upstream_in_flight{@model})", "{{node}}"),
            unit=units.Short,
            width=6,
        ),
        stacked(
            "Tokens by node",
            "Output, per second.",
            Query(
                "sum by (node) "
                "(rate(dpl_router_upstream_output_tokens_total{@model}[$__rate_interval]))",
                "{{node}}",
            ),
            unit=units.Short,
            width=6,
        ),
        lines(
            "Mean first token by node",
            "Of all models of the node.",
            Query(
                "sum by (node) (rate(dpl_router_upstream_ttft_seconds_sum{@}[$__rate_interval]))"
                " / (sum by (node) "
                "(rate(dpl_router_upstream_ttft_seconds_count{@}[$__rate_interval])) > 0)",
                "{{node}}",
            ),
            unit=units.Seconds,
            width=6,
        ),
        common.joules_per_token("Joules per token by node", "", width=6),
    ]


def engines() -> list[dashboard.Panel]:
    return [
        lines(
            "KV cache",
            "In use, of nodes whose engine tells it.",
            Query("max by (node) (node:dpl_llm_kv_cache_utilization:max{@})", "{{node}}"),
            unit=units.PercentUnit,
            width=6,
        ),
        lines(
            "Running and waiting",
            "As the engines count them, other clients' requests included.",
            Query("sum by (node) (node_model:dpl_llm_requests_running:sum{@model})", "{{node}}"),
            Query(
                "sum by (node) (node_model:dpl_llm_requests_waiting:sum{@model})",
                "{{node}} waiting",
            ),
            unit=units.Short,
            width=6,
        ),
        lines(
            "Preemptions",
            "Requests that vLLM put back for want of KV cache.",
            Query(
                "sum by (node) (rate(vllm:num_preemptions_total{@}[$__rate_interval]))",
                "{{node}}",
            ),
            unit=units.OpsPerSecond,
            width=6,
        ),
        lines(
            "Prompt cache hits",
            "Share of prompt tokens that vLLM found in its cache.",
            Query(
                "sum by (node) (rate(vllm:prefix_cache_hits_total{@}[$__rate_interval]))"
                " / (sum by (node) "
                "(rate(vllm:prefix_cache_queries_total{@}[$__rate_interval])) > 0)",
                "{{node}}",
            ),
            unit=units.PercentUnit,
            width=6,
        ),
    ]
