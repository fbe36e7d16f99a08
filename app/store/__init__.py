"""All SQL: tables, transactions and the repositories that turn rows into domain objects.

Functions here never commit; who opens a transaction ends it.
"""

from . import alert_models  # noqa: F401 - adds its tables to the metadata
from .models import Base

__all__ = ["METADATA"]

METADATA = Base.metadata  # what flask-sqlalchemy binds and flask-migrate compares
