"""The URL map; the API comes first because it gets the most requests."""

from __future__ import annotations

from django.contrib import admin
from django.urls import path, re_path
from django.views.generic import RedirectView

from mirrorsite import api_docs, health, home
from mirrorsite.server.fast_path import FastAnswer
from transforms import views as transforms
from uploads.api import read_views
from uploads.api.views import UploadRandomView

urlpatterns = [
    path("api/health", health.HealthView.as_view(), name="health"),
    path("api/mirror", transforms.MirrorView.as_view(), name="mirror"),
    path("api/upload-random", UploadRandomView.as_view(), name="upload-random"),
    path("api/ready", health.ReadyView.as_view(), name="ready"),
    path("api/uploads", read_views.UploadListView.as_view(), name="uploads"),
    path(
        "api/uploads/<str:upload_id>",
        read_views.UploadDetailView.as_view(),
        name="upload",
    ),
    path(
        "api/uploads/<str:upload_id>/events",
        read_views.UploadEventsView.as_view(),
        name="upload-events",
    ),
    path(
        "api/uploads/<str:upload_id>/content",
        read_views.UploadContentView.as_view(),
        name="upload-content",
    ),
    path(
        "api/uploads/<str:upload_id>/verify",
        read_views.UploadVerifyView.as_view(),
        name="upload-verify",
    ),
    # All other paths below: their 404 needs authentication too.
    re_path(r"^api/uploads/", read_views.NotFoundView.as_view()),
    path("api/schema", api_docs.SchemaView.as_view(), name="schema"),
    path("api/docs", api_docs.DocsView.as_view(), name="docs"),
    path("api/problems", api_docs.ProblemListView.as_view(), name="problems"),
    path(
        "api/problems/<slug:slug>", api_docs.ProblemTypeView.as_view(), name="problem"
    ),
    path("", home.home, name="home"),
    path("favicon.ico", home.favicon, name="favicon"),
    path("admin", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/", admin.site.urls),
]

#: Functions that answer plain GETs of these paths without Django.
FAST_ANSWERS: dict[bytes, FastAnswer] = {
    b"/api/health": health.fast_answer,
    b"/api/mirror": transforms.fast_answer,
}

handler400 = handler500 = "mirrorsite.middleware.error_answer"
