"""The fields of nodes.yaml, once: for validation, for editors and for people.

A field's description is also what a mistake in it says, so each names what may be written.
Fields that nothing acts on yet are not here; `LATER` says what a file that has them is told.
"""

import json
from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

ENV = r"\$\{[A-Za-z_][A-Za-z0-9_]*\}"
LATER = frozenset({"weight", "schedule"})
SPELLINGS = {"llm_url": "url", "monitor_base_url": "exporter"}
"""What the project that DPL grew from called these fields."""

Slots = Annotated[
    Annotated[int, Meta(ge=1, le=10_000)] | Literal["auto"],
    Meta(
        description="At most so many requests of ours at once: a whole number from 1, or auto "
        "(what the exporter says; without one 1 for kind ollama, else 4)."
    ),
]
Duration = Annotated[float, Meta(gt=0)] | Annotated[str, Meta(pattern=r"^\d+(\.\d+)?(ms|s|m|h)$")]
Text = Annotated[str, Meta(min_length=1, max_length=500)]
Reference = Annotated[str, Meta(pattern=rf"^({ENV}|file:.+)$")]
SECRET = {"writeOnly": True}


Kind = Literal["auto", "ollama", "openai", "llamacpp", "vllm", "sglang", "lmstudio"]
"""What a node speaks: the one list in the router. CONTRIBUTING.md (a dialect) says what else a new
kind needs; tests/contract/test_kinds.py holds them together."""
AUTO, *SPOKEN = get_args(Kind)
SILENT = frozenset({"ollama", "lmstudio"})
"""Kinds whose servers have no metrics of their own."""


def mapping_of(fields: type[Struct]) -> str:
    return f"a mapping of {', '.join(fields.__struct_fields__)}"


class TimeoutFields(Struct, forbid_unknown_fields=True):
    connect: (
        Annotated[
            Duration,
            Meta(description="Until the connection stands: seconds, or like 500ms. Else 2s."),
        ]
        | UnsetType
    ) = UNSET
    first_token: (
        Annotated[
            Duration,
            Meta(description="Until the first token is there: seconds, or like 2m. Else 120s."),
        ]
        | UnsetType
    ) = UNSET
    idle: (
        Annotated[Duration, Meta(description="Between two tokens: seconds, or like 10s. Else 30s.")]
        | UnsetType
    ) = UNSET
    total: (
        Annotated[
            Duration, Meta(description="For the whole answer: seconds, or like 1h. Else 30m.")
        ]
        | UnsetType
    ) = UNSET


class TlsFields(Struct, forbid_unknown_fields=True):
    ca: (
        Annotated[
            Text, Meta(description="PEM file of the authority that signed the node's certificate.")
        ]
        | UnsetType
    ) = UNSET
    cert: (
        Annotated[Text, Meta(description="PEM file of the certificate that we show.")] | UnsetType
    ) = UNSET
    key: Annotated[Text, Meta(description="PEM file of that certificate's key.")] | UnsetType = (
        UNSET
    )
    verify: Annotated[
        bool, Meta(description="false = accept any certificate, thus anybody: true or false.")
    ] = True


class DefaultFields(Struct, forbid_unknown_fields=True):
    slots: Slots = "auto"


# Each is also a scrape job, with its port in `USUAL` (pages.py): CONTRIBUTING.md (bring your own)
# says what else it needs; tests/contract/test_bring_your_own.py holds them together.
class MetricsFields(Struct, forbid_unknown_fields=True):
    node: (
        Annotated[
            Text, Meta(description="node_exporter's address, like 10.0.0.5:9100, or its url.")
        ]
        | UnsetType
    ) = UNSET
    dcgm: (
        Annotated[
            Text, Meta(description="dcgm-exporter's address, like 10.0.0.5:9400, or its url.")
        ]
        | UnsetType
    ) = UNSET
    gpu: (
        Annotated[
            Text, Meta(description="nvidia_gpu_exporter's address, like 10.0.0.5:9835, or its url.")
        ]
        | UnsetType
    ) = UNSET
    engine: (
        Annotated[
            Text,
            Meta(
                description="Where the LLM server itself tells metrics: its address, like "
                "10.0.0.5:8000, or its url."
            ),
        ]
        | UnsetType
    ) = UNSET


ModelName = Annotated[str, Meta(pattern=r"^[!-~]{1,200}$")]
"""As servers write them: no blanks, ASCII."""
Aliases = dict[ModelName, ModelName]
Weights = dict[ModelName, Annotated[str, Meta(pattern=r"^(sha256[:-])?[0-9A-Fa-f]{12,64}$")]]
Contexts = dict[ModelName, Annotated[int, Meta(ge=256, le=100_000_000)]]

Labels = dict[
    Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_./-]{0,62}$")],
    Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_./:-]{0,62}$")],
]


class NodeFields(Struct, forbid_unknown_fields=True):
    name: Annotated[
        str,
        Meta(
            pattern=r"^[a-z0-9][a-z0-9.-]{0,62}$",
            description="The `node` label everywhere, unique: 1 to 63 small letters, digits, dots "
            "and dashes, a letter or digit first.",
        ),
    ]
    url: Annotated[
        Text, Meta(description="Where the LLM answers: its base, like http://10.0.0.5:11434.")
    ]
    kind: Annotated[
        Kind,
        Meta(
            description=f"What the server speaks: {AUTO} (asked), {', '.join(SPOKEN[:-1])} or "
            f"{SPOKEN[-1]}."
        ),
    ] = "auto"
    exporter: (
        Annotated[
            Text,
            Meta(
                description="Where the node's exporter answers, like http://10.0.0.5:8001, "
                "or none; without this field port 8001 on the url's host."
            ),
        ]
        | UnsetType
    ) = UNSET
    exporter_key: (
        Annotated[
            Reference,
            Meta(
                description="The operator key that the exporter wants, itself never: ${ENV} or "
                "file:PATH; without this field DPL_API_KEY.",
                extra_json_schema=SECRET,
            ),
        ]
        | UnsetType
    ) = UNSET
    exporter_tls: (
        Annotated[
            Reference,
            Meta(
                description="PEM file of the authority that signed the exporter's certificate: "
                "file:PATH, or ${ENV} that holds the path."
            ),
        ]
        | UnsetType
    ) = UNSET
    metrics: (
        Annotated[
            MetricsFields,
            Meta(
                description="What tells of this machine already, for Prometheus to scrape: "
                f"{mapping_of(MetricsFields)}."
            ),
        ]
        | UnsetType
    ) = UNSET
    slots: Slots = "auto"
    models: (
        Annotated[
            list[Text],
            Meta(description="Names or globs of the models to use here, a list; without it all."),
        ]
        | UnsetType
    ) = UNSET
    aliases: (
        Annotated[
            Aliases,
            Meta(
                description="Our name for a model of this node and the node's own, like "
                '{"qwen3:14b": Qwen3-14B-Q4_K_M.gguf}: one name for the same weights on different '
                "kinds of server."
            ),
        ]
        | UnsetType
    ) = UNSET
    remote_models: Annotated[
        bool,
        Meta(
            description="Count models that the node itself asks elsewhere (Ollama's cloud models) "
            "as its own: true or false."
        ),
    ] = False
    labels: (
        Annotated[
            Labels,
            Meta(
                description="Names and values to choose by, like {rack: a, tier: fast}: text of "
                "letters, digits and _ . / : - (numbers in quotes)."
            ),
        ]
        | UnsetType
    ) = UNSET
    cordoned: Annotated[bool, Meta(description="Send nothing new here: true or false.")] = False
    api_key: (
        Annotated[
            Reference,
            Meta(
                description="The key that the LLM server wants, itself never: ${ENV} or file:PATH.",
                extra_json_schema=SECRET,
            ),
        ]
        | UnsetType
    ) = UNSET
    tls: (
        Annotated[TlsFields, Meta(description=f"For an https url: {mapping_of(TlsFields)}.")]
        | UnsetType
    ) = UNSET
    timeouts: (
        Annotated[
            TimeoutFields,
            Meta(description=f"Instead of the router's: {mapping_of(TimeoutFields)}."),
        ]
        | UnsetType
    ) = UNSET
    allow_link_local: Annotated[
        bool,
        Meta(
            description="Let url, exporter and metrics be link-local or a cloud's metadata "
            "address: true or false."
        ),
    ] = False


class RouterFields(Struct, forbid_unknown_fields=True):
    timeouts: (
        Annotated[
            TimeoutFields,
            Meta(description=f"For all nodes: {mapping_of(TimeoutFields)}."),
        ]
        | UnsetType
    ) = UNSET
    lease_ttl: Annotated[
        Duration,
        Meta(
            description="How long a lease on a node outlives a router that died: seconds from 1 "
            "to 300, or like 15s."
        ),
    ] = 15.0
    drain: Annotated[
        Duration,
        Meta(description="How long running answers may take at a stop: seconds, or like 30s."),
    ] = 30.0
    allowed_hosts: (
        Annotated[
            list[Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.:\[\]-]{1,253}$")]],
            Meta(
                description="Names by which callers reach the router, beside loopback and its "
                "listen address: a list of host names without port, like [router.lan]."
            ),
        ]
        | UnsetType
    ) = UNSET
    contexts: (
        Annotated[
            Contexts,
            Meta(
                description="The context with which a model is loaded where the choice is ours, "
                'in tokens from 256, like {"qwen3:14b": 16384}; a request may name a larger one. '
                "Ollama nodes only; others keep what they were started with."
            ),
        ]
        | UnsetType
    ) = UNSET
    auto_pull: Annotated[
        bool,
        Meta(
            description="Pull a model that no node has, for the request that names it: "
            "true or false."
        ),
    ] = False


class File(Struct, forbid_unknown_fields=True):
    version: Annotated[Literal[1], Meta(description="The format of this file: 1.")]
    nodes: Annotated[
        list[NodeFields],
        Meta(min_length=1, description="The machines: a list, at least one."),
    ]
    defaults: (
        Annotated[
            DefaultFields,
            Meta(description=f"What holds for nodes that do not say: {mapping_of(DefaultFields)}."),
        ]
        | UnsetType
    ) = UNSET
    weights: (
        Annotated[
            Weights,
            Meta(
                description="Which weights a model's name stands for, where nodes differ: the "
                'sha256 of its weights or its first 12 digits, like {"qwen3:14b": "a8cc1361f314"}, '
                "in quotes."
            ),
        ]
        | UnsetType
    ) = UNSET
    router: (
        Annotated[
            RouterFields,
            Meta(description=f"The router: {mapping_of(RouterFields)}."),
        ]
        | UnsetType
    ) = UNSET


def json_schema() -> dict[str, Any]:
    """JSON Schema 2020-12 of nodes.yaml."""
    made = msgspec.json.schema(File)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "nodes.yaml",
        "description": "The machines of DPL. GENERATED: make render",
        **made,
    }


def rendered() -> str:
    """The text of nodes.schema.json."""
    return json.dumps(json_schema(), indent=2) + "\n"
