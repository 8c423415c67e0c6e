"""A database that only reads, such as a standby: staff's pages answer 503, no error."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test import Client

pytestmark = pytest.mark.django_db


@pytest.fixture
def admin(admin_client: Client) -> Client:
    admin_client.raise_request_exception = False
    return admin_client


def only_read() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL transaction_read_only = on")


@pytest.mark.parametrize(
    ("address", "form"),
    [
        ("login/", {"username": "admin", "password": "password"}),
        ("login/", {"username": "admin", "password": "wrong"}),
        ("logout/", {}),
        ("auth/group/add/", {"name": "writers"}),
        ("tokens/token/add/", {"name": "ci", "can_read": "on", "days": "5"}),
        (
            "uploads/uploadevent/",
            {"action": "export_csv", "select_across": "1", "_selected_action": "1"},
        ),
    ],
)
def test_writes__unavailable(admin, make_upload, address, form):
    make_upload()
    owner = User.objects.get()
    with transaction.atomic():
        only_read()
        response = admin.post(f"/admin/{address}", {"user": owner.pk, **form})
        transaction.set_rollback(True)
    assert response.status_code == 503
    assert response.headers["Retry-After"]
    assert "The database is unavailable." in response.content.decode()


def test_session_to_be_extended__unavailable__lists_shown(admin):
    """Django takes any error of the database for a session that was deleted: 400."""
    with transaction.atomic():
        only_read()
        response = admin.get("/admin/uploads/upload/")
        transaction.set_rollback(True)
    assert response.status_code == 503
    assert "The database is unavailable." in response.content.decode()
    admin.get("/admin/")  # extends the session
    only_read()
    assert admin.get("/admin/uploads/upload/").status_code == 200
