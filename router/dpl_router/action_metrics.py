"""What is counted of cordons, of alerts that ask for them, and of names that mean two models."""

from collections.abc import Collection
from typing import Literal, get_args

from dpl_router.tallies import Page

CordonSource = Literal["operator", "alert"]
WebhookOutcome = Literal["ok", "refused", "incomplete"]
"""refused: the body is none of Alertmanager's; incomplete: cut short, the rest not to be had."""
AlertAction = Literal["cordon", "drain"]
ActionOutcome = Literal["cordoned", "floor", "unknown_node", "lifted", "lapsed", "overruled"]
"""floor: too few would serve; lifted: the node is well; lapsed: no repeat came; overruled: too few
serve now."""


class ActionMetrics:
    """Every series exists from the start, but for those of models and of nodes."""

    def __init__(self, page: Page) -> None:
        cordons = page.counts("dpl_router_node_cordons_total", "Nodes cordoned.", ["source"])
        self.cordons = {word: cordons.labels(word) for word in get_args(CordonSource)}
        webhooks = page.counts(
            "dpl_router_alert_webhooks_total", "Alertmanager calls.", ["outcome"]
        )
        self.webhooks = {word: webhooks.labels(word) for word in get_args(WebhookOutcome)}
        actions = page.counts(
            "dpl_router_alert_actions_total",
            "What came of alerts that ask for a cordon or a drain.",
            ["action", "outcome"],
        )
        self.actions = {
            (action, outcome): actions.labels(action, outcome)
            for action in get_args(AlertAction)
            for outcome in get_args(ActionOutcome)
        }
        self._withheld = page.levels(
            "dpl_router_cordon_withheld",
            "1 while an alert asks for a cordon, too few others would serve, and the node does.",
            ["node"],
        )
        self._nodes: frozenset[str] = frozenset()
        self._mismatch = page.levels(
            "dpl_model_identity_mismatch",
            "1: nodes have different weights or quantisation under this name; some are left out.",
            ["model"],
        )

    def withheld(self, nodes: Collection[str], serving: Collection[str]) -> None:
        """`nodes`: all that there are; 0 exists for each. `serving`: those that should not."""
        for gone in self._nodes.difference(nodes):
            self._withheld.remove(gone)
        self._nodes = frozenset(nodes)
        for node in nodes:
            self._withheld.labels(node).set(node in serving)

    def identities(self, known: Collection[str], odd: Collection[str]) -> None:
        """`known`: the models that have series of their own; 0 exists for each."""
        for model in known:
            self._mismatch.labels(model).set(model in odd)
