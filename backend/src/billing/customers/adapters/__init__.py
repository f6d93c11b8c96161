"""What stands behind the capability's ports."""
