"""Groups and shapes on the page: what the groups are, how they were found, what they look like."""
