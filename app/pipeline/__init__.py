"""What happens to records behind the request: shipping, persisting, maintenance. Without Flask."""
