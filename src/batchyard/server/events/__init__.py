"""Sends the events of AWS Batch: from the facts of the machine to the targets of the rules that match."""
