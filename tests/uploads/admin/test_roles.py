"""Who may see which page: each address of the admin, for each kind of visitor."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from tests.uploads.admin.conftest import MakeUpload

pytestmark = pytest.mark.django_db

#: What an auditor gets, and what an operator; nobody without a group gets anything.
PAGES = {
    "uploads/upload/": (200, 200),
    "uploads/upload/{pk}/change/": (200, 200),
    "uploads/upload/{pk}/proof/": (200, 200),
    "uploads/upload/{pk}/history/": (200, 200),
    "uploads/upload/add/": (403, 403),
    "uploads/upload/{pk}/delete/": (403, 403),
    "uploads/uploadevent/": (200, 200),
    "uploads/uploadevent/add/": (403, 403),
    "uploads/auditseal/": (200, 200),
    "uploads/auditseal/add/": (403, 403),
    "tokens/token/": (200, 200),
    "tokens/token/add/": (403, 200),
    "auth/user/": (403, 200),
    "auth/user/add/": (403, 403),
    "auth/group/": (403, 403),
}


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("group", ["auditors", "operators", ""])
def test_staff(
    member_of: Callable[[str], Client], make_upload: MakeUpload, page: str, group: str
) -> None:
    expected = dict(zip(("auditors", "operators"), PAGES[page], strict=True))
    path = "/admin/" + page.format(pk=make_upload().pk)
    assert member_of(group).get(path).status_code == expected.get(group, 403)


@pytest.mark.parametrize("page", ["", "jsi18n/", "password_change/", *PAGES])
def test_strangers_are_sent_to_the_login(
    client: Client, make_upload: MakeUpload, page: str
) -> None:
    response = client.get("/admin/" + page.format(pk=make_upload().pk))
    assert response.status_code == 302
    assert response.headers["Location"].startswith("/admin/login/?next=")


@pytest.mark.parametrize("page", [page for page in PAGES if "proof" not in page])
def test_posts_without_a_csrf_token_fail(
    admin_user: object, make_upload: MakeUpload, page: str
) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(admin_user)  # type: ignore[arg-type]
    path = "/admin/" + page.format(pk=make_upload().pk)
    assert client.post(path, {"action": "export_csv"}).status_code == 403


@pytest.mark.parametrize("is_shown", [False, True])
def test_events_of_an_upload__who_may_view_events(
    client: Client, make_upload: MakeUpload, is_shown: bool
) -> None:
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
def test_content__why_there_is_none(
    client: Client, make_upload: MakeUpload, status: str, words: str
) -> None:
    user = User.objects.create_user("one", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_upload"))
    client.force_login(user)
    upload = make_upload(status=status)
    page = client.get(f"/admin/uploads/upload/{upload.pk}/change/").content.decode()
    assert words in page
