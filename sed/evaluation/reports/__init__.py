"""Result tables and HTML reports."""
