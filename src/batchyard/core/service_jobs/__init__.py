"""Service environments and service jobs: what AWS Batch has around SageMaker training. Nothing here runs any of it."""
