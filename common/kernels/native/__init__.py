"""C++ for x86-64 processors, compiled on the machine that runs it; the torch reference serves where that fails."""
