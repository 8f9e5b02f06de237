"""Shows scenes in the browser: the pictures, the answers, the errors. Only `page`, `stage`, `server` know viser."""
