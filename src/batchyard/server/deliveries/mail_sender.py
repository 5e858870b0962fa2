"""Sends what topics have for email and email-json subscriptions, through the owner's SMTP server (observability spec
8.3)."""

from __future__ import annotations

import asyncio
import smtplib
import ssl
from concurrent.futures import ThreadPoolExecutor
from email.message import EmailMessage
from email.policy import SMTP

from batchyard.server.deliveries.message_signer import MessageSigner
from batchyard.server.deliveries.sender import ARRIVED, Outcome
from batchyard.server.deliveries.sns_channel import envelope
from batchyard.server.deliveries.sns_messages import Links, text_of
from batchyard.server.settings.notify import Smtp
from batchyard.server.settings.paths import PathError
from batchyard.topics.machine import CONFIRMATION, NOTIFICATION, Notice

TIMEOUT_SECONDS = 15.0  # of each step of SMTP
THREADS = 4  # a mail server that does not answer holds up mail, and nothing else of the service
SUBJECT = "AWS Notification Message"  # AWS's words, as the next
CONFIRMATION_SUBJECT = "AWS Notification - Subscription Confirmation"
PERMANENT = range(500, 600)  # SMTP's replies that mean: never


class MailSender:
    """Sends notices as mail (server.deliveries.sns_channel)."""

    def __init__(self, smtp: Smtp, signer: MessageSigner, links: Links) -> None:
        self._smtp, self._signer, self._links = smtp, signer, links
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="mail")

    async def send(self, notice: Notice, body: str) -> Outcome:
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._send, notice, body)

    def _send(self, notice: Notice, body: str) -> Outcome:
        try:
            mail = mail_of(notice, self._text(notice, body), self._smtp.sender)
            self._deliver(mail)
        except PathError as error:
            return Outcome("SIGNATURE_FAILURE", str(error))
        except smtplib.SMTPRecipientsRefused as error:
            code, text = next(iter(error.recipients.values()))
            return _refused(code, text)
        except smtplib.SMTPResponseException as error:
            return _refused(error.smtp_code, error.smtp_error)
        except ValueError as error:
            return Outcome("INVALID_PARAMETER", f"The mail cannot be written: {error}.", is_final=True)
        except (OSError, smtplib.SMTPException) as error:
            reason = str(error) or type(error).__name__
            return Outcome("CONNECTION_FAILURE", f"{self._smtp.host}:{self._smtp.port}: {reason}")
        return ARRIVED

    def _text(self, notice: Notice, body: str) -> str:
        if notice.protocol == "email-json":
            return envelope(notice, body, self._signer, self._links).decode()
        if notice.kind == CONFIRMATION:
            return (
                f"You have chosen to subscribe to the topic:\n{notice.topic_arn}\n\n"
                f"To confirm this subscription, visit:\n{self._links.confirm(notice)}\n\n"
                "If you do not want it, there is nothing to do.\n"
            )
        text = text_of(notice, body)
        if notice.kind != NOTIFICATION:
            return text
        link = self._links.unsubscribe(notice)
        return f"{text}\n\n--\nTo stop receiving notifications from this topic, visit:\n{link}\n"

    def _deliver(self, mail: EmailMessage) -> None:
        settings = self._smtp
        context = ssl.create_default_context()
        connection = (
            smtplib.SMTP_SSL(settings.host, settings.port, timeout=TIMEOUT_SECONDS, context=context)
            if settings.security == "tls"
            else smtplib.SMTP(settings.host, settings.port, timeout=TIMEOUT_SECONDS)
        )
        with connection:
            if settings.security == "starttls":
                connection.starttls(context=context)
            if settings.user:
                connection.login(settings.user, settings.password)
            connection.send_message(mail)


def mail_of(notice: Notice, text: str, sender: str) -> EmailMessage:
    mail = EmailMessage(SMTP)
    mail["From"], mail["To"] = sender, notice.endpoint
    subject = " ".join(notice.subject.split()) or SUBJECT  # what alarms and rules say may have several lines
    mail["Subject"] = CONFIRMATION_SUBJECT if notice.kind == CONFIRMATION else subject
    # The same for a mail that is sent again, so that a reader's program shows it once.
    mail["Message-ID"] = f"<{notice.message_id}.{notice.subscription_arn.rpartition(':')[2]}@batchyard>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(text.encode(errors="replace").decode())
    return mail


def _refused(code: int, text: bytes | str) -> Outcome:
    shown = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return Outcome(f"SMTP_{code}", f"The mail server answered {code} {shown}", is_final=code in PERMANENT)
