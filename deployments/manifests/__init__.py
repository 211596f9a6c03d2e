"""Kubernetes objects of a release, as a person would write them: read them here, print them with `headgate render`."""
