from begun import finished_runs, images, pictures, unbroken  # noqa: F401 - fixtures
