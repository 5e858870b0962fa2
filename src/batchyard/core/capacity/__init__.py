"""Instance types, prices, and which of them a compute environment may and should launch (AWS Batch behaviour 3)."""
