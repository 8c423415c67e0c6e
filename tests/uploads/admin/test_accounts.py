"""Users and groups in the admin: what changes is an event, and no user goes."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from mirrorsite.tokens import services
from mirrorsite.tokens.models import Token
from tests.tokens import new_token
from uploads.audit import log
from uploads.exceptions import TrailUnavailableError
from uploads.models import UploadEvent

pytestmark = pytest.mark.django_db
USERS, GROUPS = "/admin/auth/user/", "/admin/auth/group/"
PASSWORD = "a-long-one-4711"


@pytest.fixture
def ada(db: None) -> User:
    return User.objects.create_user("ada", password=PASSWORD, is_staff=True)


@pytest.fixture
def verifiers(db: None) -> Group:
    group = Group.objects.create(name="verifiers")
    group.permissions.add(Permission.objects.get(codename="verify_upload"))
    return group


def events() -> list[tuple[str, str, dict[str, Any]]]:
    found = UploadEvent.objects.exclude(action__startswith="log").order_by("id")
    return [(event.action, event.actor, event.detail) for event in found]


def change(client: Client, user: User, **fields: Any) -> Any:
    form = {"is_active": "on", "is_staff": "on"} | fields
    form = {name: value for name, value in form.items() if value}
    return client.post(f"{USERS}{user.pk}/change/", form)


def version_of(client: Client, address: str) -> str:
    page = client.get(address).content.decode()
    found = re.search('name="version" value="([0-9a-f]+)"', page)
    assert found is not None
    return found[1]


@pytest.mark.parametrize("name", ["srotarepo\u202e", "a\u200bb", "a\x1bb"])
def test_name_of_a_group__no_characters_that_hide_or_reorder(admin_client, name):
    page = admin_client.post(f"{GROUPS}add/", {"name": name}).content.decode()
    assert "without control or format characters" in page
    assert not Group.objects.filter(name=name).exists()


TOKEN = (
    lambda owner: new_token(owner=owner, name="eve"),
    "/admin/tokens/token/",
    {"name": "eve", "can_read": "on", "days": "30"},
    "API token with this Name already exists.",
)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("where", "function", "make_other", "path", "form", "sentence"),
    [
        (
            User,
            "save",
            lambda owner: User.objects.bulk_create([User(username="eve")]),
            USERS,
            {"username": "eve", "usable_password": "true"}
            | dict.fromkeys(("password1", "password2"), PASSWORD),
            "A user with that username already exists.",
        ),
        # Before the service's own check, and after it.
        (services, "create_token", *TOKEN),
        (Token, "save", *TOKEN),
    ],
    ids=["user", "token", "token-checked"],
)
def test_name_taken_by_another_request__the_form_says_so(
    admin_client,
    admin_user,
    monkeypatch,
    where,
    function,
    make_other,
    path,
    form,
    sentence,
):
    def elsewhere() -> None:
        make_other(admin_user)
        connection.close()

    def call(*args: Any, **kwargs: Any) -> Any:
        monkeypatch.undo()
        with ThreadPoolExecutor(1) as pool:
            pool.submit(elsewhere).result(30)
        return getattr(where, function)(*args, **kwargs)

    monkeypatch.setattr(where, function, call)
    answer = admin_client.post(f"{path}add/", form | {"user": admin_user.pk})
    assert answer.status_code == 200
    assert sentence in answer.content.decode()
    assert "user:admin" not in [actor for _, actor, _ in events()]


class TestStaleForm:
    """Of two forms opened at once, the second saved does not undo the first."""

    def test_user__not_saved(self, admin_client, ada):
        address = f"{USERS}{ada.pk}/change/"
        version = version_of(admin_client, address)
        change(admin_client, ada, is_staff="", version=version)

        answer = change(admin_client, ada, first_name="Ada", version=version)

        assert (answer.status_code, answer["Location"]) == (302, address)
        assert "another change was saved" in admin_client.get(address).content.decode()
        found = User.objects.get(pk=ada.pk)
        assert (found.is_staff, found.first_name) == (False, "")
        now = version_of(admin_client, address)
        Client().force_login(ada)  # a login is no change
        change(admin_client, ada, is_staff="", first_name="Ada", version=now)
        assert User.objects.get(pk=ada.pk).first_name == "Ada"

    def test_group__not_saved(self, admin_client, verifiers):
        address = f"{GROUPS}{verifiers.pk}/change/"
        form = {"name": "verifiers", "version": version_of(admin_client, address)}
        old = [permission.pk for permission in verifiers.permissions.all()]
        admin_client.post(address, form)
        admin_client.post(address, form | {"permissions": old})
        assert not verifiers.permissions.exists()

    def test_no_permission__refused_and_nothing_locked(self, client, ada, verifiers):
        client.force_login(ada)
        ada.user_permissions.add(Permission.objects.get(codename="view_user"))
        for address in (f"{USERS}{ada.pk}/change/", f"{GROUPS}{verifiers.pk}/change/"):
            assert client.post(address, {"version": "x"}).status_code == 403
        with CaptureQueriesContext(connection) as queries:
            page = client.get(f"{USERS}{ada.pk}/change/").content.decode()
        assert ">ada<" in page
        assert "../password/" not in page
        assert not any("FOR UPDATE" in query["sql"] for query in queries)


class TestUsers:
    def test_made(self, admin_client):
        form = {"username": "eve", "password1": PASSWORD, "password2": PASSWORD}
        answer = admin_client.post(f"{USERS}add/", form | {"usable_password": "true"})
        assert answer.status_code == 302
        detail = {
            "user": "eve",
            "number": User.objects.get(username="eve").pk,
            "is_active": True,
            "is_staff": False,
            "is_superuser": False,
            "groups": [],
            "user_permissions": [],
        }
        assert events() == [("user_made", "user:admin", detail)]

    def test_changed(self, admin_client, ada, verifiers):
        seen = Permission.objects.get(codename="view_upload")
        change(
            admin_client,
            ada,
            is_active="",
            email="ada@example.org",
            groups=[verifiers.pk],
            user_permissions=[seen.pk],
        )
        detail = {
            "user": "ada",
            "number": ada.pk,
            "changed": ["email", "groups", "is_active", "user_permissions"],
            "before": {"is_active": True, "groups": [], "user_permissions": []},
            "after": {
                "is_active": False,
                "groups": ["verifiers"],
                "user_permissions": ["uploads.view_upload"],
            },
        }
        assert events() == [("user_changed", "user:admin", detail)]

    def test_nothing_changed__no_event(self, admin_client, ada):
        assert change(admin_client, ada).status_code == 302
        form = {"old_password": "wrong", "new_password1": "another-4711"}
        admin_client.post("/admin/password_change/", form)
        assert events() == []

    @pytest.mark.parametrize("whose", ["another's", "own"])
    def test_password(self, client, ada, whose):
        User.objects.filter(pk=ada.pk).update(is_superuser=True)
        client.force_login(ada)
        user = ada if whose == "own" else User.objects.create_user("bob")
        path = f"{USERS}{user.pk}/password/"
        names = ("password1", "password2")
        form = {"usable_password": "true"}
        if whose == "own":
            path, names = "/admin/password_change/", ("new_password1", "new_password2")
            form = {"old_password": PASSWORD}
        answer = client.post(path, form | dict.fromkeys(names, "another-4711"))
        assert answer.status_code == 302
        user.refresh_from_db()
        assert user.check_password("another-4711")
        ((action, actor, detail),) = events()
        assert (action, actor) == ("user_changed", "user:ada")
        assert detail["changed"] == ["password"]
        assert detail["before"] == detail["after"] == {}

    def test_no_change_without_its_event(self, admin_client, ada, make_fail):
        make_fail(
            log,
            "record_without_upload",
            TrailUnavailableError("the record could not be written to the database"),
        )
        with pytest.raises(TrailUnavailableError):
            change(admin_client, ada, is_superuser="on")
        ada.refresh_from_db()
        assert not ada.is_superuser

    def test_never_deleted_or_renamed(self, admin_client, ada):
        path = f"{USERS}{ada.pk}/delete/"
        assert admin_client.post(path, {"post": "yes"}).status_code == 403
        form = {"action": "delete_selected", "_selected_action": ada.pk, "post": "yes"}
        admin_client.post(USERS, form)
        change(admin_client, ada, username="bob", is_superuser="on")
        ada.refresh_from_db()
        assert (ada.username, ada.is_superuser) == ("ada", True)


class TestGroups:
    def test_made_changed_and_deleted(self, admin_client, ada):
        view, verify = (
            Permission.objects.get(codename=name)
            for name in ("view_upload", "verify_upload")
        )
        admin_client.post(f"{GROUPS}add/", {"name": "a", "permissions": [view.pk]})
        group = Group.objects.get(name="a")
        ada.groups.add(group)
        admin_client.post(
            f"{GROUPS}{group.pk}/change/", {"name": "b", "permissions": [verify.pk]}
        )
        admin_client.post(f"{GROUPS}{group.pk}/delete/", {"post": "yes"})
        assert not Group.objects.filter(name="b").exists()
        number = group.pk
        views, verifies = ["uploads.view_upload"], ["uploads.verify_upload"]
        after = {"name": "b", "permissions": verifies}
        before = {"name": "a", "permissions": views}
        assert events() == [
            ("group_made", "user:admin", {"group": "a", "number": number, **before}),
            (
                "group_changed",
                "user:admin",
                {
                    "group": "b",
                    "number": number,
                    "changed": ["name", "permissions"],
                    "before": before,
                    "after": after,
                },
            ),
            (
                "group_deleted",
                "user:admin",
                {"group": "b", "number": number, **after, "members": ["ada"]},
            ),
        ]

    def test_selection_deleted(self, admin_client, verifiers):
        form = {"action": "delete_selected", "_selected_action": verifiers.pk}
        admin_client.post(GROUPS, form | {"post": "yes"})
        assert not Group.objects.filter(pk=verifiers.pk).exists()
        assert [action for action, _, _ in events()] == ["group_deleted"]
