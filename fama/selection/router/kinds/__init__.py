"""Router kinds at inference, one class per file, and the parts that several of them share."""
