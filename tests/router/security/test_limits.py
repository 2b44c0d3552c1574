"""Guessing keys is slow and costs no memory."""

from dpl_router.security.limits import ALLOWED, MAX_ADDRESSES, WrongKeys


def test_an_address_may_try_a_hundred_in_any_minute() -> None:
    now = [0.0]
    wrong = WrongKeys(lambda: now[0])
    for n in range(ALLOWED):
        now[0] = n * 0.1
        assert wrong.count("a") is None

    now[0] = 30.0
    assert wrong.count("a") == 30.0
    assert wrong.count("b") is None
    now[0] = 60.05
    assert [wrong.count("a") is None for _ in range(2)] == [True, False]


def test_a_flood_from_everywhere_is_forgotten_again() -> None:
    wrong = WrongKeys(lambda: 0.0)
    for n in range(3 * MAX_ADDRESSES):
        wrong.count(str(n))

    assert wrong.remembered == MAX_ADDRESSES
