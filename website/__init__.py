"""What makes the site of the docs out of docs/, the code and the cards; see mkdocs.yml."""
