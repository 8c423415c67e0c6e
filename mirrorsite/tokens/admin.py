"""Tokens in the admin: created (and shown once), listed, revoked; never changed."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone

from mirrorsite.actors import Actor, staff_actor
from mirrorsite.admin.changelist import StrictListMixin
from mirrorsite.forms import WholeNumberField
from mirrorsite.tokens import services
from mirrorsite.tokens.models import Scope, Token
from uploads.audit.log import write_transaction


class TokenForm(forms.ModelForm[Token]):
    """Collects the arguments of `services.create_token`, and calls it."""

    # The admin's autocomplete is a combobox without a name for screen readers.
    user = forms.ModelChoiceField(User.objects.order_by("username"))
    days = WholeNumberField(
        label="Valid for days",
        min_value=1,
        max_value=services.MAX_DAYS,
        initial=services.DEFAULT_DAYS,
    )
    actor: Actor
    secret = ""

    class Meta:
        model = Token
        fields = ("name", "user", "can_upload", "can_read")

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if not (cleaned.get("can_upload") or cleaned.get("can_read")):
            raise ValidationError("A token needs a scope: upload, read or both.")
        return cleaned

    def save(self, commit: bool = True) -> Token:
        """Create the token through the service, whatever `commit` is."""
        values = self.cleaned_data
        self.instance, self.secret = services.create_token(
            owner=values["user"],
            name=values["name"],
            scopes=[scope for scope in Scope if values[f"can_{scope.value}"]],
            days=values["days"],
            actor=self.actor,
        )
        return self.instance

    def save_m2m(self) -> None:
        """Do nothing: the admin calls this, and there are no many-to-many fields."""


@admin.register(Token)
class TokenAdmin(StrictListMixin, admin.ModelAdmin[Token]):
    list_display = (
        "name", "user", "can_upload", "can_read", "state",
        "token_key", "created", "expiry", "last_used_at",
    )  # fmt: skip
    list_filter = (
        "can_upload",
        "can_read",
        "expiry",
        ("revoked_at", admin.EmptyFieldListFilter),
    )
    list_select_related = ("user",)
    search_fields = ("name", "user__username")
    fields = (
        "name", "user", "can_upload", "can_read", "token_key",
        "created", "expiry", "last_used_at", "revoked_at",
    )  # fmt: skip
    actions = ("revoke",)

    @admin.display(description="state")
    def state(self, token: Token) -> str:
        if token.revoked_at is not None:
            return "revoked"
        return "valid" if token.is_valid_at(timezone.now()) else "expired"

    @admin.action(description="Revoke the selected tokens", permissions=["revoke"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[Token]) -> None:
        revoked = 0
        for token in queryset:
            with write_transaction():
                if services.revoke_token(token, staff_actor(request)):
                    self.log_change(request, token, "Revoked.")
                    revoked += 1
        messages.success(request, f"Tokens revoked: {revoked}.")

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("tokens.revoke_token")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_fields(self, request: HttpRequest, obj: Token | None = None) -> Any:
        if obj is None:
            return ("name", "user", "can_upload", "can_read", "days")
        return super().get_fields(request, obj)

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any
    ) -> Any:
        if obj is None:
            kwargs["form"] = TokenForm
        return super().get_form(request, obj, change, **kwargs)

    def save_form(self, request: HttpRequest, form: Any, change: bool) -> Token:
        form.actor = staff_actor(request)
        token: Token = form.save()
        request.new_token = form.secret  # type: ignore[attr-defined]
        return token

    def save_model(
        self, request: HttpRequest, obj: Token, form: Any, change: bool
    ) -> None:
        """Do nothing: the service has saved the token."""

    def response_add(
        self, request: HttpRequest, obj: Token, post_url_continue: str | None = None
    ) -> HttpResponse:
        """Show the token in this answer: a redirect would carry it in a cookie."""
        return TemplateResponse(
            request,
            "admin/tokens/token/created.html",
            {
                **self.admin_site.each_context(request),
                "title": "Token created",
                "opts": self.opts,
                "token": obj,
                "secret": request.new_token,  # type: ignore[attr-defined]
            },
        )
