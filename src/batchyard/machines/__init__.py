"""What the machines of the loop beside that of jobs are made of: documents, handlers, deadlines."""
