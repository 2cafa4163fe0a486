"""What every long run needs, whatever it trains: files that are whole, signals, generators, facts."""
