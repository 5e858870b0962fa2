"""Service environments, service jobs and quota shares: what AWS Batch has around SageMaker training. Nothing runs."""
