"""Every way the exporter can refuse or fail.

ExporterError
├── SettingsError              a flag, variable or file is wrong: one line, exit 2
├── StartError                 the address cannot be served (port in use): one line, exit 2
├── NoData                     this machine has nothing of that kind: no series, no failure
├── Failed                     a collector failed but has something to say now (`families`)
├── DriverFailed               the GPU driver does not answer at all, or not as it should
├── CardLost                   the driver answers, but not for this GPU
├── LlmError                   the LLM server
│   ├── LlmUnreachable         no connection, or silent beyond the deadline
│   └── LlmBadAnswer           it answered, but not what its kind answers
└── Refused                    a request over HTTP; `extra` goes into the JSON beside `error`
    ├── BadRequest        400  nothing was changed
    ├── NotAuthenticated  401
    ├── NotAllowed        403
    ├── NotFound          404
    ├── MethodNotAllowed  405  `Allow` lists the methods
    ├── Conflict          409  somebody holds the node, or the token is not current
    ├── TooLarge          413
    ├── TooManyWrongKeys  429
    └── Unavailable       503
"""

from collections.abc import Mapping, Sequence

from prometheus_client import Metric


class ExporterError(Exception):
    """`message` is one line for a person: what, where, why, next step."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class SettingsError(ExporterError):
    """Raised before anything was started."""


class StartError(ExporterError):
    """The settings are fine, but the machine does not let us serve."""


class NoData(ExporterError):
    """Raised by a collector at the start where there is nothing to read (no driver, no disk)."""


class Failed(ExporterError):
    """`families` are true now; the guard serves last time's for the others."""

    def __init__(self, message: str, families: Sequence[Metric] = ()) -> None:
        super().__init__(message)
        self.families = tuple(families)


class DriverFailed(ExporterError):
    """`code` is NVML's, None where it was not NVML that said so."""

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code


class CardLost(ExporterError):
    """Fell off the bus, or waits for a reset. The other cards go on."""


class LlmError(ExporterError):
    """Raised by `local_http` and by the backends."""


class LlmUnreachable(LlmError):
    """Nobody is there, or nobody answers in time."""


class LlmBadAnswer(LlmError):
    """An HTTP status or a body that this kind of server does not send."""


class Refused(ExporterError):
    """Becomes `status` with `{"error": message, **extra}`."""

    status = "500 Internal Server Error"

    def __init__(
        self,
        message: str,
        *,
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(message)
        self.headers = dict(headers or {})
        self.extra = dict(extra or {})


class BadRequest(Refused):
    status = "400 Bad Request"


class NotAuthenticated(Refused):
    status = "401 Unauthorized"


class NotAllowed(Refused):
    status = "403 Forbidden"


class NotFound(Refused):
    status = "404 Not Found"


class MethodNotAllowed(Refused):
    status = "405 Method Not Allowed"


class Conflict(Refused):
    status = "409 Conflict"


class TooLarge(Refused):
    status = "413 Content Too Large"


class TooManyWrongKeys(Refused):
    status = "429 Too Many Requests"


class Unavailable(Refused):
    status = "503 Service Unavailable"
