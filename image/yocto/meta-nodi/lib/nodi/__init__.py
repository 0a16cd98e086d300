"""What the recipes take from the checkout, read once here instead of being written again in each of them."""

BBIMPORTS = ["sysusers", "workspace"]
