"""The kinds of documents that hold secrets and parameters."""

from batchyard.core.model.documents import register
from batchyard.core.model.secret_records import Parameter, Secret

SECRET = register("secret", Secret)
PARAMETER = register("parameter", Parameter)
