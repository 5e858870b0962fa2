"""The machine that counts what jobs do, by queue and minute: the metrics of AWS Batch, and what a month used."""
