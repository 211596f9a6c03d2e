"""`headgate demo`: the story of a few releases, told by the real parts (docs/demo.md)."""
