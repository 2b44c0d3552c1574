"""The types of grafana-foundation-sdk that the dashboards are made of.

Its models of version 1 say at import that version 2 is preferred. We stay on 1, the only JSON that
Grafana provisions from files, so that one sentence is not passed on. Its builders are not used:
their layout goes past column 24, and the models take everything by name.
"""

import warnings

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", "Prefer using dashboardv2", DeprecationWarning)
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.cog.plugins import register_default_plugins
    from grafana_foundation_sdk.models import (
        bargauge,
        common,
        dashboard,
        heatmap,
        prometheus,
        stat,
        statetimeline,
        table,
        timeseries,
        units,
    )

__all__ = [
    "JSONEncoder",
    "bargauge",
    "common",
    "dashboard",
    "heatmap",
    "prometheus",
    "register_default_plugins",
    "stat",
    "statetimeline",
    "table",
    "timeseries",
    "units",
]
