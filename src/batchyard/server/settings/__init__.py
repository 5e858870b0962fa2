"""What an owner sets: the table of settings, paths, this host's resources, the catalogue, EFS and S3."""
