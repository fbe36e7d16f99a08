"""The application on Django, and django-auditlog's way: a row by its receivers, in the request.

Only the signal of a save is sent, not the save, which is the application's own and not logging's.
"""

import json
import os
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote, urlsplit

import django
from django.conf import settings
from django.http import HttpRequest, JsonResponse
from django.urls import path

from .work import work

_url = urlsplit(os.environ["OWNER_DATABASE_URL"])
settings.configure(
    SECRET_KEY="of a benchmark",
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "auditlog"],
    MIDDLEWARE=["auditlog.middleware.AuditlogMiddleware"],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": _url.path.removeprefix("/"),
            "USER": _url.username,
            "PASSWORD": unquote(_url.password or ""),
            "HOST": _url.hostname,
            "PORT": _url.port,
            "CONN_MAX_AGE": None,
        }
    },
    LOGGING_CONFIG=None,
)
django.setup()

from auditlog.registry import auditlog  # noqa: E402 - models load once Django is set up
from django.core.management import call_command  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.db import models  # noqa: E402
from django.db.models.signals import post_save  # noqa: E402


class Contact(models.Model):
    """What changes."""

    email = models.CharField(max_length=320)
    properties = models.JSONField()

    class Meta:
        """Of no installed app, since it has no table."""

        app_label = "site"


auditlog.register(Contact)


def view(request: HttpRequest) -> JsonResponse:
    """Reads a JSON body, works, logs, answers."""
    body = json.loads(request.body)
    response = work(body, request.headers)
    if os.environ["SITE"] == "auditlog":
        contact = Contact(pk=12345, email=body.get("email", ""), properties=response["properties"])
        post_save.send(Contact, instance=contact, created=True, raw=False, using="default")
    return JsonResponse(response)


urlpatterns = [path("", view)]


def create() -> Callable[..., Any]:
    """The WSGI application, its tables made."""
    call_command("migrate", verbosity=0)
    return get_wsgi_application()
