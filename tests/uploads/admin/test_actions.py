from __future__ import annotations

import csv
import io
import json
from functools import partial
from typing import Any

import pytest
from django.contrib.messages import get_messages
from django.test import Client

from mirrorsite.actors import Actor
from mirrorsite.admin import row_estimates
from tests.uploads import making
from uploads import transitions
from uploads.admin import actions
from uploads.models import Action, Status, UploadEvent

pytestmark = pytest.mark.django_db
LIST = "/admin/uploads/upload/"


def act(
    client: Client, action: str, chosen: list[Any], query: str = "", **more: str
) -> Any:
    ids = [str(row.pk) for row in chosen]
    form = {"action": action, "index": "0", "_selected_action": ids, **more}
    return client.post(LIST + query, form)


def said(response: Any) -> str:
    (message,) = get_messages(response.wsgi_request)
    return str(message)


def selections() -> list[str]:
    """Return what each export says of its selection."""
    exported = UploadEvent.objects.filter(action=Action.EXPORTED)
    return [event.detail["selection"] for event in exported]


@pytest.mark.parametrize("action", ["verify_selected", "export_csv"])
def test_not_without_permission(member_of, make_upload, action):
    assert act(member_of(""), action, [make_upload()]).status_code == 403


class TestVerifySelected:
    def test_says_exactly_what_was_done(self, admin_client, bucket, make_upload):
        good, gone = (making.stored() for _ in range(2))
        making.delete_object(bucket, gone.key)
        failed = make_upload(status=Status.FAILED)
        elsewhere = make_upload(bucket="elsewhere")

        response = act(admin_client, "verify_selected", [good, gone, failed, elsewhere])

        assert said(response) == (
            "Of 4 selected: 1 missing, 1 recorded in another bucket, 1 verified; left"
            " out: 1 (only stored, missing and corrupted uploads are verified, up to"
            " 1,000 in 20 s; the command verify_uploads has no limit)."
        )
        actors = UploadEvent.objects.filter(action__in=["verified", "missing"])
        assert set(actors.values_list("actor", flat=True)) == {"user:admin"}

    def test_what_leaves_the_list_meanwhile_is_counted_all_the_same(
        self, admin_client, bucket, monkeypatch
    ):
        for _ in range(3):
            found = making.stored()
            transitions.record(found, Action.MISSING, Actor())
        monkeypatch.setattr(actions, "MAX_VERIFIED", 1)
        query = "?status__exact=missing"

        response = act(
            admin_client, "verify_selected", [found], query, select_across="1"
        )

        assert said(response).startswith("Of 3 selected: 1 verified; left out: 2 (")

    def test_number_left_out_is_an_estimate_if_that_of_the_selected_is(
        self, admin_client, make_upload, monkeypatch
    ):
        rough = partial(row_estimates.rough_count, exact_up_to=1)
        monkeypatch.setattr(actions, "rough_count", rough)
        chosen = [make_upload(status=Status.FAILED) for _ in range(2)]
        response = act(admin_client, "verify_selected", chosen)
        assert "Of about 2 selected" in said(response)
        assert "left out: about 2 (" in said(response)

    def test_no_permit(self, admin_client, make_upload, bucket, no_permit):
        chosen = [make_upload(bucket=bucket.bucket_name)]
        response = act(admin_client, "verify_selected", chosen)
        assert "too many requests use the object store" in said(response)
        assert "verified" not in making.actions(chosen[0])

    def test_store_unreachable(self, admin_client, make_upload, make_storage):
        storage = make_storage(endpoint_url="http://127.0.0.1:9", max_attempts=1)
        chosen = [make_upload(bucket=storage.bucket_name) for _ in range(2)]

        response = act(admin_client, "verify_selected", chosen)

        assert "none verified; left out: 2" in said(response)
        assert "stopped: the object store is unreachable" in said(response)


class TestExport:
    def test_csv_of_the_chosen(self, admin_client, make_upload):
        chosen = make_upload(user_agent="=cmd()")
        make_upload()

        response = act(admin_client, "export_csv", [chosen])

        assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
        text = b"".join(response.streaming_content).decode()
        (row,) = csv.DictReader(io.StringIO(text))
        assert row["id"] == str(chosen.pk)
        assert row["user_agent"] == "'=cmd()"
        event = UploadEvent.objects.get(action=Action.EXPORTED)
        assert (event.actor, event.upload_id) == ("user:admin", None)
        assert event.detail == {
            "what": "uploads",
            "format": "csv",
            "selection": "1 chosen",
            "filter": "",
        }

    @pytest.mark.parametrize(
        ("across", "is_all"),
        [("1", True), ("2", True), ("true", True), ("0", False), ("", False)],
    )
    def test_the_event_says_what_was_exported(
        self, admin_client, make_upload, monkeypatch, across, is_all
    ):
        monkeypatch.setattr(actions, "LINES_AT_ONCE", 2)
        failed = [make_upload(status=Status.FAILED) for _ in range(5)]
        other = make_upload()
        chosen = [failed[0], failed[0], other]  # one of them has left the list

        response = act(
            admin_client,
            "export_jsonl",
            chosen,
            "?status__exact=failed",
            select_across=across,
        )

        lines = b"".join(response.streaming_content).splitlines()
        expected = failed if is_all else failed[:1]
        assert [json.loads(line)["id"] for line in lines] == [
            str(upload.pk) for upload in expected
        ]
        assert selections() == ["all that match" if is_all else "1 chosen"]

    def test_nothing_where_a_filter_is_not_understood(self, admin_client, make_upload):
        chosen = [make_upload()]
        query = "?since=25:99"
        response = act(admin_client, "export_csv", chosen, query, select_across="1")
        assert response.headers["Location"] == f"{LIST}?e=1"
        assert selections() == []

    def test_events(self, admin_client, make_upload):
        upload = make_upload()
        event = upload.events.get()
        response = admin_client.post(
            "/admin/uploads/uploadevent/",
            {"action": "export_jsonl", "index": "0", "_selected_action": str(event.pk)},
        )
        (line,) = b"".join(response.streaming_content).splitlines()
        assert json.loads(line)["upload_id"] == str(upload.pk)
