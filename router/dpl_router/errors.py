"""Every way the router can refuse or fail.

DplError
├── ConfigError                nodes.yaml or a setting is wrong; we do not start
├── BadRequest            400  the body is not what the protocol says; `param` names the place
│   ├── RequestRefused         the node's own 400, 413, 415 or 422, with its message
│   ├── TooLarge          413
│   └── Unsupported       415
├── NotAuthenticated      401
├── NotAllowed            403
├── NotFound              404  also what belongs to somebody else
│   └── ModelUnknown      404  `near` lists similar names
├── MethodNotAllowed      405  `allow` lists the methods
├── Conflict              409
│   └── LeaseLost         409  the node's lock belongs to somebody else
├── Overloaded            429  `retry_after` in seconds
├── NoEligibleNode        503  every node was rejected; `rejections` says why
├── Unavailable           503  Prometheus or Alertmanager does not answer, or we drain
├── ClientGone                 the caller hung up: nobody is left to answer
└── UpstreamError         502
    ├── UpstreamUnreachable    nothing arrived: another node may be tried
    ├── UpstreamRefused        an error status, or no answer at all, before it: likewise
    │   └── UpstreamBusy  429  its own 429: the client may come again
    ├── UpstreamSilent    504  no first token within its budget: likewise
    └── UpstreamBroke          died in the middle: tried elsewhere only if nothing went out
        └── NoModelList        what it lists is none: it may be of another kind
"""

from collections.abc import Mapping, Sequence


class DplError(Exception):
    """A refusal or failure with an HTTP status and a closed, machine-readable `code`."""

    status = 500
    code = "internal_error"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class ConfigError(DplError):
    """Raised before anything was started: says what is wrong, where, and what to do."""

    code = "bad_configuration"


class BadRequest(DplError):
    """`param` is the place in the body (`messages[2].role`), None where it is the whole."""

    status = 400
    code = "invalid_request"

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


class RequestRefused(BadRequest):
    """The node said that the request itself is wrong; its status is kept."""

    code = "request_refused"

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class TooLarge(BadRequest):
    status = 413
    code = "request_too_large"


class Unsupported(BadRequest):
    status = 415
    code = "unsupported_media_type"


class NotAuthenticated(DplError):
    status = 401
    code = "invalid_api_key"


class NotAllowed(DplError):
    status = 403
    code = "not_allowed"


class NotFound(DplError):
    status = 404
    code = "not_found"


class ModelUnknown(NotFound):
    """`near` lists names of ours that look like the one asked for."""

    code = "model_not_found"

    def __init__(self, message: str, near: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.near = tuple(near)


class MethodNotAllowed(DplError):
    status = 405
    code = "method_not_allowed"

    def __init__(self, message: str, allow: Sequence[str]) -> None:
        super().__init__(message)
        self.allow = tuple(allow)


class Conflict(DplError):
    status = 409
    code = "conflict"


class LeaseLost(Conflict):
    code = "lease_lost"


class Overloaded(DplError):
    """`retry_after`: seconds after which a new try makes sense."""

    status = 429
    code = "overloaded"

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class NoEligibleNode(DplError):
    """`rejections`: node name -> the filter's word (closed set of the catalogue)."""

    status = 503
    code = "no_eligible_node"

    def __init__(
        self,
        message: str,
        rejections: Mapping[str, str] | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.rejections = dict(rejections or {})
        self.retry_after = retry_after


class Unavailable(DplError):
    status = 503
    code = "unavailable"

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ClientGone(DplError):
    """Never answered: there is nobody left. The status is the one that logs know (nginx)."""

    status = 499
    code = "client_gone"


class UpstreamError(DplError):
    """A node failed. `message` holds no secret and at most 200 characters of the node's words."""

    status = 502
    code = "upstream_error"


class UpstreamUnreachable(UpstreamError):
    """No byte of an answer arrived. `sent_whole`: the request had left us completely."""

    code = "upstream_unreachable"

    def __init__(self, message: str, *, sent_whole: bool = False) -> None:
        super().__init__(message)
        self.sent_whole = sent_whole


class UpstreamRefused(UpstreamError):
    """An error status before the first token; `upstream_status` is the node's own."""

    code = "upstream_refused"

    def __init__(
        self, message: str, upstream_status: int, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.upstream_status = upstream_status
        self.retry_after = retry_after


class UpstreamBusy(UpstreamRefused):
    """Its 429. The client's own, where no other node would have it: it may come again."""

    status = 429
    code = "overloaded"


class UpstreamSilent(UpstreamError):
    status = 504
    code = "upstream_timeout"


class UpstreamBroke(UpstreamError):
    """The answer ended before its end: a cut, a stall, or bytes that are no answer."""

    code = "upstream_broke"


class NoModelList(UpstreamBroke):
    """What a node says when it is asked for its models is no list of them, or a 404."""
