"""Wrong passwords never lock out the owner, and one colleague's never another's."""

from __future__ import annotations

import pytest
from django.core import mail
from django.core.cache import cache
from django.test import Client
from django.urls import reverse

from rcm.accounts.attempts import ACCOUNT_AND_NETWORK, KNOWN_DEVICE, NETWORK

pytestmark = pytest.mark.django_db(transaction=True)
RIGHT = "correct-horse-9"
OWNER, COLLEAGUE = "adam", "ana"
OFFICE, ELSEWHERE = "198.51.100.7", "203.0.113.9"


@pytest.fixture(autouse=True)
def _fresh(cast_committed):
    cache.clear()
    yield
    cache.clear()


def sign_in(client: Client, who: str, password: str, address: str):
    return client.post(
        reverse("account_login"),
        {"login": f"{who}@cana.test", "password": password},
        REMOTE_ADDR=address,
    )


def guess(who: str, times: int, address: str = ELSEWHERE) -> None:
    stranger = Client()
    for _ in range(times):
        sign_in(stranger, who, "wrong-horse-0", address)


def is_in(answer) -> bool:
    return answer.status_code == 302 and "login" not in answer["Location"]


def test_a_strangers_guesses_leave_the_owner_at_his_own_place_alone():
    guess(OWNER, 20)
    assert is_in(sign_in(Client(), OWNER, RIGHT, OFFICE))


def test_the_guesser_himself_is_stopped_also_with_the_right_password():
    guess(OWNER, ACCOUNT_AND_NETWORK.most)
    answer = sign_in(Client(), OWNER, RIGHT, ELSEWHERE)
    assert answer.status_code == 200 and "Too many failed" in answer.content.decode()


def test_a_known_browser_gets_in_from_the_guessers_own_network():
    owner = Client()
    assert is_in(sign_in(owner, OWNER, RIGHT, OFFICE))
    owner.post(reverse("account_logout"))
    guess(OWNER, 150, OFFICE)
    assert is_in(sign_in(owner, OWNER, RIGHT, OFFICE))


def test_one_address_for_all_does_not_lock_the_colleagues():
    guess(OWNER, 60, OFFICE)
    assert is_in(sign_in(Client(), COLLEAGUE, RIGHT, OFFICE))


def test_a_stolen_cookie_of_another_account_makes_no_known_browser():
    thief = Client()
    sign_in(thief, COLLEAGUE, RIGHT, ELSEWHERE)
    thief.post(reverse("account_logout"))
    for _ in range(ACCOUNT_AND_NETWORK.most):
        sign_in(thief, OWNER, "wrong-horse-0", ELSEWHERE)
    assert not is_in(sign_in(thief, OWNER, RIGHT, ELSEWHERE))


def test_a_known_browser_has_a_limit_too():
    owner = Client()
    sign_in(owner, OWNER, RIGHT, OFFICE)
    owner.post(reverse("account_logout"))
    for _ in range(KNOWN_DEVICE.most):
        sign_in(owner, OWNER, "wrong-horse-0", OFFICE)
    assert not is_in(sign_in(owner, OWNER, RIGHT, OFFICE))
    assert is_in(sign_in(Client(), OWNER, RIGHT, OFFICE)), "another browser is not touched by it"


def test_a_new_password_makes_every_browser_a_stranger_once(cast_committed):
    owner = Client()
    sign_in(owner, OWNER, RIGHT, OFFICE)
    owner.post(reverse("account_logout"))
    user = cast_committed.user(OWNER)
    user.set_password("another-horse-9")
    user.save()
    guess(OWNER, ACCOUNT_AND_NETWORK.most, OFFICE)
    assert not is_in(sign_in(owner, OWNER, "another-horse-9", OFFICE))


def test_one_network_that_tries_every_account_is_stopped(settings):
    stranger = Client()
    for n in range(NETWORK.most):
        sign_in(stranger, f"nobody{n}", "wrong-horse-0", ELSEWHERE)
    assert not is_in(sign_in(Client(), COLLEAGUE, RIGHT, ELSEWHERE))
    assert is_in(sign_in(Client(), COLLEAGUE, RIGHT, OFFICE))


def test_the_owner_is_told_by_mail_and_at_the_next_sign_in():
    guess(OWNER, 5)
    assert [m.to for m in mail.outbox] == [[f"{OWNER}@cana.test"]]
    assert "5 times" in mail.outbox[0].body and "203.0.113.0/24" in mail.outbox[0].body
    owner = Client()
    sign_in(owner, OWNER, RIGHT, OFFICE)
    page = owner.get("/profile/").content.decode()
    assert "A wrong password was tried 5 times since your last sign-in" in page


def test_known_and_unknown_addresses_are_answered_alike():
    known = sign_in(Client(), OWNER, "wrong-horse-0", ELSEWHERE).content.decode()
    unknown = sign_in(Client(), "nobody", "wrong-horse-0", ELSEWHERE).content.decode()
    assert "correct" in known.lower()
    assert known.count("form") == unknown.count("form")
