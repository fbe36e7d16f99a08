"""Somebody's Flask app whose models say that their changes are to be on record."""

from uuid import UUID

import flask
from opsledger import Opsledger, audit_changes
from sqlalchemy import String, create_engine, select, update
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker
from sqlalchemy.pool import StaticPool


class Base(DeclarativeBase):
    """Base of the models."""


class Invoice(Base):
    """Each change of an invoice is an audit log, but for its scan."""

    __tablename__ = "invoices"
    __audited__ = ("id", "customer", "amount", "paid")

    id: Mapped[int] = mapped_column(primary_key=True)
    customer: Mapped[str] = mapped_column(String(100))
    amount: Mapped[int]
    paid: Mapped[bool] = mapped_column(default=False)
    scan: Mapped[bytes] = mapped_column(default=b"")


def create_app(tenant_id: str) -> flask.Flask:
    """The app; `audit_changes` is the only line that is new."""
    app = flask.Flask(__name__)
    Opsledger(app, tenant_id=lambda: UUID(tenant_id), user_id=lambda: "ada@example.com")
    engine = create_engine("sqlite://", poolclass=StaticPool)
    Base.metadata.create_all(engine)
    sessions: sessionmaker[Session] = sessionmaker(engine)
    audit_changes(sessions)

    @app.post("/invoices/<customer>/<int:amount>")
    def add_invoice(customer: str, amount: int) -> tuple[dict[str, int], int]:
        with sessions.begin() as session:
            invoice = Invoice(customer=customer, amount=amount)
            session.add(invoice)
            session.flush()
            return {"id": invoice.id}, 201

    @app.post("/invoices/<int:number>/paid")
    def pay_invoice(number: int) -> tuple[str, int]:
        with sessions.begin() as session:
            session.execute(select(Invoice).where(Invoice.id == number)).scalar_one().paid = True
        return "", 204

    @app.post("/invoices/<customer>/forgive")
    def forgive(customer: str) -> tuple[str, int]:
        with sessions.begin() as session:
            session.execute(update(Invoice).where(Invoice.customer == customer).values(amount=0))
        return "", 204

    return app
