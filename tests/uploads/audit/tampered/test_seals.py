"""Seals whose rows were changed, also with the signing key in hand."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.uploads.audit.strategies import other
from tests.uploads.audit.tampered.sealed_trail import LAST, examples, found
from tests.uploads.audit.tampering import as_owner, delete, replaced, rows_of
from tests.uploads.audit.trails import KEY
from uploads.audit.canonical import Seal
from uploads.audit.serialization import row_of, seal_of
from uploads.models import AuditSeal

pytestmark = pytest.mark.django_db


class TestSeals:
    @examples
    @given(data=st.data())
    def test_any_field_changed(self, trail, data):
        with as_owner():
            seal = AuditSeal.objects.get(number=data.draw(st.integers(1, LAST)))
            column = data.draw(
                st.sampled_from(
                    [
                        "sealed_at",
                        "first_event",
                        "last_event",
                        "event_count",
                        "root",
                        "previous",
                        "signature",
                        "key_id",
                        "next_key",
                        "object_key",
                    ]
                )
            )
            value = getattr(seal, column)
            longest = getattr(AuditSeal._meta.get_field(column), "max_length", None)
            changed = data.draw(
                st.integers(1, 9)
                if value is None
                else other(value).filter(
                    lambda v: longest is None or len(str(v)) <= longest
                )
            )
            rows_of(AuditSeal).filter(pk=seal.pk).update(**{column: changed})
            report = trail.verify()
            kind = "forged signature" if column == "signature" else "changed"
            assert [(f.kind.value, f.subject) for f in report.faults] == [
                (kind, f"seal {seal.pk}")
            ]
            if column != "signature":
                assert column in report.faults[0].detail

    @examples
    @given(data=st.data())
    def test_signatures_exchanged(self, trail, data):
        with as_owner():
            numbers = st.integers(1, LAST)
            a, b = data.draw(st.lists(numbers, min_size=2, max_size=2, unique=True))
            signatures = dict(AuditSeal.objects.values_list("number", "signature"))
            rows_of(AuditSeal).filter(pk=a).update(signature=signatures[b])
            rows_of(AuditSeal).filter(pk=b).update(signature=signatures[a])
            expected = {("forged signature", f"seal {n}") for n in (a, b)}
            assert found(trail) == expected
            assert found(trail, read_copies=False) >= expected

    def test_fork_signed_by_the_key(self, trail):
        """Who has the private key still cannot replace what the chain goes through."""
        with as_owner():
            row = AuditSeal.objects.get(number=2)
            forged = KEY.sign(
                Seal(**{**_values(seal_of(row)), "event_count": 7, "signature": ""})
            )
            delete(rows_of(AuditSeal).filter(number=2))
            rows_of(AuditSeal).bulk_create([row_of(forged, trail.copies)])
            assert found(trail) == {("changed", "seal 2")}
            # With the copy replaced as well, the next seal still names the first one.
            key = trail.copies.seal_key(2)
            with replaced(trail.storage, key, forged.file_bytes()):
                assert found(trail) == {("broken chain", "seal 3")}


def _values(seal: Seal) -> dict[str, Any]:
    return {name: getattr(seal, name) for name in Seal.__dataclass_fields__}
