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
    """Every series exists from the start, but for those of models."""

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
        self._mismatch = page.levels(
            "dpl_model_identity_mismatch",
            "1: nodes have different weights or quantisation under this name; some are left out.",
            ["model"],
        )

    def identities(self, known: Collection[str], odd: Collection[str]) -> None:
        """`known`: the models that have series of their own; 0 exists for each."""
        for model in known:
            self._mismatch.labels(model).set(model in odd)
