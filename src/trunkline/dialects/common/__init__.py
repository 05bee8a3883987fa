"""What several dialects need and none of them owns."""
