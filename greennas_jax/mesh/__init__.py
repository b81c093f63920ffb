"""All devices of all processes as one, and what programs that run on all of them need."""
