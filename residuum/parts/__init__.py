"""What units are made of: modules from tensor to tensor that know nothing of networks."""
