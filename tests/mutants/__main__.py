"""`python -m tests.mutants [WORD…]`: every mutant of the rules, or those that hold a word."""

import sys
import time

from tests.mutants.hunt import Hunt


def main(words: list[str]) -> int:
    hunt = Hunt()
    told = [str(one) for one in hunt.mutants()] + [rule.name for rule in hunt.rules]
    unknown = [word for word in words if not any(word in text for text in told)]
    if unknown:
        print(f"no alert {' or '.join(unknown)}", file=sys.stderr)
        return 2
    mutants = [
        one for one in hunt.mutants() if not words or any(word in str(one) for word in words)
    ]
    began = time.monotonic()
    alive = hunt.survivors(mutants)
    for mutant in alive:
        print(f"survived: {mutant}")
    seconds = time.monotonic() - began
    print(f"{len(mutants)} mutants, {len(alive)} survived, {seconds:.0f} s")
    return 1 if alive or not mutants else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
