"""Who speaks: each role is a prompt, a policy and the reading of the reply."""
