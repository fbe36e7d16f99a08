"""All SQL: tables, transactions and the repositories that turn rows into domain objects.

Functions here never commit; who opens a transaction ends it.
"""

from . import archive_models, models

__all__ = ["METADATA", "archive_models"]

METADATA = models.Base.metadata  # what flask-sqlalchemy binds and flask-migrate compares
