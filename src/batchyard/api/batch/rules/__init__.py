"""What RegisterJobDefinition, SubmitJob and CreateComputeEnvironment accept, one module for each part of a request."""
