"""The machine of IAM: roles, policies, attachments and instance profiles. No right follows from them."""
