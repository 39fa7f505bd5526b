"""How a new span is laid over those that stand, as worked examples."""

from __future__ import annotations

from datetime import date
from itertools import pairwise

import pytest

from rcm.network.spans import Kept, Laid, Piece, lay

JAN, MAR, JUN, SEP, DEC = (date(2026, m, 1) for m in (1, 3, 6, 9, 12))
DAY = {n: date(2026, *n) for n in ((2, 28), (5, 31), (8, 31))}


def in_(first, last=None, note=""):
    return Piece("in", first, last, note)


def out(first, last=None, note=""):
    return Piece("out", first, last, note)


def test_the_first_span_is_just_opened():
    assert lay([], in_(JAN)).opened == (in_(JAN),)


def test_a_new_standing_ends_the_open_one_on_the_day_before():
    laid = lay([Kept(1, in_(JAN))], out(JUN))
    assert laid.ends == ((1, DAY[5, 31]),)
    assert laid.opened == (out(JUN),)
    assert laid.withdrawn == ()


def test_what_stands_already_changes_nothing():
    assert lay([Kept(1, in_(JAN))], in_(JAN)).unchanged
    assert lay([Kept(1, in_(JAN))], in_(MAR)).unchanged
    assert lay([Kept(1, in_(JAN))], in_(MAR, JUN)).unchanged


def test_the_same_span_with_a_last_day_only_gets_it():
    assert lay([Kept(1, in_(JAN))], in_(JAN, DAY[5, 31])) == Laid(
        ends=((1, DAY[5, 31]),), before=in_(JAN), after=in_(JAN, DAY[5, 31])
    )


def test_a_last_day_is_set_once_another_one_is_another_span():
    laid = lay([Kept(1, in_(JAN, DAY[2, 28]))], in_(JAN, DAY[5, 31]))
    assert laid.withdrawn == (1,)
    assert laid.opened == (in_(JAN, DAY[5, 31]),)


def test_a_span_inside_an_open_one_lets_it_go_on_behind():
    laid = lay([Kept(1, in_(JAN))], out(MAR, DAY[5, 31]))
    assert laid.ends == ((1, DAY[2, 28]),)
    assert laid.opened == (out(MAR, DAY[5, 31]), in_(JUN))


def test_an_open_span_holds_until_the_next_one_that_stands():
    laid = lay([Kept(1, out(JUN))], in_(JAN))
    assert laid.opened == (in_(JAN, DAY[5, 31]),)
    assert (laid.ends, laid.withdrawn) == ((), ())


def test_a_correction_of_the_same_day_withdraws_what_was_wrong():
    laid = lay([Kept(1, in_(JAN))], out(JAN))
    assert laid.withdrawn == (1,)
    assert laid.opened == (out(JAN),)


@pytest.mark.parametrize("new", [out(MAR), out(MAR, JUN), in_(JAN, MAR), out(JAN, DEC), in_(DEC)])
def test_no_two_spans_ever_hold_on_one_day(new):
    kept = [
        Kept(1, in_(JAN, DAY[2, 28])),
        Kept(2, out(MAR, DAY[5, 31])),
        Kept(3, in_(JUN, DAY[8, 31])),
    ]
    laid = lay(kept, new)
    ends = dict(laid.ends)
    left = [
        Piece(k.piece.status, k.piece.first, ends.get(k.key, k.piece.last))
        for k in kept
        if k.key not in laid.withdrawn
    ]
    pieces = sorted([*left, *laid.opened], key=lambda p: p.first)
    for one, other in pairwise(pieces):
        assert one.last is not None
        assert one.last < other.first
