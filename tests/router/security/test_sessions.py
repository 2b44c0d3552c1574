"""A cookie that stands for a key."""

from dpl_router.security.sessions import (
    LASTS,
    MOST,
    MOST_OF_A_KEY,
    Sessions,
    cookie_name,
    cookies,
)

KEY = b"k" * 32
OTHER = b"o" * 32


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_session_lapses_whether_it_is_used_or_not() -> None:
    clock = Clock()
    sessions = Sessions(clock)
    token = sessions.begin(KEY)
    clock.now += LASTS - 1
    before = sessions.key_of(token)
    clock.now += 1

    assert (before, sessions.key_of(token)) == (KEY, None)


def test_a_session_that_was_ended_is_none() -> None:
    sessions = Sessions(Clock())
    mine, other = sessions.begin(KEY), sessions.begin(KEY)
    sessions.end(mine)
    sessions.end("there is no such one")

    assert sessions.key_of(mine) is None
    assert sessions.key_of(other) == KEY
    assert sessions.key_of("") is None


def test_the_oldest_session_goes_where_there_are_too_many() -> None:
    sessions = Sessions(Clock())
    tokens = [sessions.begin(at.to_bytes(32)) for at in range(MOST + 1)]

    assert sessions.key_of(tokens[0]) is None
    assert sessions.key_of(tokens[1]) == (1).to_bytes(32)
    assert len(set(tokens)) == MOST + 1


def test_who_signs_in_again_and_again_signs_only_itself_out() -> None:
    sessions = Sessions(Clock())
    other = sessions.begin(OTHER)
    tokens = [sessions.begin(KEY) for _ in range(MOST + 1)]
    kept = [token for token in tokens if sessions.key_of(token) == KEY]

    assert sessions.key_of(other) == OTHER
    assert kept == tokens[-MOST_OF_A_KEY:]


def test_sessions_that_lapsed_make_room_before_any_other() -> None:
    clock = Clock()
    sessions = Sessions(clock)
    for at in range(MOST):
        sessions.begin(at.to_bytes(32))
    clock.now += LASTS
    sessions.begin(KEY)

    assert len(sessions) == 1


def test_the_session_is_found_among_the_cookies_of_other_programs_on_the_host() -> None:
    host = b"localhost:8000"

    assert cookies(b"grafana_session=x; dpl_session_8000=abc; a=b", host) == ["abc"]
    assert cookies(b'dpl_session_8000="abc"', host) == ["abc"]
    assert cookies(b"dpl_session_8000=x; dpl_session_80=y; dpl_session_8000=z", host) == ["x", "z"]
    assert cookies(b"dpl_session_8000", host) == [""]
    assert cookies(b"not_dpl_session_8000=abc; dpl_session=abc; \xff=\xfe", host) == []


def test_the_cookies_name_tells_the_port_that_the_browser_asks() -> None:
    """Where a container's port is another one outside, only the caller knows which."""
    assert cookie_name(b"localhost:8000") == "dpl_session_8000"
    assert cookie_name(b"[::1]:8001") == "dpl_session_8001"
    assert cookie_name(b"dpl.example") == "dpl_session"
    assert cookie_name(b"[::1]") == "dpl_session"
    assert cookie_name(b"a:\xb2") == "dpl_session"
    assert cookie_name(b"") == "dpl_session"
