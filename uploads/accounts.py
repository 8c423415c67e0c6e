"""Changes of users, groups and permissions, recorded in the transaction of the change.

Users are deactivated, never deleted or renamed, because events refer to them by name.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.contrib.auth.models import Group, User
from django.db import transaction
from django.db.models import QuerySet
from django.db.models.signals import post_save, pre_delete, pre_save
from django.dispatch import receiver
from django.utils.crypto import salted_hmac

from mirrorsite.actors import Actor
from uploads.audit import log
from uploads.exceptions import AppendOnlyError
from uploads.models import Action

Account = User | Group
#: An account's fields, groups and permissions, by field name.
State = dict[str, Any]

#: Fields recorded with their values. Of the others (password, e-mail address) only the
#: name is recorded.
_RECORDED = (
    "name",
    "is_active",
    "is_staff",
    "is_superuser",
    "groups",
    "user_permissions",
    "permissions",
)


def locked_state(account: Account) -> State | None:
    """Lock the account's row and return its state; None if there is no such row."""
    model = account.__class__  # type(request.user) is SimpleLazyObject
    rows: QuerySet[Any] = model._default_manager.select_for_update()
    row = rows.filter(pk=account.pk).first()
    return None if row is None else _state(row)


def version_of(state: State | None) -> str:
    """Return a digest of an account's state."""
    return salted_hmac(__name__, repr(state)).hexdigest()


def record_change(account: Account, before: State | None, actor: Actor) -> None:
    """Record how an account differs from `before`; None means that it is new."""
    after = _state(account)
    is_user = isinstance(account, User)
    if before is None:
        action = Action.USER_CREATED if is_user else Action.GROUP_CREATED
        detail = _recorded_fields(after)
    else:
        changed = sorted(name for name in after if after[name] != before[name])
        if not changed:
            return
        action = Action.USER_CHANGED if is_user else Action.GROUP_CHANGED
        detail = {
            "changed": changed,
            "before": _recorded_fields({name: before[name] for name in changed}),
            "after": _recorded_fields({name: after[name] for name in changed}),
        }
    log.record_without_upload(action, actor, detail=_reference(account) | detail)


@contextmanager
def recorded(account: Account | None, actor: Actor) -> Iterator[State | None]:
    """Record the changes made to an account within the block; yield the state before them.

    The state is None, and nothing is recorded, if there is no such account.
    """
    with transaction.atomic():
        before = locked_state(account) if account else None
        yield before
        if account and before:
            account.refresh_from_db()
            record_change(account, before, actor)


@contextmanager
def recorded_saves(actor: Actor) -> Iterator[None]:
    """Record the change that each save of a user within the block makes."""
    states: dict[int, State | None] = {}

    def before_save(instance: User, **rest: Any) -> None:
        states[id(instance)] = locked_state(instance)

    def after_save(instance: User, **rest: Any) -> None:
        record_change(instance, states.pop(id(instance)), actor)

    pre_save.connect(before_save, sender=User)
    post_save.connect(after_save, sender=User)
    try:
        with transaction.atomic():
            yield
    finally:
        pre_save.disconnect(before_save, sender=User)
        post_save.disconnect(after_save, sender=User)


def delete_group(group: Group, actor: Actor) -> None:
    """Delete a group; record its permissions and members."""
    with transaction.atomic():
        state = locked_state(group)
        if state is None:
            return
        members = sorted(group.user_set.values_list("username", flat=True))
        log.record_without_upload(
            Action.GROUP_DELETED,
            actor,
            detail=_reference(group) | _recorded_fields(state) | {"members": members},
        )
        group.delete()


@receiver(pre_delete, sender=User, dispatch_uid="uploads.accounts.keep_users")
def keep_users(instance: User, **rest: Any) -> None:
    raise AppendOnlyError(
        f"the user {instance.get_username()} cannot be deleted; deactivate the account."
    )


def _state(account: Account) -> State:
    options = account._meta
    state = {field.name: getattr(account, field.name) for field in options.fields}
    state.pop("last_login", None)  # a login is no change of the account
    for field in options.many_to_many:
        related: QuerySet[Any] = getattr(account, field.name).order_by()
        if field.name == "groups":
            state[field.name] = sorted(related.values_list("name", flat=True))
        else:
            labels = related.values_list("content_type__app_label", "codename")
            state[field.name] = sorted(f"{app}.{codename}" for app, codename in labels)
    return state


def _reference(account: Account) -> dict[str, Any]:
    kind = "user" if isinstance(account, User) else "group"
    return {kind: str(account), "number": account.pk}


def _recorded_fields(state: State) -> State:
    return {name: state[name] for name in _RECORDED if name in state}
