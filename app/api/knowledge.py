"""The adapter's knowledge routes."""

from typing import Any

import flask
import marshmallow as ma

from ..domain.resources import Document
from ..providers.protocols import KNOWLEDGE
from .adapter import (
    PROPERTIES,
    ChangesSchema,
    KeptSchema,
    ListQuery,
    Page,
    SearchQuery,
    operates,
    operating,
    page_of,
    texts,
)
from .fields import Timestamp, text
from .identifiers import path_text
from .parsing import Blueprint

TITLE_CHARS_MAX = 500
TEXT_CHARS_MAX = 200_000

blueprint = Blueprint("knowledge", __name__, description="Documents of the tenant's knowledge.")


class DocumentChanges(ChangesSchema):
    """The fields of a document that can be set."""

    title = text(1, TITLE_CHARS_MAX)
    text = text(0, TEXT_CHARS_MAX)
    tags = texts(100, 50)
    properties = ma.fields.Dict(keys=ma.fields.String(), metadata=PROPERTIES)


class NewDocument(DocumentChanges):
    """A document to be stored."""

    title = text(1, TITLE_CHARS_MAX, required=True)
    text = text(0, TEXT_CHARS_MAX, required=True)


class DocumentSchema(KeptSchema):
    """A document, whichever provider keeps it; score and highlight are a search's."""

    class Meta:
        """The order in which fields are shown."""

        fields = (
            *("id", "provider", "url", "title", "text", "tags", "properties", "version"),
            *("score", "highlight", "created_at", "updated_at"),
        )

    url = ma.fields.String(required=True, allow_none=True)
    title = ma.fields.String(required=True)
    text = ma.fields.String(required=True)
    tags = ma.fields.List(ma.fields.String(), required=True)
    properties = ma.fields.Dict(required=True)
    version = ma.fields.Integer(required=True)
    score = ma.fields.Float(required=True, allow_none=True)
    highlight = ma.fields.String(required=True, allow_none=True)
    updated_at = Timestamp(required=True)


@blueprint.route("/knowledge/documents", methods=["POST"])
@operates("knowledge_store")
@blueprint.no_query()
@blueprint.arguments(NewDocument)
@blueprint.response(201, DocumentSchema)
def store_document(values: dict[str, Any]) -> tuple[Document, int, dict[str, str]]:
    """Store a document."""
    with operating(KNOWLEDGE) as knowledge:
        document = knowledge.create(values)
    location = flask.url_for("knowledge.get_document", document_id=document.id)
    return document, 201, {"Location": location}


@blueprint.route("/knowledge/documents")
@operates("knowledge_list")
@blueprint.arguments(ListQuery, location="query")
@blueprint.response(200, DocumentSchema(many=True))
def list_documents(query: dict[str, Any]) -> Page:
    """List documents, in the provider's order. The Link header leads on."""
    with operating(KNOWLEDGE) as knowledge:
        return page_of(knowledge.list(**query))


@blueprint.route("/knowledge/documents/search")
@operates("knowledge_search")
@blueprint.arguments(SearchQuery, location="query")
@blueprint.response(200, DocumentSchema(many=True))
def search_documents(query: dict[str, Any]) -> Page:
    """Search documents by a text, best first. The Link header leads on."""
    with operating(KNOWLEDGE) as knowledge:
        return page_of(knowledge.search(query["q"], limit=query["limit"], after=query["after"]))


@blueprint.route("/knowledge/documents/<item:document_id>")
@operates("knowledge_get")
@blueprint.no_query()
@blueprint.response(200, DocumentSchema)
def get_document(document_id: str) -> Document:
    """Get a document by the provider's id."""
    wanted = path_text("document_id", document_id)
    with operating(KNOWLEDGE) as knowledge:
        return knowledge.get(wanted)


@blueprint.route("/knowledge/documents/<item:document_id>", methods=["PATCH"])
@operates("knowledge_update")
@blueprint.no_query()
@blueprint.arguments(DocumentChanges)
@blueprint.response(200, DocumentSchema)
def update_document(values: dict[str, Any], document_id: str) -> Document:
    """Change the given fields of a document."""
    wanted = path_text("document_id", document_id)
    with operating(KNOWLEDGE) as knowledge:
        return knowledge.update(wanted, values)


@blueprint.route("/knowledge/documents/<item:document_id>", methods=["DELETE"])
@operates("knowledge_delete")
@blueprint.no_query()
@blueprint.response(204)
def delete_document(document_id: str) -> None:
    """Delete a document."""
    wanted = path_text("document_id", document_id)
    with operating(KNOWLEDGE) as knowledge:
        knowledge.delete(wanted)
