"""Values of the wrong type in what the SDK has read: its reader takes them as they are."""

import enum
import types
import typing
from collections.abc import Iterator
from typing import Any

from grafana.build import sdk

PLUGINS = {
    "timeseries": (sdk.timeseries.Options, sdk.common.GraphFieldConfig),
    "stat": (sdk.stat.Options, None),
    "bargauge": (sdk.bargauge.Options, None),
    "state-timeline": (sdk.statetimeline.Options, sdk.statetimeline.FieldConfig),
    "table": (sdk.table.Options, sdk.common.TableFieldOptions),
    "heatmap": (sdk.heatmap.Options, sdk.heatmap.FieldConfig),
}
"""Kind of panel -> what its `options` and its `custom` are; the SDK calls both `object`."""


def wrong_types(value: Any, place: str = "") -> Iterator[str]:
    """Of an object of the SDK and all in it."""
    for name, wanted in hints(type(value)).items():
        found = getattr(value, name, None)
        yield from _wrong(found, wanted, f"{place}.{name}")
    if isinstance(value, sdk.dashboard.Panel):
        yield from _of_a_plugin(value, place)


def hints(kind: type) -> dict[str, Any]:
    """What the SDK says of its own attributes; nothing for a class that is not the SDK's."""
    if not kind.__module__.startswith("grafana_foundation_sdk"):
        return {}
    return typing.get_type_hints(kind)


def _of_a_plugin(panel: Any, place: str) -> Iterator[str]:
    options, custom = PLUGINS[panel.type_val]
    where = f"{place}({panel.title})"
    yield from _wrong(panel.options, options, f"{where}.options")
    for target in panel.targets or ():
        yield from _wrong(target, sdk.prometheus.Dataquery, f"{where}.targets")
    if custom and panel.field_config.defaults.custom is not None:
        yield from _wrong(panel.field_config.defaults.custom, custom, f"{where}.custom")


def _wrong(value: Any, wanted: Any, place: str) -> Iterator[str]:
    origin, arguments = typing.get_origin(wanted), typing.get_args(wanted)
    if origin in {typing.Union, types.UnionType}:
        choices = [list(_wrong(value, each, place)) for each in arguments]
        if all(choices):
            yield max((each[0] for each in choices), key=_depth)
    elif origin is typing.Literal:
        if value not in arguments:
            yield f"{place} is {value!r}"
    elif origin is list:
        if not isinstance(value, list):
            yield f"{place} is {value!r}, no list"
            return
        for at, each in enumerate(value):
            yield from _wrong(each, arguments[0], f"{place}[{at}]")
    elif origin is dict or wanted in {object, Any}:
        return
    else:
        yield from _wrong_plain(value, wanted, place)


def _depth(mistake: str) -> int:
    """Of several types that a value could have it is most likely the one that fits the furthest."""
    return mistake.split(" is ")[0].count(".")


def _wrong_plain(value: Any, wanted: Any, place: str) -> Iterator[str]:
    if isinstance(wanted, type) and issubclass(wanted, enum.Enum):
        if value not in {each.value for each in wanted}:
            yield f"{place} is {value!r}, not one of {wanted.__name__}"
        return
    if isinstance(value, dict) and hasattr(wanted, "from_json"):
        value = wanted.from_json(value)
    allowed = (int, float) if wanted is float else wanted
    boolean = isinstance(value, bool) and wanted in {int, float}
    if boolean or not isinstance(value, allowed):
        yield f"{place} is {value!r}, no {wanted.__name__}"
    else:
        yield from wrong_types(value, place)
