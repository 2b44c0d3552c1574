"""An OpenAI chat stream from a node, checked event by event and passed on as bytes.

Events that differ in their text only are passed on in runs, any other costs one msgspec decode
and one concatenation. What real servers get wrong is put right on a slower path
(`openai_mended`), so that every client sees one id, one `created`, the model name it used, the
role once, and one finish reason per choice.
"""

from dpl_router.conversation import Delta, Done, Failed, Piece
from dpl_router.errors import DplError, UpstreamBroke
from dpl_router.loose_json import MALFORMED, is_error, without_lone_surrogates
from dpl_router.upstreams.complaint import TOLD, complaint, told_inside
from dpl_router.upstreams.openai_alike import Alike, learn
from dpl_router.upstreams.openai_chunks import (
    CHUNK,
    ChoicePart,
    Chunk,
    TimingsPart,
    UsagePart,
    events_of,
)
from dpl_router.upstreams.openai_mended import Choice, Names, apart, unfinished
from dpl_router.upstreams.sse import SseEvent, SseReader

PREFACE_LIMIT = 64 * 1024
LESSONS = 4
"""How often the common shape of a stream's events is looked for: some have none."""
LESSON_BYTES = 4096
LOOKS = 8
"""How often a piece of so many bytes is cut for it."""
ROLE = Delta("")


class StreamDecoder:
    """Pieces whose bytes are whole events for an OpenAI client, without `data: [DONE]`.

    `Done` comes once, at the true end: `[DONE]`, or a clean end, after a finish reason. Its
    bytes are the usage chunk where the client wants one, else empty.
    Raises: UpstreamRefused or RequestRefused where nothing was handed out yet, UpstreamBroke
    after that.
    """

    def __init__(self, model: str, request_id: str, wants_usage: bool, now: float) -> None:
        """`model`: the name that the client sees. `now`: seconds since the epoch."""
        self._reader = SseReader()
        self._names = Names(model, (f"chatcmpl-{request_id}", int(now)))
        self._wants_usage = wants_usage
        self._preface: list[bytes] = []
        self._preface_size = 0
        self._choices: dict[int, Choice] = {}
        self._usage: UsagePart | None = None
        self._usage_chunk: bytes | None = None
        self._timings: TimingsPart | None = None
        self._alike: Alike | None = None
        self._lesson: tuple[bytes, Chunk] | None = None
        self._lessons = LESSONS
        self._looks = LOOKS
        self._calm = False
        """The last event was a plain one: another like it may follow."""
        self._even = False
        """So it was, and nothing of the next has come: nearly always, once `_alike` is known."""
        self._role: list[Piece] = []
        self._handed_out = False
        self._done = False

    def feed(self, data: bytes) -> list[Piece]:
        if self._even and self._alike is not None:
            run = self._alike.run(data)
            if run is not None and run[2] == len(data):
                return [(Delta(run[0], "", run[1]), data)]
        self._even = False
        pieces: list[Piece] = []
        try:
            self._feed(data, pieces)
        except TOLD as error:
            if not pieces or self._awaits_words(pieces):
                raise
            self._fail(error, pieces)
        return pieces if self._handed_out else self._first(pieces)

    def _awaits_words(self, pieces: list[Piece]) -> bool:
        """Only the role was told so far; it says nothing of whether the node will answer."""
        return not self._handed_out and not self._role and len(pieces) == 1 and pieces[0][0] == ROLE

    def _first(self, pieces: list[Piece]) -> list[Piece]:
        """What may be handed out: the role goes with what comes next."""
        if self._awaits_words(pieces):
            self._role = pieces
            return []
        self._handed_out = bool(pieces)
        return self._role + pieces if pieces else pieces

    def _feed(self, data: bytes, pieces: list[Piece]) -> None:
        while data:
            if self._alike is not None and self._calm:
                data = self._run(self._alike, data, pieces)
                if not data:
                    self._even = True
                    return
            part, data = self._part(data)
            for name, payload in self._events(part):
                self.event(name, payload, pieces)
            if self._lesson is not None and self._lessons:
                self._lessons -= 1
                self._alike = learn(*self._lesson)
            self._lesson = None

    def _events(self, data: bytes | None) -> list[SseEvent]:
        """None = the end. The reader knows what is too long, not what was handed out before."""
        try:
            return self._reader.end() if data is None else self._reader.feed(data)
        except UpstreamBroke as broke:
            raise self._failure(broke.message) from None

    def _part(self, data: bytes) -> tuple[bytes, bytes]:
        """Two events at a time while the common shape may be learned from them, then all."""
        if self._alike is not None or not self._looks or len(data) < LESSON_BYTES:
            return data, b""
        self._looks -= 1
        end = data.find(b"\n\n", data.find(b"\n\n") + 2) + 2
        return (data[:end], data[end:]) if end > 1 else (data, b"")

    def end(self) -> list[Piece]:
        pieces: list[Piece] = []
        try:
            for name, payload in self._events(None):
                self.event(name, payload, pieces)
            if not self._done:
                if not self._finished():
                    raise self._failure("the answer ended without its last word")
                self._finish(pieces)
        except TOLD as error:
            if not (pieces and self._handed_out):
                raise
            self._fail(error, pieces)
        return pieces if self._handed_out else self._role + pieces

    def _fail(self, error: DplError, pieces: list[Piece]) -> None:
        pieces.append((Failed(UpstreamBroke(error.message)), b""))
        self._done = True

    def _run(self, alike: Alike, data: bytes, pieces: list[Piece]) -> bytes:
        """Pass on the events at the start of `data` that are like the last one; what is left."""
        begun = self._reader.unread()
        if begun is None:
            return data
        data = begun + data
        run = alike.run(data)
        if run is None:
            return data
        text, events, size = run
        pieces.append((Delta(text, events=events), data[:size]))
        return data[size:]

    def event(self, name: bytes, payload: bytes, pieces: list[Piece]) -> None:
        """Read one event; what it means is added to `pieces`."""
        self._calm = False
        if self._done or payload.startswith(b":") or payload == b"null":
            return  # a proxy wrapped a comment as data; llama.cpp has nothing to say yet
        if payload.strip() == b"[DONE]":
            if not self._finished() and self._usage_chunk is None:
                raise self._failure("the answer ended without a finish reason")
            self._finish(pieces)
            return
        payload = payload.replace(b"\n", b" ")
        chunk, payload = self._read(payload)
        if name == b"error" or is_error(chunk.error):
            raise self._failure(complaint(payload) or "the node told an error", payload)
        if chunk.usage is not None:
            self._usage = chunk.usage
        if chunk.timings is not None:
            self._timings = chunk.timings
        if chunk.choices and len(chunk.choices) == 1:
            self._chunk(chunk, chunk.choices[0], payload, pieces)
        elif chunk.choices:
            self._several(chunk, payload, pieces)
        else:
            self._without_choices(chunk, payload, pieces)

    def _read(self, payload: bytes) -> tuple[Chunk, bytes]:
        try:
            return CHUNK.decode(payload), payload
        except MALFORMED:
            pass
        payload = without_lone_surrogates(payload)
        try:
            return CHUNK.decode(payload), payload
        except MALFORMED:
            raise self._failure("an event of the node's stream is no chat chunk") from None

    # Chunks with a choice.

    def _chunk(self, chunk: Chunk, part: ChoicePart, payload: bytes, pieces: list[Piece]) -> None:
        choice = self._choices.get(part.index)
        if choice is None:
            self._names.take(chunk)
            choice = self._choices[part.index] = Choice()
        if choice.held:
            if part.says_nothing():
                self._usage_chunk = payload if chunk.usage is not None else self._usage_chunk
                return
            self._release(choice, pieces)
        delta = part.delta
        places = choice.place_tools(delta) if delta is not None and delta.tool_calls else []
        if choice.odd(part):
            payload = self._names.mended(payload, choice, places)
        elif self._names.foreign(chunk):
            payload = self._names.renamed(payload)
        elif choice.begun and len(self._choices) == 1:
            self._calm, self._lesson = not part.finish_reason, (payload, chunk)
        choice.begun = True
        data = b"data: " + payload + b"\n\n"
        if self._preface:
            data = self._preface_bytes() + data
        events = events_of(part, places)
        new: list[Piece] = [(events[0], data), *((event, b"") for event in events[1:])]
        if part.finish_reason:
            choice.finish, choice.held, choice.held_payload = part.finish_reason, new, payload
        else:
            pieces += new

    def _several(self, chunk: Chunk, payload: bytes, pieces: list[Piece]) -> None:
        """One chunk with several choices becomes a chunk for each."""
        for part, one in zip(chunk.choices or (), apart(payload), strict=True):
            self._chunk(chunk, part, one, pieces)

    def _release(self, choice: Choice, pieces: list[Piece]) -> None:
        """The held chunk was not the last: it goes on without its finish reason."""
        data = b"data: " + unfinished(choice.held_payload) + b"\n\n"
        pieces += [(choice.held[0][0], data), *choice.held[1:]]
        choice.held, choice.finish = [], None

    # Chunks without.

    def _without_choices(self, chunk: Chunk, payload: bytes, pieces: list[Piece]) -> None:
        if chunk.usage is not None:
            self._usage_chunk = payload
        elif chunk.choices is None:
            raise self._failure(complaint(payload) or "an event says nothing", payload)
        elif self._choices:
            pieces.append((Delta(""), b"data: " + self._names.renamed(payload) + b"\n\n"))
        else:
            self._preface_size += len(payload)
            if self._preface_size <= PREFACE_LIMIT:
                self._preface.append(payload)

    def _preface_bytes(self) -> bytes:
        """What came before the first choice, with the id and model that came after."""
        preface, self._preface = self._preface, []
        return b"".join(b"data: " + self._names.renamed(one) + b"\n\n" for one in preface)

    # The end.

    def _finished(self) -> bool:
        choices = self._choices.values()
        return bool(choices) and all(choice.finish is not None for choice in choices)

    def _finish(self, pieces: list[Piece]) -> None:
        for index, choice in self._choices.items():
            if choice.finish is None:
                pieces.append((Delta(""), b"data: " + self._names.finish(index) + b"\n\n"))
            pieces += choice.held
        first = self._choices.get(min(self._choices, default=0))
        finish = (first and first.finish) or "stop"
        usage = self._usage.told() if self._usage else None
        timings = self._timings.told() if self._timings else None
        pieces.append((Done(finish, usage, timings), self._usage_bytes()))
        self._done = True

    def _usage_bytes(self) -> bytes:
        if not self._wants_usage or self._usage_chunk is None:
            return b""
        return b"data: " + self._names.usage(self._usage_chunk) + b"\n\n"

    def _failure(self, message: str, payload: bytes = b"{}") -> DplError:
        return UpstreamBroke(message) if self._handed_out else told_inside(message, payload)
