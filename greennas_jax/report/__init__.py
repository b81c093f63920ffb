"""Tables, pictures and files of evidence."""
