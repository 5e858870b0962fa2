"""The web console: pages made of api documents and store queries. Decides nothing."""
