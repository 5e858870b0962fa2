-- ListJobs by share identifier.

CREATE INDEX job_specs_by_share ON job_specs (queue, share_identifier, key) WHERE share_identifier IS NOT NULL;
