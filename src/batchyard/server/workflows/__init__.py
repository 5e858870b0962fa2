"""Carries out the effects of the machine of Step Functions: calls of integrations, waiters, and logs."""
