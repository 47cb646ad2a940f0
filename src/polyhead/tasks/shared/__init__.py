"""What several tasks share; files here are no tasks themselves."""
