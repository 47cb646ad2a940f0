"""One loop, optimisers, schedules, precision, memory and exact resume."""
