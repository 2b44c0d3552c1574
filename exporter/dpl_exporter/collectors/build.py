"""Which exporter this is."""

import platform
from collections.abc import Iterable

from prometheus_client import Metric

from dpl_exporter import __version__
from dpl_exporter.collectors.base import Collector, info


class BuildCollector(Collector):
    """dpl_exporter_build_info; `revision` is what DPL_REVISION says (images set it)."""

    name = "build"

    def __init__(self, revision: str) -> None:
        self._revision = revision

    def collect(self) -> Iterable[Metric]:
        yield from info(
            "dpl_exporter_build",
            "Which exporter this is.",
            [
                {
                    "version": __version__,
                    "revision": self._revision,
                    "python": platform.python_version(),
                }
            ],
        )
