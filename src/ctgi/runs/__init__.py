"""What a person or a program sets going: one act each, run under its trace and cache."""
