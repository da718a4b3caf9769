"""The roles that speak: each is a prompt, a policy, and a parser of the reply."""
