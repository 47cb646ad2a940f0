"""A recipe as a person writes it: its text, its reading, and what is wrong with it."""
