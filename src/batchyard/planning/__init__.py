"""What would happen: the machine of jobs under simulated time, fed with a trace, the service's own history or a mix."""
