"""What the recipes are made of: shared parts here, one folder per recipe below."""
