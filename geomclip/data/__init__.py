"""Records, readers, the embedded emoji set, transforms and the tokenizer."""
