"""Which certificates the command line trusts: that of the service of its own data directory by itself, others as the
system, or the file that AWS_CA_BUNDLE names, says."""

from __future__ import annotations

import os
import ssl

BUNDLE_VARIABLE = "AWS_CA_BUNDLE"  # as boto3 and the AWS CLI have it
_END = "-----END CERTIFICATE-----"


class TrustError(Exception):
    """The certificates can't be read. The text is a sentence."""


def context_of(certificate: str) -> ssl.SSLContext:
    """Returns the context of connections. `certificate`: the file of the service's own certificate, which alone is
    then trusted, at whatever address; empty: that of another service. Raises TrustError."""
    bundle = certificate or os.environ.get(BUNDLE_VARIABLE, "")
    try:
        if certificate:
            return _pinned(certificate)
        context = ssl.create_default_context(cafile=bundle or None)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise TrustError(f"The certificates in {bundle} cannot be used: {error}.") from error
    # A bundle may hold the service's certificate itself, which is of no authority.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def _pinned(certificate: str) -> ssl.SSLContext:
    with open(certificate, encoding="ascii", errors="replace") as file:
        own, found, _ = file.read().partition(_END)  # its issuers follow, who must not vouch for others here
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # the certificate itself is known, and its name is that for other machines
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(cadata=own + found)
    return context
