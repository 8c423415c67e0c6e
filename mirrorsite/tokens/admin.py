"""Tokens in the admin: created (and shown once), listed, revoked; never changed."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone

from mirrorsite.actors import staff_actor
from mirrorsite.admin.changelist import StrictAdminMixin
from mirrorsite.tokens import services
from mirrorsite.tokens.models import Token


class TokenForm(forms.ModelForm[Token]):
    """The arguments of `services.create_token`."""

    # The admin's autocomplete field has no accessible name (for screen readers).
    user = forms.ModelChoiceField(
        User.objects.filter(is_active=True).order_by("username")
    )
    days = forms.IntegerField(
        label="Valid for days",
        min_value=1,
        max_value=services.MAX_DAYS,
        initial=services.DEFAULT_DAYS,
    )


@admin.register(Token)
class TokenAdmin(StrictAdminMixin, admin.ModelAdmin[Token]):
    form = TokenForm
    list_display = (
        "name", "user", "can_upload", "can_read", "state",
        "token_key", "created", "expiry", "last_used_at",
    )  # fmt: skip
    list_filter = (
        "can_upload", "can_read", "expiry", ("revoked_at", admin.EmptyFieldListFilter),
    )  # fmt: skip
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
        if not token.user.is_active:
            return "owner inactive"
        return "valid" if token.is_valid_at(timezone.now()) else "expired"

    @admin.action(description="Revoke the selected tokens", permissions=["revoke"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[Token]) -> None:
        revoked = 0
        for token in queryset:
            if services.revoke_token(token, staff_actor(request)):
                self.log_change(request, token, "Revoked.")
                revoked += 1
        messages.success(request, f"Tokens revoked: {revoked}.")

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("tokens.revoke_token")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    has_delete_permission = has_change_permission

    def get_fields(self, request: HttpRequest, obj: Token | None = None) -> Any:
        if obj is None:
            return ("name", "user", "can_upload", "can_read", "days")
        return super().get_fields(request, obj)

    def save_model(
        self, request: HttpRequest, obj: Token, form: Any, change: bool
    ) -> None:
        """Create the token; tokens are never changed here."""
        token, secret = services.create_token(
            owner=obj.user,
            name=obj.name,
            scopes=obj.scopes,
            days=form.cleaned_data["days"],
            actor=staff_actor(request),
        )
        # Django logs the addition of `obj`, and `response_add` shows it.
        obj.pk, obj.expiry = token.pk, token.expiry
        request.new_token_secret = secret  # type: ignore[attr-defined]

    def response_add(
        self, request: HttpRequest, obj: Token, post_url_continue: str | None = None
    ) -> HttpResponse:
        """Show the secret in this answer: a redirect would carry it in a cookie."""
        return TemplateResponse(
            request,
            "admin/tokens/token/created.html",
            {
                **self.admin_site.each_context(request),
                "title": "Token created",
                "opts": self.opts,
                "token": obj,
                "secret": request.new_token_secret,  # type: ignore[attr-defined]
            },
        )
