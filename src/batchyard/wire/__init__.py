"""AWS protocols, generic: service model -> routes, parse, serialise, errors, SigV4. Knows no job."""
