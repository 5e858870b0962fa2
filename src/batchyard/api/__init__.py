"""One function per operation: requests become core commands, stored records become Describe shapes. Decides nothing."""
