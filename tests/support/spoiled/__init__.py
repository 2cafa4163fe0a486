"""A folder with everything that a user can get wrong in files, a module for each kind."""
