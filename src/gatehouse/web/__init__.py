"""HTTP: parse, authorise, call one service, render."""
