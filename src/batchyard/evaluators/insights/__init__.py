"""Queries of CloudWatch Logs Insights: read, planned, and run over records that the caller passes one by one."""
