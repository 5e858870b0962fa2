"""The stored names of the documents that hold secrets and parameters never change."""

from batchyard.core.model import documents
from batchyard.core.model.secret_records import Parameter, Secret
from batchyard.core.secrets.document_kinds import PARAMETER, SECRET


def test_the_kinds_and_what_they_hold() -> None:
    assert (SECRET, documents.record_type(SECRET)) == ("secret", Secret)
    assert (PARAMETER, documents.record_type(PARAMETER)) == ("parameter", Parameter)
