"""Texts as ids: vocabularies and their files, tokenizers of characters and of words, padded batches."""
