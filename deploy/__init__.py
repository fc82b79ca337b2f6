"""Ways to run headrace: embedded, in containers, on Kubernetes."""
