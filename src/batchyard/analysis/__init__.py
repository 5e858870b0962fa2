"""What the past teaches: costs and right sizes from attempts that ran. Pure functions of rows and times."""
