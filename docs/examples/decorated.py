"""Somebody's Flask app whose functions and Celery tasks put their provider calls on record."""

from uuid import UUID

import flask
from celery import Celery
from opsledger import Opsledger, acting, carry_into_tasks, logs_action


def create_app(tenant_id: str) -> flask.Flask:
    """The app; its tasks run in any worker of `app.extensions["celery"]`."""
    app = flask.Flask(__name__)
    Opsledger(app, tenant_id=lambda: UUID(tenant_id), user_id=lambda: "ada@example.com")
    carry_into_tasks()  # here, and in the worker
    tasks = Celery(__name__, broker="memory://", backend="cache+memory://")
    app.extensions["celery"] = tasks

    @logs_action("crm_get", provider="hubspot")
    def find_contact(contact_id: int, access_token: str) -> dict[str, object]:
        """Stands in for a call of yours; the token is masked on record."""
        if contact_id == 0:
            raise LookupError("There is no contact 0")
        return {"id": contact_id, "email": "jane@example.com"}

    @tasks.task(bind=True, max_retries=2, name="send_mail")
    @logs_action("email_send", provider="ses")
    def send_mail(self: object, to: str) -> str:
        """Asks to be run again once; both runs are on record, under one operation_id."""
        if self.request.retries == 0:  # type: ignore[attr-defined]
            raise self.retry(countdown=0)  # type: ignore[attr-defined]
        return f"sent to {to}"

    @app.get("/contacts/<int:contact_id>")
    def show_contact(contact_id: int) -> dict[str, object]:
        try:
            return find_contact(contact_id, access_token="never on record")
        except LookupError as error:
            flask.abort(404, str(error))

    @app.post("/mails")
    def queue_mail() -> tuple[dict[str, str], int]:
        # A colleague of support does it in a customer's name: both are on record.
        with acting(user_id="support@example.com", acting_for="jane@example.com"):
            task = send_mail.delay(to="bob@example.com")
        return {"task": task.id}, 202

    return app
