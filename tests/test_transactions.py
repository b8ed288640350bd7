"""A transaction that the database ended for another one's sake is begun anew, by who began it."""

from __future__ import annotations

import pytest
from django.db import OperationalError, transaction

from audit.models import ChainHead
from runtime.transactions import have_row, repeated

DEADLOCK = OperationalError(1213, "Deadlock found when trying to get lock")
GONE = OperationalError(2006, "Server has gone away")


class Work:
    """Fails with *errors*, one after the other, then succeeds."""

    def __init__(self, *errors: OperationalError) -> None:
        self.errors = list(errors)
        self.calls = 0

    def __call__(self, value: str) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return value


def _serialization_failure() -> OperationalError:
    """As PostgreSQL's driver has it: the code is that of the cause."""
    error = OperationalError("deadlock detected")
    error.__cause__ = type("DeadlockDetected", (Exception,), {"sqlstate": "40P01"})()
    return error


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("error", [DEADLOCK, _serialization_failure()])
def test_what_the_database_asks_for_again_is_begun_anew(error: OperationalError) -> None:
    work = Work(error, error)
    assert repeated(work)("done") == "done"
    assert work.calls == 3


@pytest.mark.django_db(transaction=True)
def test_it_is_given_up_after_six_attempts() -> None:
    work = Work(*[DEADLOCK] * 9)
    with pytest.raises(OperationalError):
        repeated(work)("never")
    assert work.calls == 6


@pytest.mark.django_db(transaction=True)
def test_other_failures_are_not_repeated() -> None:
    work = Work(GONE)
    with pytest.raises(OperationalError):
        repeated(work)("never")
    assert work.calls == 1


@pytest.mark.django_db(transaction=True)
def test_inside_a_transaction_it_is_left_to_whoever_began_that() -> None:
    inner = Work(DEADLOCK)

    @repeated
    def outer() -> str:
        with transaction.atomic():
            return repeated(inner)("done")

    assert outer() == "done"
    assert inner.calls == 2


@pytest.mark.django_db
def test_a_row_that_is_there_stays_as_it_is() -> None:
    have_row(ChainHead(node="n", sequence=0), "default")
    ChainHead.objects.filter(node="n").update(sequence=7)
    have_row(ChainHead(node="n", sequence=0), "default")
    assert ChainHead.objects.get(node="n").sequence == 7
