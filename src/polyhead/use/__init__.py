"""A trained run of each task, ready to use; one module a task, named as it is."""
