"""Downloads, archives and local copies of a corpus."""
