"""The generator of docs/reference, docs/compatibility.md and whatever else is listed from the code:
`python -m batchyard.docsgen.reference`."""
