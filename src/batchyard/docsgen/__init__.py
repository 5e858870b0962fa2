"""The generator of docs/reference, docs/compatibility.md and of everything else that is listed from the code:
`python -m batchyard.docsgen.reference`."""
