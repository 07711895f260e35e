"""Who asks, what they were granted, and who says so: users, roles, grants, tokens, logins."""
