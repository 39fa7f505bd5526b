"""Who is this? Found by any words, without accents, by other names and numbers; the legal name leads."""

from __future__ import annotations

import pytest

from intake.models import Patient
from intake.services import patient_duplicates, patients_find
from rcm.accounts.scope import scope
from tests.intake.house import insured, patient
from tests.intake.test_hl7 import PID, adt, receive


@pytest.mark.django_db
@pytest.mark.parametrize(
    "text",
    [
        "Nunez",
        "n\u00fa\u00f1ez",
        "nunes jose",
        "jos\u00e9 nu\u00f1ez",
        "03271958 nun",
        "PRA123456789",
        "nunez pra123456789",
        "Pepe",
        "(312) 5550142".replace(" ", ""),
        "M880412 jose",
    ],
)
def test_a_chart_is_found_by_any_words_in_any_order(cast, text):
    with scope(cast.system):
        who = patient(
            cast,
            last="N\u00fa\u00f1ez",
            first="Jos\u00e9",
            other_names=[{"kind": "nickname", "last": "", "first": "Pepe"}],
        )
        insured(cast, who)
        patient(cast, last="Osterman", first="Liv", mrn="M2", phone="3125550177")
        assert [p.pk for p in patients_find(actor=cast.actor("ana"), text=text)] == [who.pk]


@pytest.mark.django_db
def test_an_accent_hides_no_duplicate(cast):
    with scope(cast.system):
        who = patient(cast, last="N\u00fa\u00f1ez", first="Jos\u00e9")
        (found,) = patient_duplicates(
            actor=cast.actor("ana"), last_name="Nunez", first_name="Jose", born_on=who.born_on
        )
        assert found.certain


@pytest.mark.django_db(transaction=True)
def test_the_legal_name_of_a_message_leads_and_the_alias_is_found(cast_committed):
    cast = cast_committed
    names = "QUINTERO^MARISOL^^^^^A~SALAZAR^MARISOL^^JR^^^L~OLDEN^MARISOL^^^^^M"
    receive(cast, "ADT", adt("A04", "M1", PID.replace("IBARRA^MARISOL^Q", names)))
    with scope(cast.system):
        who = Patient.objects.get()
        assert (who.last_name, who.first_name, who.suffix) == ("Salazar", "Marisol", "Jr")
        assert [(n["kind"], n["last"]) for n in who.other_names] == [
            ("alias", "Quintero"),
            ("maiden name", "Olden"),
        ]
        for text in ("quintero", "Salazar", "olden marisol"):
            assert patients_find(actor=cast.actor("ana"), text=text) == [who]
