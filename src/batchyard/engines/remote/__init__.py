"""The remote engine: attempts on hosts that have joined, over one TLS connection to each."""
