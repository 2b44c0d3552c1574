"""Every mutant of the rules under promtool: one that no test notices has survived."""

import json
import subprocess
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.fakes.programs import ROOT, find_program
from tests.mutants.equal import EQUAL
from tests.mutants.rules import (
    Document,
    Mutant,
    Rule,
    dependents,
    load_rules,
    load_tests,
    mutants_of,
    needed,
    tests_of_alert,
    tests_of_series,
)

PATIENCE = 120.0
AT_ONCE = 2
"""promtool takes a core for itself."""


@dataclass(frozen=True, slots=True)
class Court:
    """One alert or recorded series: the rules it needs and the cases that judge it."""

    rules: Sequence[Rule]
    cases: Sequence[str]
    """As promtool reads them, each a file."""


class Hunt:
    def __init__(self, folder: Path = ROOT / "prometheus") -> None:
        self.rules = load_rules(folder / "rules")
        self.tests = load_tests(folder / "tests")
        self._promtool = find_program("promtool")

    def mutants(self) -> list[Mutant]:
        """Without those that are the same as the rule."""
        found = [mutant for rule in self.rules for mutant in mutants_of(rule)]
        return [one for one in found if (one.rule.name, one.what) not in EQUAL]

    def survivors(self, mutants: Sequence[Mutant]) -> list[Mutant]:
        """In the order given. Raises: ValueError where the rules fail unchanged."""
        courts = {rule: self.court(rule) for rule in dict.fromkeys(one.rule for one in mutants)}
        with ThreadPoolExecutor(AT_ONCE) as pool:
            unchanged = "".join(pool.map(lambda court: self.failures(court, None), courts.values()))
            if unchanged:
                raise ValueError(f"the unchanged rules do not pass their tests:\n{unchanged}")
            found = pool.map(lambda one: self.failures(courts[one.rule], one), mutants)
            return [one for one, said in zip(mutants, found, strict=True) if not said]

    def court(self, rule: Rule) -> Court:
        if rule.is_alert:
            cases = tests_of_alert(rule, self.tests)
            return Court([*needed(rule.reads, self.rules), rule], [*map(text, cases)])
        names = dependents(rule.name, self.rules)
        cases = tests_of_series(names, self.tests)
        return Court(needed(names, self.rules), [*map(text, cases)])

    def failures(self, court: Court, mutant: Mutant | None) -> str:
        """What promtool says with `mutant` in its rule's place; empty where all cases pass.

        `mutant` None = the rules as they are.
        """
        rules = [
            mutant.changed.said if mutant is not None and rule is mutant.rule else rule.said
            for rule in court.rules
        ]
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            document = text({"groups": [{"name": "g", "rules": rules}]})
            (folder / "rules.yml").write_text(document, encoding="utf-8")
            files = [folder / f"{at}_test.yml" for at, _ in enumerate(court.cases)]
            for file, case in zip(files, court.cases, strict=True):
                file.write_text(case, encoding="utf-8")
            return self._tested(files)

    def _tested(self, files: Sequence[Path]) -> str:
        """Without any file nothing judges the rule, so its mutants live."""
        if not files:
            return ""
        done = subprocess.run(
            [self._promtool, "test", "rules", *map(str, files)],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        said = done.stdout + done.stderr
        if done.returncode != 0 and "FAILED" not in said:
            raise ValueError(f"promtool did not run: {said}")
        if "could not parse" in said or "parse error" in said:
            raise ValueError(f"a mutant that is no PromQL proves nothing: {said}")
        return said if done.returncode != 0 else ""


def text(document: Document) -> str:
    """JSON is YAML, and quick."""
    return json.dumps(document)
