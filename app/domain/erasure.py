"""Who is to be erased, and what of a record says so: it is replaced by a mark, the fact stays.

Everything here is of one record's texts; JSON keeps every other byte of its values as it was.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from typing import Any
from uuid import UUID

from ..errors import FieldError, InvalidInput, InvalidRecord
from .codec import JSON_COLUMNS
from .holds import PERSONAL
from .records import IDENTIFIER_CHARS_MAX, Kind, text
from .secret_names import letters_of

ERASED = "[erased]"
EMAIL_FORM = re.compile(r"[^@\s\x00-\x1f]+@[^@\s\x00-\x1f]+\.[^@\s\x00-\x1f.]+")
# A shorter id, or one of digits alone, is found where it is all of a value, and not within a text:
# it would be found in the words and figures of others.
WITHIN_CHARS_MIN = 8
NEEDLE_FORM = re.compile(r"[!#-\[\]-~]+")  # printable ASCII that JSON writes as it is

# Names under which a number is a user's id, and not just as large.
USER_NAMES = frozenset(
    {
        *("user", "userid", "uid", "actor", "actorid", "author", "authorid", "owner", "ownerid"),
        *("assignee", "assigneeid", "requesterid", "submitterid", "createdby", "updatedby"),
        *(
            "deletedby",
            "customerid",
            "contactid",
            "personid",
            "memberid",
            "employeeid",
            "accountid",
        ),
    }
)
# What an object that has the subject as one of its values says of that person.
PERSON_NAMES = frozenset(
    {
        *("name", "firstname", "lastname", "middlename", "fullname", "displayname", "givenname"),
        *("familyname", "surname", "nickname", "username", "login", "screenname", "initials"),
        *("email", "emailaddress", "mail", "phone", "phonenumber", "mobile", "mobilephone", "fax"),
        *("telephone", "address", "address1", "address2", "street", "streetaddress", "zip"),
        *("postalcode", "zipcode", "birthdate", "dateofbirth", "birthday", "dob", "gender"),
        *("ip", "ipaddress", "useragent", "avatar", "avatarurl", "photo", "picture"),
        *("userid", "uid", "linkedin", "twitter", "skype"),
    }
)

Values = Mapping[str, str | None]
Pairs = list[tuple[str, Any]]


class _Object:
    """A JSON object as it was written: in order."""

    __slots__ = ("pairs",)

    def __init__(self, pairs: Pairs) -> None:
        self.pairs = pairs


class _Number(str):
    """A JSON number as it was written."""

    __slots__ = ()


class SubjectKind(StrEnum):
    """What a person is known by."""

    USER_ID = "user_id"
    EMAIL = "email"


@dataclass(frozen=True)
class Subject:
    """The person whose data is to be erased, by one of the names that records have."""

    kind: SubjectKind
    value: str

    @cached_property
    def _within(self) -> re.Pattern[str] | None:
        """Finds the person within a text, as a word of its own."""
        if self.kind is SubjectKind.EMAIL:
            local, _, domain = self.value.partition("@")
            known = f"{re.escape(local)}(?:@|%40){re.escape(domain)}"
            return re.compile(rf"(?<![\w.+-]){known}(?![\w-]|\.\w)", re.IGNORECASE)
        if len(self.value) < WITHIN_CHARS_MIN or self.value.isdigit():
            return None
        return re.compile(rf"(?<![\w.@+-]){re.escape(self.value)}(?![\w@+-]|\.\w)")

    @property
    def is_sought_within(self) -> bool:
        """Whether texts that hold more than the name are looked through."""
        return self._within is not None

    @cached_property
    def needle(self) -> str:
        """Lower-case ASCII that stands in every text, and JSON, that names the person."""
        value = self.value.partition("@")[0] if self.kind is SubjectKind.EMAIL else self.value
        found: list[str] = NEEDLE_FORM.findall(value)
        return max(found, key=len, default="").lower()

    def is_whole(self, value: str) -> bool:
        """Whether a text is the person's name and nothing else."""
        if self.kind is SubjectKind.EMAIL:
            return value.strip().casefold() == self.value.casefold()
        return value == self.value

    def is_in(self, value: str) -> bool:
        """Whether a text names the person."""
        if self.is_whole(value):
            return True
        return self._within is not None and self._within.search(value) is not None


def read_subject(kind: str, value: str) -> Subject:
    """Whom to erase.

    Raises:
        InvalidInput: names the field and its rule.
    """
    known = [one.value for one in SubjectKind]
    if kind not in known:
        raise InvalidInput(FieldError("subject", f"must be one of {', '.join(known)}"))
    try:
        text(kind, value, IDENTIFIER_CHARS_MAX)
    except InvalidRecord as error:
        raise InvalidInput(FieldError(kind, error.rule)) from error
    if kind == SubjectKind.EMAIL and not EMAIL_FORM.fullmatch(value):
        raise InvalidInput(FieldError(kind, "must be an e-mail address"))
    if value != value.strip() or ERASED in value:
        raise InvalidInput(FieldError(kind, "must be a name that records have, without spaces"))
    return Subject(SubjectKind(kind), value)


def erase(kind: Kind, values: Values, subject: Subject) -> dict[str, str]:
    """What of a record's personal columns has to be put in the place of what they are.

    Args:
        values: of the columns that may name a person, by name, each as text.

    Returns:
        The columns that change; none if the record does not name the person.
    """
    own = _own_values(kind, values, subject)
    changed: dict[str, str] = {}
    for name in PERSONAL[kind]:
        value = values.get(name)
        if value is None:
            continue
        if name in JSON_COLUMNS:
            new = erase_json(value, subject, own)
            if new is not None:
                changed[name] = new
        elif value in own or subject.is_in(value):
            changed[name] = ERASED
    return changed


def erase_json(document: str, subject: Subject, own: frozenset[str] = frozenset()) -> str | None:
    """A JSON text without the person; None if it does not name them.

    Args:
        own: further values that are the person's in this record, as a whole.
    """
    if subject.needle not in document.lower() and not any(one in document for one in own):
        return None
    parsed = json.loads(
        document,
        object_pairs_hook=_Object,
        parse_int=_Number,
        parse_float=_Number,
        parse_constant=_Number,
    )
    eraser = _Eraser(subject, own)
    new = eraser.value(parsed, "")
    return _dump(new) if eraser.erased else None


def _own_values(kind: Kind, values: Values, subject: Subject) -> frozenset[str]:
    """Address and agent, if the person did what the record is of."""
    user_id = values.get("user_id") if kind is Kind.AUDIT else None
    if user_id is None or not subject.is_in(user_id):
        return frozenset()
    own = (values.get("ip_address"), values.get("user_agent"))
    return frozenset(value for value in own if value and value != ERASED)


class _Eraser:
    """Walks through one JSON document."""

    def __init__(self, subject: Subject, own: frozenset[str]) -> None:
        self._subject = subject
        self._own = own
        self.erased = False

    def value(self, value: Any, name: str) -> Any:
        """What a value becomes, that stands under a name."""
        if isinstance(value, _Object):
            return self._object(value)
        if isinstance(value, list):
            return [self.value(one, name) for one in value]
        return self._erased() if self._names(value, name) else value

    def _names(self, value: Any, name: str) -> bool:
        if isinstance(value, _Number):
            return value == self._subject.value and letters_of(name) in USER_NAMES
        return isinstance(value, str) and (value in self._own or self._subject.is_in(value))

    def _object(self, of: _Object) -> _Object:
        persons = any(self._is_person(value, name) for name, value in of.pairs)
        pairs: Pairs = []
        for name, value in of.pairs:
            mine = persons and letters_of(name) in PERSON_NAMES
            new = self._all(value) if mine else self.value(value, name)
            pairs.append((name, new))
        return _Object(self._renamed(pairs))

    def _is_person(self, value: Any, name: str) -> bool:
        """Whether a value is the person's name and nothing else."""
        if isinstance(value, _Number):
            return self._names(value, name)
        return isinstance(value, str) and self._subject.is_whole(value)

    def _all(self, value: Any) -> Any:
        """All of a value that is the person's; what says nothing stays."""
        if value is None or value is True or value is False or value in ("", ERASED):
            return value
        return self._erased()

    def _renamed(self, pairs: Pairs) -> Pairs:
        """The pairs without names that name the person; each name stays one of its own."""
        if not any(self._subject.is_in(name) for name, _ in pairs):
            return pairs
        taken = {name for name, _ in pairs}
        renamed: Pairs = []
        for name, value in pairs:
            new, number = name, 1
            if self._subject.is_in(name):
                new = self._erased()
                while new in taken:
                    number += 1
                    new = f"{ERASED} {number}"
                taken.add(new)
            renamed.append((new, value))
        return sorted(renamed, key=lambda pair: (len(pair[0].encode()), pair[0].encode()))

    def _erased(self) -> str:
        self.erased = True
        return ERASED


def _dump(value: Any) -> str:
    """JSON as Postgres writes it."""
    if isinstance(value, _Object):
        return "{" + ", ".join(f"{_text(name)}: {_dump(one)}" for name, one in value.pairs) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_dump, value)) + "]"
    if isinstance(value, _Number):
        return str(value)
    return _text(value)


_text: Callable[[Any], str] = json.JSONEncoder(ensure_ascii=False).encode


class ErasureState(StrEnum):
    """How an erasure stands."""

    REQUESTED = "requested"
    PREVIEWED = "previewed"
    CONFIRMED = "confirmed"
    DONE = "done"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """A person whose data is to be erased, and how far that is.

    Attributes:
        subject: None once it is over: nothing of ours keeps the name any longer.
        report: what was found, erased and kept, by where; of a preview, of erasing nothing yet.
    """

    tenant_id: UUID
    id: UUID
    subject_kind: SubjectKind
    subject: Subject | None
    state: ErasureState
    requested_by: str
    requested_at: datetime
    confirmed_by: str | None = None
    confirmed_at: datetime | None = None
    finished_at: datetime | None = None
    report: dict[str, Any] | None = None
