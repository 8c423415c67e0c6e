from __future__ import annotations

import datetime as dt

import pytest
from django.test import Client
from django.utils import timezone

from uploads.hourly import floor_hour
from uploads.models import Action, Status, UploadEvent

pytestmark = pytest.mark.django_db


def text(client: Client, query: str = "") -> str:
    response = client.get(f"/admin/{query}")
    assert response.status_code == 200
    return response.content.decode()


def test_empty__says_what_to_do_first(admin_client, make_upload):
    page = text(admin_client)
    assert "No uploads yet" in page
    assert "curl -X POST http://testserver/api/upload-random" in page
    assert "<svg class=" not in page
    make_upload()
    assert '<p class="value">1</p>' in text(admin_client)


def test_empty__the_command_has_a_token_if_uploads_need_one(admin_client, settings):
    header = "Authorization: Bearer $TOKEN"
    assert header not in text(admin_client)
    settings.UPLOAD_AUTH = "token"
    command = f'curl -X POST -H "{header}" http://testserver/api/upload-random'
    assert command in text(admin_client)


def test_charts_and_their_tables(admin_client, make_upload):
    make_upload()
    make_upload(status=Status.FAILED, duration=None)
    make_upload(age=dt.timedelta(days=3))
    for query, total in (("", "2"), ("?range=7d", "3")):
        page = text(admin_client, query)
        assert page.count('<svg class="chart"') == 3
        assert page.count("The numbers as a table") == 3
        assert f'<p class="value">{total}</p>' in page
        assert "1 failed, missing or corrupted" in page


def test_uploads__since_when_they_are_counted(admin_client, make_upload):
    make_upload()
    # Within the last 24 hours, and before the 24 hours of the clock that are counted.
    since = floor_hour(timezone.now()) - dt.timedelta(hours=23)
    make_upload(created_at=since - dt.timedelta(seconds=1))
    page = text(admin_client)
    assert f"Uploads since {since:%Y-%m-%d %H:%M} UTC" in page
    assert '<p class="value">1</p>' in page


def test_pending__only_over_a_minute(admin_client, make_upload):
    make_upload(status=Status.PENDING)
    assert '>0</p>\n  <p class="note">none</p>' in text(admin_client)
    make_upload(status=Status.PENDING, age=dt.timedelta(minutes=2))
    page = text(admin_client)
    assert '<a href="uploads/upload/?status__exact=pending">1</a>' in page
    assert "2\xa0minutes ago" in page


def test_no_figures_without_permission(member_of, make_upload):
    make_upload()
    page = text(member_of(""))
    assert "At a glance" not in page


@pytest.mark.parametrize(
    ("age", "faults", "words", "tone"),
    [
        (0, 0, "clean", "good"),
        (0, 2, "faults found", "bad"),
        (3, 0, "clean", "bad"),
    ],
)
def test_last_check_of_the_trail(admin_client, make_upload, age, faults, words, tone):
    make_upload()
    assert "run the command verify_audit" in text(admin_client)
    UploadEvent.objects.create(
        action=Action.AUDIT_CHECKED,
        at=timezone.now() - dt.timedelta(days=age),
        actor="command:verify_audit",
        detail={"faults": faults},
    )
    before, card = text(admin_client).split("Audit trail verification")
    assert before.rstrip().endswith(f'<li class="card tone-{tone}"><h2>')
    assert f'<p class="value">{words}</p>' in card
    assert ("</time>; run the command verify_audit" in card) == (tone == "bad")
