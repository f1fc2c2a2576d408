"""The report: one HTML page that holds everything it shows and asks nothing of any server."""
