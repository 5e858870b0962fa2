"""Service environments, service jobs and quota shares: AWS Batch's resources for SageMaker training. Nothing runs."""
