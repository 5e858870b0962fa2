"""Step Functions: the operations of state machines, executions, activities and map runs."""
