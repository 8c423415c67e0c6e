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
#: Values of no page of a list, and lookups on columns that are no filters.
NO_PAGES_OR_FILTERS = [
    "p=older",
    "p=older~1~2~3",
    "p=older~None",
    f"p=newer~{NO_ID}",
    f"p=newer~{'9' * 40}",
    f"p=newer~{'9' * 40}x",
    "id__regex=(",
    "key__regex=(",
    "actor__iregex=(",
    "root__contains=a",
    "nonsense=1",
]
NO_TIMES = [
    "since=x",
    "since=2026-01-01T24:00",
    "until=9999-12-31T23:59:59-23:59",
    "since=0001-01-01T00:00%2B23:59",
    "on=9999",
    "on=2026-02-30",
    "within=2",
]
NO_FILTERS_OF_SMALL_LISTS = [
    "id__regex=(",
    "username__startswith=a",
    "digest__startswith=a",
    "token_key__startswith=mst_",
    "created__year=99999",
    "last_login__year__gt=99999999999",
    "nonsense=1",
]


@pytest.mark.parametrize(
    ("page", "queries"),
    [
        (UPLOADS, NO_PAGES_OR_FILTERS + NO_TIMES),
        (EVENTS, NO_PAGES_OR_FILTERS + NO_TIMES),
        (SEALS, NO_PAGES_OR_FILTERS),
        (TOKENS, NO_FILTERS_OF_SMALL_LISTS),
        (USERS, NO_FILTERS_OF_SMALL_LISTS),
        (GROUPS, NO_FILTERS_OF_SMALL_LISTS),
    ],
)
def test_lists__the_whole_list_instead(admin_client, make_upload, page, queries):
    make_upload()
    for query in queries:
        response = admin_client.get(f"{page}?{query}")
        assert response.status_code == 302, query
        assert response["Location"] == f"{page}?e=1", query
    if page in {UPLOADS, EVENTS, SEALS}:
        told = admin_client.get(f"{page}?e=1").content.decode()
        assert "All rows are shown." in told
        assert "All rows are shown." not in admin_client.get(page).content.decode()


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


ADDRESSES = {
    200: [
        f"{TOKENS}?can_read__exact=1",
        f"{TOKENS}?expiry__gte=2026-01-01+00:00:00%2B00:00",
        f"{TOKENS}?revoked_at__isempty=1",
        f"{USERS}?groups__id__exact=1",
        f"{USERS}?p=-1&o=9.x&q=%F0%9F%98%80",
        f"{SEALS}?p=-1&o=9.x&q=%F0%9F%98%80",
        f"{UPLOADS}?p=99999999999999999999&o=9.x&q={'f' * 5000}",
        f"{UPLOADS}?status__exact=none-such&requester=nobody",
        f"{UPLOADS}?status__exact=&on=9998-12-31T23",
        f"{UPLOADS}?since=9999-12-31T23:59&until=0001-01-01T00:00&on=0001-01-01T00",
    ],
    400: [
        # Not UTF-8, or not percent-encoded.
        *(
            f"{page}?{query}"
            for page in (UPLOADS, TOKENS, USERS)
            for query in ("q=%FF", "%FF=1", "q=100%", "q=%zz")
        ),
        # With a NUL.
        f"{UPLOADS}?status__exact=%00",
        f"{UPLOADS}?p=older~%00",
        f"{UPLOADS}?nonsense%00=1",
        f"{TOKENS}%00/change/",
        f"{USERS}?username__exact=%00",
        "/admin/%00/",
        "/admin/?range=%00",
        "/admin/autocomplete/?term=%00&app_label=tokens&model_name=token"
        "&field_name=user",
        # Django refuses lookups through a relation, and any on a password.
        f"{TOKENS}?user__password__startswith=a",
        f"{USERS}?password__startswith=a",
        f"{USERS}?groups__name__regex=(",
        # The field of a popup: named, and allowed.
        *(
            f"{page}1/{act}/?_to_field={name}"
            for page in (EVENTS, TOKENS, USERS, GROUPS)
            for act in ("change", "delete")
            for name in ("", "nonsense", "password")
        ),
    ],
}


@pytest.mark.parametrize("status", ADDRESSES)
def test_addresses(admin_client, make_upload, status):
    make_upload()
    for address in ADDRESSES[status]:
        assert admin_client.get(address).status_code == status, address


@pytest.mark.parametrize("page", [EVENTS, TOKENS, USERS, GROUPS])
def test_field_of_a_popup__posted(admin_client, page):
    for name in ("", "nonsense", "password"):
        for act in ("change", "delete"):
            response = admin_client.post(f"{page}1/{act}/", {"_to_field": name})
            assert response.status_code in {400, 403}, (act, name)


def test_no_address_is_an_error_of_ours(admin_client, make_upload):
    make_upload()
    for path in (
        f"{EVENTS}?p=older~{'9' * 30}",
        f"{UPLOADS}x/change/",
        *(
            f"{UPLOADS}{NO_ID}/{act}/"
            for act in ("change", "proof", "preview", "download")
        ),
        *(f"{p}{'9' * 30}/change/" for p in (EVENTS, SEALS, TOKENS, USERS, GROUPS)),
        "/admin/login/?next=%00",
        "/admin/r/7/abc/",
        "/admin/r/x/1/",
        f"{USERS}x/password/",
        f"{GROUPS}{'9' * 30}/history/",
        f"{GROUPS}add/?permissions=x",
    ):
        assert admin_client.get(path).status_code in {200, 302, 400, 404}, path


@pytest.mark.parametrize("page", [UPLOADS, EVENTS, TOKENS, USERS, GROUPS])
def test_actions__a_selection_of_nothing(admin_client, make_upload, page):
    make_upload()
    for action in ("export_csv", "revoke", "delete_selected", "none-such"):
        for chosen in ("x", "\0", "9" * 30, "", NO_ID):
            form = {"action": action, "_selected_action": chosen, "index": "x"}
            response = admin_client.post(page, form)
            assert response.status_code in {200, 302, 400}, (action, chosen)
            if response.streaming:
                assert len(b"".join(response).splitlines()) == 1, (action, chosen)


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
