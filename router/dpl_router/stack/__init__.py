"""`dpl up`: the whole chain on one machine, each part a program of its own."""
