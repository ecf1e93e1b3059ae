"""The locked-down process that runs one engine; it holds nothing worth stealing."""
