"""What every long run needs, whatever it trains: whole files, signals, generators, facts."""
