"""Checks of RegisterJobDefinition, SubmitJob and CreateComputeEnvironment, one module for each part of a request."""
