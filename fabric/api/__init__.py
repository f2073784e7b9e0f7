"""Wire types shared by server and SDK."""
