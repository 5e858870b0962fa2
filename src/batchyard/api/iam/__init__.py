"""IAM's roles, policies, attachments and instance profiles."""
