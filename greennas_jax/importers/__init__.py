"""Networks of other formats: text or bytes in, a `spec.network.Network` out."""
