"""What nobody's page links to, typed by hand: a clear answer each time, never a 500."""

from __future__ import annotations

import pytest

from uploads.models import Action, UploadEvent

pytestmark = pytest.mark.django_db
UPLOADS, EVENTS, SEALS, TOKENS, USERS, GROUPS = (
    f"/admin/{name}/"
    for name in (
        "uploads/upload",
        "uploads/uploadevent",
        "uploads/auditseal",
        "tokens/token",
        "auth/user",
        "auth/group",
    )
)
NO_ID = "00000000-0000-7000-8000-000000000000"


@pytest.mark.parametrize("page", [UPLOADS, EVENTS, SEALS])
def test_lists__the_whole_list_instead(admin_client, make_upload, page, subtests):
    make_upload()
    for query in (
        "older=",
        "older=~",
        "older=1~2~3",
        "older=None~None",
        f"older=9999-12-31T23:59:59-23:59~{NO_ID}",
        f"newer=0001-01-01T00:00:00%2B23:59~{NO_ID}",
        "newer=9999-12-31T23:59:59-23:59~1",
        f"newer={'9' * 40}x",
        "id__regex=(",
        "pk__regex=(",
        "key__regex=(",
        "actor__iregex=(",
        "root__contains=a",
        "nonsense=1",
    ):
        with subtests.test(query):
            response = admin_client.get(f"{page}?{query}")
            assert (response.status_code, response["Location"]) == (302, f"{page}?e=1")
    told = admin_client.get(f"{page}?e=1").content.decode()
    assert "All rows are shown." in told
    assert "All rows are shown." not in admin_client.get(page).content.decode()


@pytest.mark.parametrize("page", [TOKENS, USERS, GROUPS])
def test_small_lists__the_whole_list_instead(admin_client, page, subtests):
    for query in (
        "id__regex=(",
        "name__regex=(",
        "username__regex=(",
        "username__startswith=a",
        "password__startswith=a",
        "user__password__startswith=a",
        "groups__name__regex=(",
        "digest__startswith=a",
        "digest=a",
        "token_key__startswith=mst_",
        "created__year=99999",
        "last_login__year__gt=99999999999",
        "nonsense=1",
    ):
        with subtests.test(query):
            response = admin_client.get(f"{page}?{query}")
            assert (response.status_code, response["Location"]) == (302, f"{page}?e=1")


@pytest.mark.parametrize(
    "address",
    [
        f"{TOKENS}?can_read__exact=1",
        f"{TOKENS}?expiry__gte=2026-01-01+00:00:00%2B00:00",
        f"{TOKENS}?revoked_at__isempty=1",
        f"{USERS}?is_staff__exact=1",
        f"{USERS}?groups__id__exact=1",
    ],
)
def test_small_lists__their_filters(admin_client, address):
    assert admin_client.get(address).status_code == 200


@pytest.mark.django_db(transaction=True)
def test_expiry__the_whole_list_instead(admin_client):
    for value in (
        "9999-12-31T23:59:59-23:59",
        "0001-01-01T00:00:00%2B23:59",
        "2026-13-01",
        "x",
    ):
        response = admin_client.get(f"{TOKENS}?expiry__gte={value}")
        assert response.status_code == 302, value
        assert response.headers["Location"] == f"{TOKENS}?e=1", value


@pytest.mark.parametrize("page", [UPLOADS, EVENTS])
def test_times__the_whole_list_instead(admin_client, make_upload, page, subtests):
    make_upload()
    for query in (
        "since=x",
        "since=2026-01-01T24:00",
        "since=2026-01-01T23:59:60",
        "until=2026-01-01T00:00%2B24:00",
        "until=2026-01-01T00:00%2B00:60",
        "until=0000-01-01T00:00",
        "until=99999-01-01T00:00",
        "until=9999-12-31T23:59:59-23:59",
        "since=0001-01-01T00:00%2B23:59",
        "on=9999",
        "on=0000",
        "on=2026-02-30",
    ):
        with subtests.test(query):
            assert admin_client.get(f"{page}?{query}")["Location"] == f"{page}?e=1"


@pytest.mark.parametrize(
    ("pages", "queries", "status"),
    [
        (
            [UPLOADS, EVENTS, SEALS, TOKENS, USERS],
            ["p=abc", "p=-1", "q=%F0%9F%98%80", "o=9.x"],
            200,
        ),
        (
            [UPLOADS],
            [
                "p=99999999999999999999",
                "status__exact=",
                "status__exact=none-such",
                "requester=nobody",
                "on=0001-01-01T00",
                "on=9998-12-31T23",
                "since=9999-12-31T23:59&until=0001-01-01T00:00",
                "q=" + "f" * 5000,
                f"older=0001-01-01T00:00:00~{NO_ID}",
            ],
            200,
        ),
        (
            [UPLOADS, EVENTS, SEALS, TOKENS, USERS, GROUPS],
            ["q=%FF", "%FF=1", "q=100%", "q=%zz"],
            400,
        ),
    ],
    ids=["a page all the same", "nothing found", "not UTF-8"],
)
def test_queries(admin_client, make_upload, pages, queries, status, subtests):
    make_upload()
    for page in pages:
        for query in queries:
            with subtests.test(f"{page}?{query}"):
                assert admin_client.get(f"{page}?{query}").status_code == status


def test_no_address_has_a_nul(admin_client, make_upload, subtests):
    make_upload()
    for path in (
        f"{UPLOADS}?status__exact=%00",
        f"{UPLOADS}?requester=%00",
        f"{EVENTS}?action__exact=a%00",
        f"{TOKENS}?name__exact=%00",
        f"{TOKENS}%00/change/",
        f"{USERS}?username__exact=%00",
        f"{USERS}%00/change/",
        f"{UPLOADS}%00/change/",
        f"{SEALS}%00/history/",
        "/admin/%00/",
        "/admin/?range=%00",
        f"{UPLOADS}?q=%00",
        f"{UPLOADS}?older=%00~{NO_ID}",
        f"{UPLOADS}?nonsense%00=1",
        f"{EVENTS}?since=%00",
        "/admin/autocomplete/?term=%00&app_label=tokens&model_name=token"
        "&field_name=user",
    ):
        with subtests.test(path):
            assert admin_client.get(path).status_code == 400


@pytest.mark.parametrize("page", [EVENTS, TOKENS, USERS, GROUPS])
@pytest.mark.parametrize("name", ["", "nonsense", "password"])
def test_fields_of_a_popup__named_and_allowed(admin_client, page, name):
    for path in (f"{page}1/change/", f"{page}1/delete/"):
        assert admin_client.get(f"{path}?_to_field={name}").status_code == 400
        assert admin_client.post(path, {"_to_field": name}).status_code in {400, 403}


def test_no_address_is_an_error_of_ours(admin_client, make_upload, subtests):
    make_upload()
    for path in (
        f"{EVENTS}?older={'9' * 30}~{'9' * 30}",
        f"{SEALS}?older={'9' * 30}",
        f"{UPLOADS}x/change/",
        f"{UPLOADS}{NO_ID}/change/",
        f"{UPLOADS}{NO_ID}/proof/",
        f"{UPLOADS}{NO_ID}/preview/",
        f"{UPLOADS}{NO_ID}/download/",
        f"{EVENTS}x/change/",
        f"{EVENTS}{'9' * 30}/change/",
        f"{SEALS}{'9' * 30}/change/",
        "/admin/login/?next=%00",
        "/admin/r/7/abc/",
        "/admin/r/7/1/",
        "/admin/r/x/1/",
        f"{TOKENS}{'9' * 30}/change/",
        f"{USERS}x/password/",
        f"{USERS}{'9' * 30}/password/",
        f"{GROUPS}{'9' * 30}/history/",
        f"{GROUPS}add/?permissions=x",
    ):
        with subtests.test(path):
            assert admin_client.get(path).status_code in {200, 302, 400, 404}


@pytest.mark.parametrize("page", [UPLOADS, EVENTS, TOKENS, USERS, GROUPS])
@pytest.mark.parametrize(
    "action", ["export_csv", "revoke", "delete_selected", "none-such"]
)
def test_actions__a_selection_of_nothing(admin_client, make_upload, page, action):
    make_upload()
    for chosen in ("x", "\0", "9" * 30, "", NO_ID):
        form = {"action": action, "_selected_action": chosen, "index": "x"}
        response = admin_client.post(page, form)
        assert response.status_code in {200, 302, 400}, chosen
        if response.streaming:
            assert len(b"".join(response).splitlines()) == 1, chosen


@pytest.mark.parametrize("group", ["auditors", "operators", ""])
def test_what_strangers_wrote_is_text(member_of, make_upload, group):
    script = "\"'><script>alert(1)</script>"
    fields = ("requester_name", "user_agent", "error", "key", "request_id")
    upload = make_upload(**dict.fromkeys(fields, script))
    event = UploadEvent.objects.create(
        upload=upload,
        action=Action.FAILED,
        at=upload.created_at,
        actor=script,
        request_id=script,
        detail={"a<script>": script},
    )
    client = member_of(group)
    for path in (
        UPLOADS,
        f"{UPLOADS}{upload.pk}/change/",
        f"{UPLOADS}{upload.pk}/proof/",
        EVENTS,
        f"{EVENTS}{event.pk}/change/",
    ):
        response = client.get(path)
        assert response.status_code == (200 if group else 403)
        assert "<script>" not in response.content.decode()
