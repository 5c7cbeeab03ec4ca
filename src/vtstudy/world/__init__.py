"""The miniature world: rendered pictures, questions about them, and data sets in the schemas of the Hub."""
