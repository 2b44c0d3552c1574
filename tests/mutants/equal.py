"""Mutants that no test can notice, since what they say is the same; each with its reason."""

from collections.abc import Mapping

EQUAL: Mapping[tuple[str, str], str] = {
    (
        "DplGpuMissing",
        "min -> max near `at came up without its driver min by (node) ( (`",
    ): "one alert of a node either way; only the number in its description differs",
    (
        "node:dpl_llm_up:max",
        "max -> min near `x by (node) (dpl_llm_up) or max by (node) (up{node!`",
    ): "only those that are 1 are looked at",
}
"""(rule, mutant) -> why."""
