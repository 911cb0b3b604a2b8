"""What the web promises, over HTTP in process and over WebSockets on a real server."""
