"""Tables of the configuration file that have no flag and no variable, as the reference shows them."""

from __future__ import annotations

from msgspec import Struct

from batchyard.server.settings.allowed_targets import TARGETS_TABLE
from batchyard.server.settings.efs_directories import EFS_TABLE
from batchyard.server.settings.image_names import IMAGES_TABLE
from batchyard.server.settings.notify import NOTIFY_TABLE, SMTP_TABLE


class FileTable(Struct, frozen=True):
    """`example`: lines that the file may have as they stand; `members`: what stands in them, where names are given."""

    name: str
    help: str
    example: str
    members: tuple[tuple[str, str], ...] = ()


FILE_TABLES = (
    FileTable(
        EFS_TABLE,
        "Directories of this machine that replace the file systems and access points of job definitions, by their id.",
        '[efs]\n"fs-0123456789abcdef0" = "/srv/shared"\n"fsap-0123456789abcdef0" = "/srv/shared/results"\n',
    ),
    FileTable(
        IMAGES_TABLE,
        "Images that replace those of job definitions; `*` stands for any text. A table of an engine's name, such as "
        "`[images.docker]`, is of that engine alone, and comes first.",
        '[images]\n"123456789012.dkr.ecr.*.amazonaws.com/*" = "localhost:5000/*"\n',
    ),
    FileTable(
        TARGETS_TABLE,
        "What API destinations and http and https subscriptions may reach where the service has keys, beside addresses "
        "of the internet. Without keys they may reach every address.",
        '[targets]\nallow = ["10.0.0.0/8", "hooks.example.org"]\n',
        (("allow", "addresses, networks, and names of hosts"),),
    ),
    FileTable(
        SMTP_TABLE,
        "The mail server that takes mail for email and email-json subscriptions; without the table these are refused.",
        '[smtp]\nhost = "mail.example.org"\nsender = "batchyard@example.org"\n',
        (
            ("host", "the server's name or address (required)"),
            ("sender", "the From of the mail (required)"),
            ("security", "one of none, starttls, tls; default: starttls"),
            ("port", "an integer from 1 to 65535; default: 25, 587 or 465, as the security has it"),
            ("user", "with `password`: the log-in; default: mail is sent without logging in"),
            ("password", "with `user`"),
        ),
    ),
    FileTable(
        NOTIFY_TABLE,
        "A way to notify people, by a NAME of letters, digits, `-` and `_`, which is the endpoint of a subscription. "
        "Each has one of the two.",
        '[notify.pager]\ncommand = ["/usr/local/bin/page", "team"]\n\n[notify.chat]\nurl = "ntfy://my-topic"\n',
        (
            ("command", "a program with its arguments, for protocol `exec`: it gets the message on stdin"),
            ("url", "an Apprise URL, for protocol `apprise`; needs the extra `apprise`"),
        ),
    ),
)
