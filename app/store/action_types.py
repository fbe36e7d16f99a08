"""The platform's action types: those that are built in, and those that were added."""

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from .models import ActionTypeRow


def list_action_types(session: Session) -> list[str]:
    """Every action type that exists on this platform, by name."""
    return list(session.execute(select(ActionTypeRow.name).order_by(ActionTypeRow.name)).scalars())


def add_action_type(session: Session, name: str) -> bool:
    """Make a new action type known; False if it is known already."""
    return bool(session.execute(select(func.add_action_type(name))).scalar_one())
