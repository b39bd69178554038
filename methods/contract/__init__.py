"""What a method is, what it is handed, and how it is found."""
