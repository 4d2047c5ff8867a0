"""Delivery channels: e-mail by SMTP, text messages by a provider."""

from __future__ import annotations

import smtplib
import ssl
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Protocol

from recsys.errors import Unavailable
from recsys.processes.installed import installed
from recsys.settings import Settings, get_settings

__all__ = ["SMS_GROUP", "DeliveryRefused", "Mail", "SmsProvider", "SmsSandbox", "send_mail", "sms_provider"]

SMS_GROUP = "recsys.sms"
"""Entry-point group of SMS providers: each a callable that takes the Settings and gives an SmsProvider."""


class DeliveryRefused(Exception):
    """The recipient's server or the provider refuses the message for good; a retry is useless."""


@dataclass(frozen=True)
class Mail:
    """One e-mail; `key` makes its Message-ID, so that a mail sent twice is recognised as the same."""

    key: str
    to: str
    subject: str
    text: str
    html: str | None = None
    cc: tuple[str, ...] = ()
    bcc: tuple[str, ...] = ()


class SmsProvider(Protocol):
    """A provider of text messages."""

    name: str

    def send(self, phone_number: str, message: str, *, key: str) -> None:
        """Hand a message over; the same `key` is sent once.

        Raises
        ------
        DeliveryRefused
            The number can't be reached.
        Unavailable
            It should be tried again.
        """
        ...


class SmsSandbox:
    """Sends nothing: numbers ending in 0000 are refused, in 9999 unavailable, all others taken."""

    name = "sandbox"

    def send(self, phone_number: str, message: str, *, key: str) -> None:
        """Accept a message, or raise as its number demands."""
        if phone_number.endswith("0000"):
            raise DeliveryRefused("the number can't be reached")
        if phone_number.endswith("9999"):
            raise Unavailable("The SMS provider does not answer.")


def sms_provider(settings: Settings | None = None) -> SmsProvider:
    """The provider of the settings. Raises Unavailable when no installed package brings it."""
    settings = settings or get_settings()
    wanted = settings.notifications.sms_provider
    if wanted == SmsSandbox.name:
        return SmsSandbox()
    for entry in installed(SMS_GROUP):
        if entry.name == wanted:
            provider: SmsProvider = entry.load()(settings)
            return provider
    raise Unavailable(
        f"No installed package brings the SMS provider {wanted!r}: expected an entry point of that name in "
        f"the group {SMS_GROUP}. Install it, or set RECSYS_NOTIFICATIONS__SMS_PROVIDER."
    )


def send_mail(mail: Mail, settings: Settings | None = None) -> None:
    """Hand an e-mail to the SMTP server of the settings.

    Raises
    ------
    DeliveryRefused
        The server refuses the mail or its address for good (a 5xx answer).
    Unavailable
        Anything else went wrong, or no server is set.
    """
    chosen = (settings or get_settings()).notifications
    if chosen.smtp_host is None:
        raise Unavailable("No SMTP server is set: set RECSYS_NOTIFICATIONS__SMTP_HOST to send e-mail.")
    try:
        with smtplib.SMTP(chosen.smtp_host, chosen.smtp_port, timeout=chosen.smtp_timeout) as server:
            if chosen.smtp_starttls:
                server.starttls(context=ssl.create_default_context())
            if chosen.smtp_user is not None and chosen.smtp_password is not None:
                server.login(chosen.smtp_user, chosen.smtp_password.get_secret_value())
            server.send_message(_message(mail, chosen.mail_from))
    except smtplib.SMTPRecipientsRefused as error:
        codes = [code for code, _ in error.recipients.values()]
        if all(code >= 500 for code in codes):
            raise DeliveryRefused(f"the server refused the address ({codes[0]})") from None
        raise Unavailable(f"The SMTP server does not take the address now ({codes[0]}).") from None
    except smtplib.SMTPAuthenticationError as error:
        # wrong credentials are ours to mend, not the recipient's fault: the mail waits
        raise Unavailable(f"The SMTP server refuses the log-in ({error.smtp_code}).") from None
    except smtplib.SMTPResponseException as error:
        if error.smtp_code >= 500:
            raise DeliveryRefused(f"the server refused the mail ({error.smtp_code})") from None
        raise Unavailable(f"The SMTP server does not take the mail now ({error.smtp_code}).") from None
    except (smtplib.SMTPException, OSError) as error:
        raise Unavailable(f"The SMTP server can't be reached: {type(error).__name__}.") from None


def _message(mail: Mail, sender: str) -> EmailMessage:
    message = EmailMessage()
    message["From"] = sender
    message["To"] = mail.to
    if mail.cc:
        message["Cc"] = ", ".join(mail.cc)
    if mail.bcc:
        # smtplib sends to these addresses and leaves the header out
        message["Bcc"] = ", ".join(mail.bcc)
    message["Subject"] = mail.subject
    message["Message-ID"] = f"<{mail.key}@{sender.rpartition('@')[2].strip('>') or 'localhost'}>"
    message.set_content(mail.text)
    if mail.html is not None:
        message.add_alternative(mail.html, subtype="html")
    return message
