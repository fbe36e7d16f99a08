"""What the tests share: real servers, and a small world of tenants and keys to test in."""
