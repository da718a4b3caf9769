"""What agents can do: the tools, the backends behind them, and their bindings."""
