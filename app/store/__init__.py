"""All SQL: tables, transactions and the repositories that turn rows into domain objects.

Functions here never commit; who opens a transaction ends it.
"""

# Their tables join the metadata.
from . import adapter_models as adapter_models
from . import alert_models as alert_models
from . import archive_models as archive_models
from . import retention_models as retention_models
from .models import Base

__all__ = ["METADATA"]

METADATA = Base.metadata  # what flask-sqlalchemy binds and flask-migrate compares
