"""A cookie that stands for a key."""

from dpl_router.security.sessions import LASTS, MOST, Sessions, cookie

KEY = b"k" * 32


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
    tokens = [sessions.begin(KEY) for _ in range(MOST + 1)]

    assert sessions.key_of(tokens[0]) is None
    assert sessions.key_of(tokens[1]) == KEY
    assert len(set(tokens)) == MOST + 1


def test_the_session_is_found_among_the_cookies_of_other_programs_on_the_host() -> None:
    assert cookie(b"grafana_session=x; dpl_session=abc; a=b") == "abc"
    assert cookie(b'dpl_session="abc"') == "abc"
    assert cookie(b"dpl_session") == ""
    assert cookie(b"not_dpl_session=abc; \xff=\xfe") == ""
