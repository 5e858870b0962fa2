"""The codes of the protocol `query` for the errors that all AWS services share (AWS: Common Error Types)."""

from __future__ import annotations

# Code -> (code here, status here; 0: as it was).
QUERY_CODES = {
    "AccessDeniedException": ("AccessDenied", 0),
    "ClientException": ("ValidationError", 0),
    "IncompleteSignatureException": ("IncompleteSignature", 0),
    "InvalidSignatureException": ("SignatureDoesNotMatch", 0),
    "MissingAuthenticationTokenException": ("MissingAuthenticationToken", 0),
    "SerializationException": ("ValidationError", 0),
    "ServerException": ("InternalFailure", 0),
    "ServiceUnavailableException": ("ServiceUnavailable", 0),
    "TooManyRequestsException": ("Throttling", 400),
    "UnknownOperationException": ("InvalidAction", 400),
    "UnrecognizedClientException": ("InvalidClientTokenId", 0),
    "ValidationException": ("ValidationError", 0),
}
