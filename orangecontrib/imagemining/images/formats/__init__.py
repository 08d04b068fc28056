"""Formats whose files hold more than one ordinary picture; one file a family."""
