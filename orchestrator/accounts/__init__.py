"""Who uses Octavia: accounts, login, access tokens."""
