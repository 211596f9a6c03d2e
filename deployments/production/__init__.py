"""Where the flows themselves run in production: their image, the work pools on Kubernetes, and what has to be on the cluster."""
