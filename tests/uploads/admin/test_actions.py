from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest
from django.contrib.messages import get_messages
from django.test import Client

from mirrorsite.actors import Actor
from tests.uploads import making
from uploads import transitions
from uploads.admin import actions
from uploads.models import Action, Status, UploadEvent

pytestmark = pytest.mark.django_db
LIST = "/admin/uploads/upload/"


def act(
    client: Client, action: str, chosen: list[Any], query: str = "", **more: str
) -> Any:
    return client.post(
        LIST + query,
        {
            "action": action,
            "index": "0",
            "_selected_action": [str(upload.pk) for upload in chosen],
            **more,
        },
    )


def said(response: Any) -> str:
    (message,) = get_messages(response.wsgi_request)
    return str(message)


class TestVerifySelected:
    def test_verify__says_exactly_what_was_done(
        self, admin_client, bucket, make_upload
    ):
        good, gone = (making.stored() for _ in range(2))
        making.delete_object(bucket, gone.key)
        failed = make_upload(status=Status.FAILED)

        response = act(admin_client, "verify_selected", [good, gone, failed])

        assert said(response) == (
            "Of 3 selected: 1 missing, 1 verified;"
            " 1 cannot be verified (pending, failed or purged)."
        )
        actors = UploadEvent.objects.filter(action__in=["verified", "missing"])
        assert set(actors.values_list("actor", flat=True)) == {"user:admin"}

    def test_verify__more_than_one_request_takes(
        self, admin_client, bucket, monkeypatch
    ):
        uploads = [making.stored() for _ in range(3)]
        monkeypatch.setattr(actions, "MAX_VERIFIED", 2)

        response = act(admin_client, "verify_selected", uploads[:1], select_across="1")

        assert said(response) == (
            "Of 3 selected: 2 verified; left out: 1 (at most 2 in 20 s;"
            " manage.py verify_uploads takes any number)."
        )

    def test_verify__what_leaves_the_list_meanwhile_is_counted_all_the_same(
        self, admin_client, bucket, monkeypatch
    ):
        for _ in range(3):
            found = making.stored()
            transitions.record(found, Action.MISSING, Actor())
        monkeypatch.setattr(actions, "MAX_VERIFIED", 1)

        response = act(
            admin_client,
            "verify_selected",
            [found],
            "?status__exact=missing",
            select_across="1",
        )

        assert said(response).startswith("Of 3 selected: 1 verified; left out: 2 (")

    def test_verify__one_of_another_bucket_stops_nothing(
        self, admin_client, bucket, make_upload
    ):
        good = making.stored()
        elsewhere = make_upload(bucket="elsewhere")

        response = act(admin_client, "verify_selected", [elsewhere, good])

        assert said(response) == (
            "Of 2 selected: 1 recorded in another bucket, 1 verified."
        )

    def test_verify__no_permit(self, admin_client, make_upload, bucket, no_permit):
        chosen = [make_upload(bucket=bucket.bucket_name)]
        response = act(admin_client, "verify_selected", chosen)
        assert "too many requests use the object store" in said(response)
        assert "verified" not in making.actions(chosen[0])

    def test_verify__store_away(self, admin_client, make_upload, make_storage):
        storage = make_storage(endpoint_url="http://127.0.0.1:9", max_attempts=1)
        chosen = [make_upload(bucket=storage.bucket_name) for _ in range(2)]

        response = act(admin_client, "verify_selected", chosen)

        assert "none verified; left out: 2" in said(response)
        assert "stopped: the object store is unreachable" in said(response)

    def test_verify__not_without_permission(self, member_of, make_upload):
        client = member_of("")
        response = act(client, "verify_selected", [make_upload()])
        assert response.status_code == 403


class TestExport:
    def test_export__csv_of_the_chosen(self, admin_client, make_upload):
        chosen = make_upload(user_agent="=cmd()")
        make_upload()

        response = act(admin_client, "export_csv", [chosen])

        assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
        text = b"".join(response.streaming_content).decode()
        (row,) = csv.DictReader(io.StringIO(text))
        assert row["id"] == str(chosen.pk)
        assert row["user_agent"] == "'=cmd()"
        event = UploadEvent.objects.get(action=Action.EXPORTED)
        assert event.actor == "user:admin"
        assert event.upload_id is None
        assert event.detail == {
            "what": "uploads",
            "format": "csv",
            "selection": "1 chosen",
            "filter": "",
        }

    def test_export__all_that_match_by_batches(self, admin_client, make_upload):
        failed = [make_upload(status=Status.FAILED) for _ in range(5)]
        make_upload()

        response = act(
            admin_client,
            "export_jsonl",
            failed[:1],
            "?status__exact=failed",
            select_across="1",
        )

        lines = b"".join(response.streaming_content).splitlines()
        assert {json.loads(line)["id"] for line in lines} == {
            str(upload.pk) for upload in failed
        }
        assert UploadEvent.objects.get(action="exported").detail["selection"] == (
            "all that match"
        )

    @pytest.mark.parametrize("text", ["2", "x", "true", " 1", ""])
    def test_export__all_or_chosen_is_0_or_1(self, admin_client, make_upload, text):
        """Django reads most of these as all, and the event would say: 1 chosen."""
        chosen = make_upload()
        response = act(admin_client, "export_csv", [chosen], select_across=text)
        assert response.status_code == 400
        assert b"select_across must be 0 or 1." in response.content
        assert not UploadEvent.objects.filter(action="exported").exists()

    def test_export__what_left_is_counted(self, admin_client, make_upload):
        upload, gone = make_upload(), make_upload(status=Status.FAILED)
        act(admin_client, "export_csv", [upload, upload, gone], "?status__exact=stored")
        event = UploadEvent.objects.get(action="exported")
        assert event.detail["selection"] == "1 chosen"

    def test_export__nothing_where_a_filter_is_not_understood(
        self, admin_client, make_upload
    ):
        chosen = make_upload()
        response = act(
            admin_client, "export_csv", [chosen], "?since=25:99", select_across="1"
        )
        assert response.headers["Location"] == f"{LIST}?e=1"
        assert not UploadEvent.objects.filter(action="exported").exists()

    def test_export__events(self, admin_client, make_upload):
        upload = make_upload()
        event = upload.events.get()
        response = admin_client.post(
            "/admin/uploads/uploadevent/",
            {"action": "export_jsonl", "index": "0", "_selected_action": str(event.pk)},
        )
        (line,) = b"".join(response.streaming_content).splitlines()
        assert json.loads(line)["upload_id"] == str(upload.pk)

    def test_export__not_without_permission(self, member_of, make_upload):
        assert act(member_of(""), "export_csv", [make_upload()]).status_code == 403
