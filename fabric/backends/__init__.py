"""Every foreign cluster and its errors end here."""
