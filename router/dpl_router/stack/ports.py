"""Free ports of this machine: the usual ones where they are, else the next."""

import socket
from dataclasses import dataclass, field

from dpl_router.errors import DplError

USUAL = {"router": 8000, "exporter": 8001, "llm": 8080, "prometheus": 9090, "alertmanager": 9093}
REACH = 200
"""How far from the usual port we look."""


class NoPort(DplError):
    code = "no_port"


@dataclass(slots=True)
class Ports:
    """Hands out each port once. `moved`: a sentence for each that is not the usual one."""

    given: set[int] = field(default_factory=set)
    moved: list[str] = field(default_factory=list)

    def take(self, part: str, host: str = "127.0.0.1") -> int:
        """A second exporter or LLM has the next port without a word. Raises: NoPort."""
        usual = USUAL[part]
        others = set(USUAL.values()) - {usual}
        for port in range(usual, usual + REACH):
            if port in self.given or port in others or not is_free(port, host):
                continue
            if port != usual and usual not in self.given:
                self.moved.append(f"port {usual} is taken: {part} listens on {port}")
            self.given.add(port)
            return port
        raise NoPort(f"no port is free for {part} between {usual} and {usual + REACH - 1}")


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Could a server listen there? Also false where one listens on all addresses."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((host, port))
        except OSError:
            return False
    return True
