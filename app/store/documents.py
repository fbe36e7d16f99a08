"""DocumentRepository: the documents of the knowledge provider `local`, their versions, search."""

from typing import Any
from uuid import UUID

from sqlalchemy import Select, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from ..domain.resources import Document
from .adapter_models import DocumentRow, DocumentVersionRow

PROVIDER = "local"
LANGUAGE = "english"  # of the index, 0021_documents
HEADLINE = "StartSel=**,StopSel=**,MaxFragments=2,MaxWords=30,MinWords=10"
RANK_BY_LENGTH = (
    1  # a long document holds more words of any kind: its rank is divided by log(length)
)

_COLUMNS = (
    DocumentRow.id,
    DocumentRow.version,
    DocumentRow.title,
    DocumentRow.text,
    DocumentRow.tags,
    DocumentRow.properties,
    DocumentRow.created_at,
    DocumentRow.updated_at,
)

Documents = list[Document]
Versions = list[tuple[int, dict[str, Any]]]


class DocumentRepository:
    """Documents of one tenant, inside a transaction scoped to that tenant."""

    def __init__(self, session: Session, tenant_id: UUID) -> None:
        self._session = session
        self._tenant_id = tenant_id

    def add(self, document_id: UUID, values: dict[str, Any]) -> Document:
        """Add a document; under an id that is taken none is added, and that one is returned."""
        statement = insert(DocumentRow).values(
            tenant_id=self._tenant_id,
            id=document_id,
            version=1,
            **{"tags": [], "properties": {}, **values},
        )
        self._session.execute(statement.on_conflict_do_nothing())
        found = self.get(document_id)
        assert found is not None  # noqa: S101 # it was added just now, or before  # nosec B101
        return found

    def get(self, document_id: UUID) -> Document | None:
        """One document as it is now, or None."""
        statement = self._select().where(DocumentRow.id == document_id)
        row = self._session.execute(statement).mappings().first()
        return None if row is None else _document(row)

    def update(self, document_id: UUID, values: dict[str, Any]) -> Document | None:
        """Make the next version with the given fields; None if there is no such document."""
        statement = self._select().where(DocumentRow.id == document_id).with_for_update()
        row = self._session.execute(statement).mappings().first()
        if row is None:
            return None
        content = {name: row[name] for name in ("title", "text", "tags", "properties")}
        self._session.execute(
            insert(DocumentVersionRow).values(
                tenant_id=self._tenant_id,
                document_id=document_id,
                version=row["version"],
                content=content,
            )
        )
        changed = (
            update(DocumentRow)
            .where(DocumentRow.tenant_id == self._tenant_id, DocumentRow.id == document_id)
            .values(**values, version=DocumentRow.version + 1, updated_at=func.now())
            .returning(*_COLUMNS)
        )
        return _document(self._session.execute(changed).mappings().one())

    def delete(self, document_id: UUID) -> bool:
        """Delete a document with its versions; False if there is none."""
        statement = delete(DocumentRow).where(
            DocumentRow.tenant_id == self._tenant_id, DocumentRow.id == document_id
        )
        return self._session.execute(statement.returning(DocumentRow.id)).first() is not None

    def list(self, *, limit: int, after: UUID | None) -> Documents:
        """Documents, newest first, past the id `after`."""
        statement = self._select().order_by(DocumentRow.id.desc()).limit(limit)
        if after is not None:
            statement = statement.where(DocumentRow.id < after)
        return [_document(row) for row in self._session.execute(statement).mappings()]

    def search(self, query: str, *, limit: int, skip: int) -> Documents:
        """Documents that hold the words of `query` (quotes, or and - as in web search), best first.

        Words of the title count more. The rank is over this tenant's documents alone.
        """
        sought = func.websearch_to_tsquery(LANGUAGE, query)
        score = func.ts_rank_cd(DocumentRow.words, sought, RANK_BY_LENGTH)
        found = (
            self._select(score.label("score"))
            .where(DocumentRow.words.bool_op("@@")(sought))
            .order_by(score.desc(), DocumentRow.id.desc())
            .limit(limit)
            .offset(skip)
            .subquery()
        )
        # Only what is shown is highlighted, which costs more than all the rest.
        highlight = func.ts_headline(LANGUAGE, found.c.text, sought, HEADLINE)
        statement = select(found, highlight.label("highlight")).order_by(
            found.c.score.desc(), found.c.id.desc()
        )
        return [_document(row) for row in self._session.execute(statement).mappings()]

    def list_versions(self, document_id: UUID) -> Versions:
        """The earlier versions of a document, oldest first."""
        statement = (
            select(DocumentVersionRow.version, DocumentVersionRow.content)
            .where(
                DocumentVersionRow.tenant_id == self._tenant_id,
                DocumentVersionRow.document_id == document_id,
            )
            .order_by(DocumentVersionRow.version)
        )
        return [(version, content) for version, content in self._session.execute(statement)]

    def _select(self, *more: Any) -> Select[Any]:
        return select(*_COLUMNS, *more).where(DocumentRow.tenant_id == self._tenant_id)


def _document(row: Any) -> Document:
    return Document(**{**row, "id": str(row["id"]), "provider": PROVIDER})
