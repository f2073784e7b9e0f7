"""Files become frozen settings: strict, exact keys, no value coerced."""
