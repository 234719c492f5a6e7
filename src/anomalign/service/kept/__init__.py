"""What is kept of an inspection besides its record: match data, image files, and how both are drawn."""
