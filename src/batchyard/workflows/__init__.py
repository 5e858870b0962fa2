"""Step Functions: the machine that steps executions, and the records that it keeps."""
