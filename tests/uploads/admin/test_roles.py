"""Who may see which page: each address of the admin, for each kind of visitor."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from tests.uploads.admin.conftest import MakeUpload
from uploads.models import Upload

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
def paths(make_upload: MakeUpload) -> dict[str, str]:
    upload = make_upload()
    ids = {"pk": upload.pk, "event": upload.events.get().pk}
    return {page: f"/admin/{page.format(**ids)}" for page in PAGES}


@pytest.mark.parametrize("group", ["auditors", "operators", ""])
def test_staff(member_of, paths, group):
    client = member_of(group)
    assert {page: client.get(path).status_code for page, path in paths.items()} == {
        page: {"auditors": auditor, "operators": operator, "": 403}[group]
        for page, (auditor, operator, _) in PAGES.items()
    }
    refused = client.get(paths["uploads/upload/add/"])
    assert b"Your account has no permission" in refused.content


def test_superuser(admin_client, paths):
    for page, path in paths.items():
        status = PAGES[page][2]
        assert admin_client.get(path).status_code == status, page
        if status == 403:
            assert admin_client.post(path, {"post": "yes"}).status_code == 403, page
    upload = Upload.objects.get()
    change = paths["uploads/upload/{pk}/change/"]
    assert admin_client.post(change, {"status": "failed"}).status_code == 405
    form = {"action": "delete_selected", "_selected_action": str(upload.pk)}
    admin_client.post(paths["uploads/upload/"], form)
    assert Upload.objects.get().status == upload.status


@pytest.mark.parametrize("stranger", [None, "nobody"])
def test_strangers_are_sent_to_the_login(client, paths, stranger):
    if stranger:
        client.force_login(User.objects.create_user(stranger))
    pages = ["/admin/", "/admin/jsi18n/", "/admin/password_change/"]
    for path in (*pages, *paths.values()):
        response = client.get(path)
        assert response.status_code == 302, path
        assert response.headers["Location"].startswith("/admin/login/?next="), path


def test_posts_without_a_csrf_token_fail(admin_user, paths):
    client = Client(enforce_csrf_checks=True)
    client.force_login(admin_user)
    for page, path in paths.items():
        if "proof" not in page:
            response = client.post(path, {"action": "export_csv"})
            assert response.status_code == 403, page
            assert b"the form has expired" in response.content, page


@pytest.mark.parametrize(
    ("permissions", "status", "words"),
    [
        ([], "stored", "Your account has no permission to read it."),
        ([], "failed", "No content: the object is not stored."),
        (["view_uploadevent"], "stored", "Your account has no permission to read it."),
    ],
)
def test_page_of_an_upload__what_each_may_see(
    client, make_upload, permissions, status, words
):
    user = User.objects.create_user("one", is_staff=True)
    names = ["view_upload", *permissions]
    user.user_permissions.set(Permission.objects.filter(codename__in=names))
    client.force_login(user)
    upload = make_upload(status=status)
    page = client.get(f"/admin/uploads/upload/{upload.pk}/change/").content.decode()
    assert words in page
    assert (f"event {upload.events.get().pk}" in page) == bool(permissions)
