"""The nouns a user holds, one file per family; each is a session and a record."""
