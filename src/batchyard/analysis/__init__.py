"""What the past teaches: costs and right sizes from attempts that ran, what executions did and where their time went.
Pure functions of rows and times."""
