"""The owner's settings: the table of settings, paths, this host's resources, the catalogue, EFS and S3."""
