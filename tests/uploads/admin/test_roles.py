"""Who may see which page: each address of the admin, for each kind of visitor."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from tests.uploads.admin.conftest import MakeUpload

pytestmark = pytest.mark.django_db

#: What an auditor gets, an operator, and a superuser; nobody else gets anything.
PAGES = {
    "uploads/upload/": (200, 200, 200),
    "uploads/upload/{pk}/change/": (200, 200, 200),
    "uploads/upload/{pk}/proof/": (200, 200, 200),
    "uploads/upload/{pk}/history/": (200, 200, 200),
    "uploads/upload/add/": (403, 403, 403),
    "uploads/upload/{pk}/delete/": (403, 403, 403),
    "uploads/uploadevent/": (200, 200, 200),
    "uploads/uploadevent/add/": (403, 403, 403),
    "uploads/uploadevent/{event}/delete/": (403, 403, 403),
    "uploads/auditseal/": (200, 200, 200),
    "uploads/auditseal/add/": (403, 403, 403),
    "tokens/token/": (200, 200, 200),
    "tokens/token/add/": (403, 200, 200),
    "auth/user/": (403, 200, 200),
    "auth/user/add/": (403, 403, 200),
    "auth/group/": (403, 403, 200),
    "auth/group/add/": (403, 403, 200),
}


@pytest.fixture
def path(page: str, make_upload: MakeUpload) -> str:
    upload = make_upload()
    return "/admin/" + page.format(pk=upload.pk, event=upload.events.get().pk)


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("group", ["auditors", "operators", ""])
def test_staff(member_of, path, page, group):
    expected = dict(zip(("auditors", "operators"), PAGES[page][:2], strict=True))
    assert member_of(group).get(path).status_code == expected.get(group, 403)


@pytest.mark.parametrize("page", PAGES)
def test_superuser(admin_client, path, page):
    status = PAGES[page][2]
    assert admin_client.get(path).status_code == status
    if status == 403:
        assert admin_client.post(path, {"post": "yes"}).status_code == 403


@pytest.mark.parametrize("page", ["", "jsi18n/", "password_change/", *PAGES])
def test_strangers_are_sent_to_the_login(client, path):
    for stranger in (None, User.objects.create_user("nobody")):
        if stranger:
            client.force_login(stranger)
        response = client.get(path)
        assert response.status_code == 302
        assert response.headers["Location"].startswith("/admin/login/?next=")


@pytest.mark.parametrize("page", [page for page in PAGES if "proof" not in page])
def test_posts_without_a_csrf_token_fail(admin_user, path):
    client = Client(enforce_csrf_checks=True)
    client.force_login(admin_user)
    assert client.post(path, {"action": "export_csv"}).status_code == 403


@pytest.mark.parametrize("is_shown", [False, True])
def test_events_of_an_upload__who_may_view_events(client, make_upload, is_shown):
    user = User.objects.create_user("one", is_staff=True)
    names = ["view_upload", *(["view_uploadevent"] if is_shown else [])]
    user.user_permissions.set(Permission.objects.filter(codename__in=names))
    client.force_login(user)
    upload = make_upload()
    page = client.get(f"/admin/uploads/upload/{upload.pk}/change/").content.decode()
    assert (">requested</span>" in page) == is_shown
    assert (f"event {upload.events.get().pk}" in page) == is_shown


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("stored", "Your account may not read it."),
        ("failed", "No content: the object is not stored."),
    ],
)
def test_content__why_there_is_none(client, make_upload, status, words):
    user = User.objects.create_user("one", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_upload"))
    client.force_login(user)
    upload = make_upload(status=status)
    page = client.get(f"/admin/uploads/upload/{upload.pk}/change/").content.decode()
    assert words in page
