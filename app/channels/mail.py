"""E-mail, through the operator's server."""

import re
import smtplib
import ssl
from email.message import EmailMessage
from email.utils import format_datetime
from urllib.parse import unquote, urlsplit

from ..config import Settings
from ..errors import ChannelError
from .message import Message

TIMEOUT_S = 10.0
ADDRESS_FORM = re.compile(r"[^@\s<>,;:\"()\\]{1,64}@[A-Za-z0-9.-]{1,255}")


def check_mail(target: str, settings: Settings) -> str:
    """Refuse what is no address, and any while there is no server to send by."""
    if not ADDRESS_FORM.fullmatch(target):
        raise ChannelError("This is not an e-mail address", permanent=True)
    if not settings.smtp_url:
        raise ChannelError("This service sends no e-mail: OPSLEDGER_SMTP_URL", permanent=True)
    return target


def send_mail(target: str, _: str | None, message: Message, settings: Settings) -> str:
    """Send one mail; its Message-ID is made of the id, so that a second one is seen as such."""
    check_mail(target, settings)
    url = urlsplit(settings.smtp_url)
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = settings.smtp_from, target, message.title
    mail["Date"] = format_datetime(message.created_at)
    domain = settings.smtp_from.rpartition("@")[2] or "opsledger"
    mail["Message-ID"] = f"<{message.id}@{domain}>"
    mail.set_content(message.text)
    try:
        with _connected(url.scheme, url.hostname or "", url.port) as server:
            if url.username:
                server.login(unquote(url.username), unquote(url.password or ""))
            server.send_message(mail)
    except smtplib.SMTPRecipientsRefused as error:
        raise ChannelError(f"Refused: {error}", permanent=True) from error
    except (OSError, smtplib.SMTPException) as error:
        raise ChannelError(f"No mail sent: {error!r}", permanent=False) from error
    return "taken by the mail server"


def _connected(scheme: str, host: str, port: int | None) -> smtplib.SMTP:
    context = ssl.create_default_context()
    if scheme == "smtps":
        return smtplib.SMTP_SSL(host, port or 465, timeout=TIMEOUT_S, context=context)
    server = smtplib.SMTP(host, port or 25, timeout=TIMEOUT_S)
    if scheme == "smtp+starttls":
        server.starttls(context=context)
    return server
