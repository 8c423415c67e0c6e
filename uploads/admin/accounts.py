"""Django's admin of users and groups, with an audit event for each change."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django.core.exceptions import ValidationError
from django.db.models import Field, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

from mirrorsite.actors import staff_actor
from mirrorsite.admin.changelist import StrictAdminMixin
from uploads import accounts

admin.site.unregister([User, Group])


class _AccountMixin(StrictAdminMixin):
    """Records what a form changes, in the transaction of the change."""

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Reject a form that was opened before another change was saved.

        A form submits every field, so its old values would overwrite that change.
        """
        if not self.has_change_permission(request):  # type: ignore[attr-defined]
            # A read-only page or a refusal changes nothing: do not lock the account.
            return super().change_view(request, object_id, form_url, extra_context)  # type: ignore[misc,no-any-return]
        account = self.get_object(request, unquote(object_id))  # type: ignore[attr-defined]
        with accounts.recorded(account, staff_actor(request)) as before:
            version = accounts.version_of(before)
            if request.POST.get("version", version) != version:
                messages.error(
                    request,
                    "Not saved: another change was saved after this form was opened."
                    " The form now has the current values.",
                )
                return HttpResponseRedirect(request.get_full_path())
            context = {"version": version, **(extra_context or {})}
            return super().change_view(request, object_id, form_url, context)  # type: ignore[misc,no-any-return]

    def save_related(
        self, request: HttpRequest, form: Any, formsets: Any, change: bool
    ) -> None:
        super().save_related(request, form, formsets, change)  # type: ignore[misc]
        if not change:  # changes are recorded by `change_view`
            accounts.record_change(
                form.instance, before=None, actor=staff_actor(request)
            )


@admin.register(User)
class StaffUserAdmin(_AccountMixin, UserAdmin):  # type: ignore[type-arg]
    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Make the dates read-only, and the user name, which events refer to."""
        return ("username", "last_login", "date_joined") if obj else ()

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Show the password, with its link to change it, only to those who may change it."""
        fieldsets = super().get_fieldsets(request, obj)
        if obj is None or self.has_change_permission(request, obj):
            return fieldsets
        return ((None, {"fields": ("username",)}), *fieldsets[1:])

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def user_change_password(
        self,
        request: HttpRequest,
        id: str,  # noqa: A002 Django's name
        form_url: str = "",
    ) -> HttpResponse:
        user = self.get_object(request, unquote(id))
        with accounts.recorded(user, staff_actor(request)):
            return super().user_change_password(request, id, form_url)


def _require_printable(name: str) -> None:
    """Refuse characters that reorder or hide text wherever the name is shown."""
    if not name.isprintable():
        raise ValidationError("Enter a name without control or format characters.")


@admin.register(Group)
class StaffGroupAdmin(_AccountMixin, GroupAdmin):
    def formfield_for_dbfield(
        self, db_field: Field[Any, Any], request: HttpRequest, **kwargs: Any
    ) -> Any:
        if db_field.name == "name":
            kwargs["validators"] = [_require_printable]
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    def delete_model(self, request: HttpRequest, obj: Group) -> None:
        accounts.delete_group(obj, staff_actor(request))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Group]) -> None:
        for group in queryset:
            accounts.delete_group(group, staff_actor(request))
