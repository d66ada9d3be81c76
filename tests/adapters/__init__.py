"""Loaded models are spoken to in Hugging Face's terms."""
